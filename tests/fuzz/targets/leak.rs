#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| consciousness_system_fuzz::leak(data));
