#![no_main]

libfuzzer_sys::fuzz_target!(init: countersign_fuzz::sow(&countersign_fuzz::policy::document_seeds()), |data: &[u8]| countersign_fuzz::policy::document(data));
