//! Compiles `countersign/v1/*.proto` with protox, so that no protoc is needed, and writes the descriptor sets for
//! reflection and the search for U+0000 in every message (`texts.rs`). With the feature `third_party`, it also compiles
//! the services of gateways in `third_party/` (`ext_authz`, `ExtMcp`).

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

/// The package of the contract.
const PACKAGE: &str = "countersign.v1";
/// The services of other projects, by the file that each is in.
const THIRD_PARTY: [&str; 2] = ["envoy/service/auth/v3/external_auth.proto", "agentgateway/dev/ext_mcp/ext_mcp.proto"];

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
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("texts.rs"), texts(&contract))?;
    tonic_prost_build::configure().btree_map(".").compile_fds(contract)?;

    println!("cargo::rerun-if-changed=third_party");
    if env::var_os("CARGO_FEATURE_THIRD_PARTY").is_some() {
        let third_party = descriptors("third_party", &THIRD_PARTY.map(PathBuf::from), "third_party.bin")?;
        // Their comments are for other tools than rustdoc.
        tonic_prost_build::configure().btree_map(".").disable_comments(["."]).compile_fds(third_party)?;
    }
    Ok(())
}

/// The descriptors of these files, which are in `folder`, with their imports; also written to `name`.
fn descriptors(folder: &str, files: &[PathBuf], name: &str) -> Result<FileDescriptorSet, Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([folder])?;
    compiler.include_source_info(true).include_imports(true).open_files(files)?;
    // Encoded by protox itself: that keeps extension options, which prost-types would drop.
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join(name), &encoded)?;
    Ok(FileDescriptorSet::decode(encoded.as_slice())?)
}

/// `Texts` for every message of the contract, by its descriptor: no field can be forgotten.
fn texts(set: &FileDescriptorSet) -> String {
    let contract = set.file.iter().filter(|file| file.package() == PACKAGE);
    contract.flat_map(|file| file.message_type.iter().map(texts_of)).collect()
}

fn texts_of(message: &DescriptorProto) -> String {
    let name = message.name();
    // A nested message would need the name of its module too; there is none but what maps are made of.
    let nested = |nested: &DescriptorProto| nested.options.as_ref().is_some_and(|options| options.map_entry());
    assert!(message.nested_type.iter().all(nested), "{name} holds a message");
    let holds_text = |field: &&FieldDescriptorProto| matches!(field.r#type(), Type::String | Type::Message);
    let in_oneof = |field: &FieldDescriptorProto| field.oneof_index.is_some() && !field.proto3_optional();
    let mut looks = String::new();
    for field in message.field.iter().filter(holds_text).filter(|field| !in_oneof(field)) {
        let name = field.name();
        looks += &format!(
            "if let Some(at) = crate::Texts::nul(&self.r#{name}) {{ return Some(crate::under(\"{name}\", at)); }}\n"
        );
    }
    let mut of_oneofs = String::new();
    for (nth, oneof) in message.oneof_decl.iter().enumerate() {
        let of_it =
            |field: &&FieldDescriptorProto| in_oneof(field) && field.oneof_index() == i32::try_from(nth).unwrap_or(-1);
        let all: Vec<_> = message.field.iter().filter(of_it).collect();
        let fields: Vec<_> = all.iter().copied().filter(holds_text).collect();
        if fields.is_empty() {
            continue;
        }
        let others = if fields.len() < all.len() { "_ => None" } else { "" };
        let (oneof, module) = (oneof.name(), snake(name));
        looks += &format!("if let Some(at) = crate::Texts::nul(&self.r#{oneof}) {{ return Some(at); }}\n");
        let arms: String = fields
            .iter()
            .map(|field| {
                let (name, variant) = (field.name(), camel(field.name()));
                format!("Self::{variant}(value) => crate::Texts::nul(value).map(|at| crate::under(\"{name}\", at)),\n")
            })
            .collect();
        of_oneofs += &format!(
            "impl crate::Texts for crate::v1::{module}::{} {{ fn nul(&self) -> Option<String> {{ match self \
             {{ {arms} {others} }} }} }}\n",
            camel(oneof)
        );
    }
    format!(
        "impl crate::Texts for crate::v1::{name} {{ fn nul(&self) -> Option<String> {{ {looks} None }} }}\n{of_oneofs}"
    )
}

/// `a_b` as a type is called.
fn camel(name: &str) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.split('_').filter(|part| !part.is_empty()).map(word).collect()
}

/// `AaBb` as a module is called.
fn snake(name: &str) -> String {
    let mut module = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !module.is_empty() {
            module.push('_');
        }
        module.push(letter.to_ascii_lowercase());
    }
    module
}
