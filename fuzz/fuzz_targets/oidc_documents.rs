#![no_main]

libfuzzer_sys::fuzz_target!(init: countersign_fuzz::sow(&countersign_app::fuzz::oidc_documents_seeds()), |data: &[u8]| countersign_app::fuzz::oidc_documents(data));
