//! What must hold whatever comes in.
//!
//! Each function takes any bytes and panics where a rule is broken. The fuzz targets call them without end, and the stable
//! tests of the crate they are about for a bounded number of cases. The rules about what a crate shows to others are here
//! (`tests/fuzz.rs` of that crate runs them); those about what it keeps to itself are in the crate, in modules that only its
//! tests and the fuzz targets see (`cfg(fuzzing)`).

pub mod ledger;
#[cfg(feature = "policy")]
pub mod policy;
pub mod text;
pub mod tokens;

use std::{fs, path::Path};

/// Writes what a target begins with into the folder that `COUNTERSIGN_FUZZ_SEEDS` names, where it names one: `scripts/fuzz.sh`
/// names the target's corpus.
///
/// # Panics
/// Where it cannot be written.
pub fn sow(seeds: &[Vec<u8>]) {
    let Some(folder) = std::env::var_os("COUNTERSIGN_FUZZ_SEEDS") else { return };
    let folder = Path::new(&folder);
    fs::create_dir_all(folder).expect("a folder for seeds");
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), seed).expect("a seed");
    }
}
