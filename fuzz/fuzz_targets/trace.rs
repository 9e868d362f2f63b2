//! A file that is given to `sda plot` as a trace: read, and made into the viewer's page.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sda_cli::fuzz::trace(bytes, false));
