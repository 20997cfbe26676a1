#![no_main]

libfuzzer_sys::fuzz_target!(init: countersign_fuzz::sow(&countersign_fuzz::ledger::tile_path_seeds()), |data: &[u8]| countersign_fuzz::ledger::tile_path(data));
