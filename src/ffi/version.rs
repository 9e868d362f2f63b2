//! Version of the loaded library.

use std::ffi::c_char;

use crate::guard::guard_or;

/// Version of this header: major number.
pub const SDA_VERSION_MAJOR: u32 = 0;
/// Version of this header: minor number.
pub const SDA_VERSION_MINOR: u32 = 2;
/// Version of this header: patch number.
pub const SDA_VERSION_PATCH: u32 = 0;
/// Version of this header as one number: major * 1000000 + minor * 1000 + patch.
pub const SDA_VERSION_NUMBER: u32 = 2000;
/// Version of the binary interface that this header describes; the number in the library's SONAME. It
/// changes only when a program has to be compiled again.
pub const SDA_ABI_VERSION: i32 = 2;

/// Version of the loaded library, such as "0.2.0". Static text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_version() -> *const c_char {
    guard_or(std::ptr::null(), || concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast())
}

/// Version of the loaded library's binary interface; compare it with SDA_ABI_VERSION.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_abi_version() -> i32 {
    guard_or(-1, || SDA_ABI_VERSION)
}
