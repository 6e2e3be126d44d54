#![no_main]

#[path = "../bodies/resources.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::decode_after(data));
