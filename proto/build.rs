//! Compiles `countersign/v1/*.proto` with protox, so that no protoc is needed; and where the feature `neighbours` is on, the
//! services of other projects in `neighbours/`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

/// The services of other projects, by the file that each is in.
const NEIGHBOURS: [&str; 2] = ["envoy/service/auth/v3/external_auth.proto", "agentgateway/dev/ext_mcp/ext_mcp.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from("countersign/v1");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let contract = descriptors(".", &files, "countersign.bin")?;
    tonic_prost_build::configure().btree_map(".").compile_fds(contract)?;

    println!("cargo::rerun-if-changed=neighbours");
    if env::var_os("CARGO_FEATURE_NEIGHBOURS").is_some() {
        let neighbours = descriptors("neighbours", &NEIGHBOURS.map(PathBuf::from), "neighbours.bin")?;
        // Their comments are for other tools than rustdoc.
        tonic_prost_build::configure().btree_map(".").disable_comments(["."]).compile_fds(neighbours)?;
    }
    Ok(())
}

/// The descriptors of these files, which are in `folder`, with their imports; also written to `name`.
fn descriptors(folder: &str, files: &[PathBuf], name: &str) -> Result<prost_types::FileDescriptorSet, Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([folder])?;
    compiler.include_source_info(true).include_imports(true).open_files(files)?;
    // Encoded by protox itself: that keeps extension options, which prost-types would drop.
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join(name), &encoded)?;
    Ok(prost_types::FileDescriptorSet::decode(encoded.as_slice())?)
}
