#![no_main]

libfuzzer_sys::fuzz_target!(init: countersign_fuzz::sow(&countersign_fuzz::ledger::entries_seeds()), |data: &[u8]| countersign_fuzz::ledger::entries(data));
