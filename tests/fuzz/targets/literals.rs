#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jangteo_sql::fuzz_literals(data));
