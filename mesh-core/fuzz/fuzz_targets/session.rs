#![no_main]

#[path = "../bodies/mod.rs"]
pub mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::session::run(data));
