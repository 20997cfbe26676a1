#![no_main]

libfuzzer_sys::fuzz_target!(init: countersign_fuzz::sow(&countersign_transport::fuzz::json_door_seeds()), |data: &[u8]| countersign_transport::fuzz::json_door(data));
