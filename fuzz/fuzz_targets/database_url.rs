#![no_main]

libfuzzer_sys::fuzz_target!(init: countersign_fuzz::sow(&countersign::fuzz::database_url_seeds()), |data: &[u8]| countersign::fuzz::database_url(data));
