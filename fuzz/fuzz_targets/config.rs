#![no_main]

libfuzzer_sys::fuzz_target!(init: countersign_fuzz::sow(&countersign::fuzz::config_seeds()), |data: &[u8]| countersign::fuzz::config(data));
