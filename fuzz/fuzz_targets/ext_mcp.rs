#![no_main]

libfuzzer_sys::fuzz_target!(init: countersign_fuzz::sow(&countersign_transport::fuzz::ext_mcp_seeds()), |data: &[u8]| countersign_transport::fuzz::ext_mcp(data));
