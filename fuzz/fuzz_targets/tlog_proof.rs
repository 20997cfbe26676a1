#![no_main]

libfuzzer_sys::fuzz_target!(init: countersign_fuzz::sow(&countersign_fuzz::ledger::tlog_proof_seeds()), |data: &[u8]| countersign_fuzz::ledger::tlog_proof(data));
