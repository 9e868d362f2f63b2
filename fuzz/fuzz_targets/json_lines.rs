//! Lists of records, files of results, reports and typed lines, as the command reads them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sda_cli::fuzz::lines(bytes));
