//! Compiles `countersign/v1/*.proto` with protox, so that no protoc is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

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

    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    // Encoded by protox itself: that keeps extension options, which prost-types would drop.
    let encoded = compiler.encode_file_descriptor_set();
    let descriptors = prost_types::FileDescriptorSet::decode(encoded.as_slice())?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("countersign.bin"), &encoded)?;

    tonic_prost_build::configure().btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
