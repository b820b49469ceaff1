#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jangteo::http::fuzzing::cursor(data));
