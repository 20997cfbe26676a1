//! Writes a small log as a folder that tlog-tiles clients read: `tlog_folder FOLDER SIZE`.
//!
//! Beside the tiles: `key` (the verifier key), `proof.tlog-proof` (of leaf 3 or the last one), `consistency` (from a third
//! of the size, at least 1; a base64 hash a line). The key is a fixed one, for tests only.

use std::{env, error::Error, fs, path::Path};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_ledger::{
    checkpoint::Checkpoint,
    merkle::{EntryBundle, Hash, ProofRequest, TILE_WIDTH, Tiles, leaf_hash, root, tiles},
    note::VerifierKey,
    tlog_proof::TlogProof,
};

const ORIGIN: &str = "countersign.example/log";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, size] = &arguments[..] else { return Err("usage: tlog_folder FOLDER SIZE".into()) };
    let size: usize = size.parse()?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32])?;
    let entries: Vec<Vec<u8>> = (0..size).map(|nth| format!("entry {nth}").into_bytes()).collect();
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let write = |path: &str, bytes: &[u8]| -> Result<(), Box<dyn Error>> {
        let path = Path::new(folder).join(path);
        fs::create_dir_all(path.parent().ok_or("a path has a folder")?)?;
        Ok(fs::write(path, bytes)?)
    };

    let (mut held, mut below) = (Tiles::default(), Vec::new());
    let mut level = leaves.clone();
    for tile in tiles(size as u64) {
        if usize::from(tile.level()) != below.len() {
            below.push(());
            let full = level.as_chunks::<256>().0;
            level = full.iter().map(|hashes| root(hashes)).collect();
        }
        let first = usize::try_from(tile.index() * TILE_WIDTH)?;
        let bytes = level[first..first + usize::from(tile.width())].concat();
        held.insert(tile, &bytes)?;
        write(&tile.to_string(), &bytes)?;
        if let Some(bundle) = EntryBundle::in_log(size as u64, tile.index()).filter(|_| tile.level() == 0) {
            write(&bundle.to_string(), &bundle.encode(&entries[first..first + usize::from(bundle.width())])?)?;
        }
    }

    let prove = |request: ProofRequest| request.plan(size as u64)?.compute(&held);
    let size = size as u64;
    let whole = prove(ProofRequest::Root { size })?[0];
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root: whole, extensions: Vec::new() };
    let checkpoint = checkpoint.sign(ORIGIN, &pair)?.note;
    write("checkpoint", checkpoint.to_string().as_bytes())?;
    write("key", VerifierKey::of(ORIGIN, &pair)?.to_string().as_bytes())?;
    let index = 3.min(size - 1);
    let hashes = prove(ProofRequest::Inclusion { index, size })?;
    write("proof.tlog-proof", TlogProof { extra: None, index, hashes, checkpoint }.to_string().as_bytes())?;
    let hashes = prove(ProofRequest::Consistency { from: (size / 3).max(1), to: size })?;
    let lines: Vec<String> = hashes.iter().map(|hash| STANDARD.encode(hash)).collect();
    write("consistency", lines.join("\n").as_bytes())
}
