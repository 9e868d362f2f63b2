//! Tests that need nothing but the library: no llama.cpp, no network.

mod budget;
mod ffi;
mod ffi_error;
mod ffi_judge;
mod ffi_null;
mod ffi_panic;
mod ffi_sized;
mod golden;
mod guard;
mod host_continuation;
mod host_many;
mod host_pair;
mod host_sampler;
mod host_singles;
mod isa;
mod judge_injection;
mod limit;
mod many;
mod nucleus;
mod oracle;
mod owned;
mod props;
