//! As `trace`, and the pictures are drawn, which takes milliseconds.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sda_cli::fuzz::trace(bytes, true));
