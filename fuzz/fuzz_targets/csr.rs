#![no_main]

libfuzzer_sys::fuzz_target!(init: countersign_fuzz::sow(&countersign_app::fuzz::csr_seeds()), |data: &[u8]| countersign_app::fuzz::csr(data));
