//! Tests that need nothing but the library: no llama.cpp, no network.

mod ffi;
mod ffi_judge;
mod golden;
mod guard;
mod host_continuation;
mod host_many;
mod host_pair;
mod host_sampler;
mod judge_injection;
mod nucleus;
mod oracle;
mod owned;
mod props;
