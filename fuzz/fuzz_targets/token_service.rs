#![no_main]

libfuzzer_sys::fuzz_target!(init: countersign_fuzz::sow(&countersign::fuzz::token_service_seeds()), |data: &[u8]| countersign::fuzz::token_service(data));
