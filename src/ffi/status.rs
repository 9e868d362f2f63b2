//! Status codes.

use std::ffi::c_char;

use crate::guard::guard_or;

/// Success.
pub const SDA_OK: i32 = 0;
/// A required pointer was NULL.
pub const SDA_ERR_NULL: i32 = -1;
/// A setting is outside its range.
pub const SDA_ERR_PARAM: i32 = -2;
/// Two arrays that must have the same length have not, or one is empty.
pub const SDA_ERR_LENGTH: i32 = -3;
/// A logit is NaN or +infinity.
pub const SDA_ERR_NOT_FINITE: i32 = -4;
/// Every token of a branch is masked (-infinity).
pub const SDA_ERR_ALL_MASKED: i32 = -5;
/// The candidate array does not hold every token of the vocabulary exactly once.
pub const SDA_ERR_CANDIDATES: i32 = -6;
/// No room is left in the context.
pub const SDA_ERR_CONTEXT_FULL: i32 = -7;
/// A prompt cannot be used, for example because it is empty.
pub const SDA_ERR_PROMPT: i32 = -8;
/// A function of the host failed.
pub const SDA_ERR_HOST: i32 = -9;
/// The call does not fit the object's state, for example logits before any were computed.
pub const SDA_ERR_STATE: i32 = -10;
/// A panic was caught inside the library; the handle can only be freed.
pub const SDA_ERR_PANIC: i32 = -11;
/// A struct comes from a version that this library does not understand.
pub const SDA_ERR_VERSION: i32 = -12;
/// The host asked to stop.
pub const SDA_ERR_CANCELLED: i32 = -13;
/// A model could not be loaded or lacks what is needed.
pub const SDA_ERR_MODEL: i32 = -14;
/// A judge gave no usable score.
pub const SDA_ERR_JUDGE: i32 = -15;
/// A file could not be read or written.
pub const SDA_ERR_IO: i32 = -16;
/// A text is not UTF-8.
pub const SDA_ERR_ENCODING: i32 = -17;

/// Meaning of a status code, in English. Static text, for any integer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_status_str(status: i32) -> *const c_char {
    guard_or(std::ptr::null(), || {
        let text = match status {
            SDA_OK => c"ok",
            SDA_ERR_NULL => c"a required pointer was NULL",
            SDA_ERR_PARAM => c"a setting is outside its range",
            SDA_ERR_LENGTH => c"an array has the wrong length",
            SDA_ERR_NOT_FINITE => c"a logit is NaN or +infinity",
            SDA_ERR_ALL_MASKED => c"every token of a branch is masked",
            SDA_ERR_CANDIDATES => c"the candidates are not the whole vocabulary",
            SDA_ERR_CONTEXT_FULL => c"the context is full",
            SDA_ERR_PROMPT => c"the prompt cannot be used",
            SDA_ERR_HOST => c"a function of the host failed",
            SDA_ERR_STATE => c"the call is out of order",
            SDA_ERR_PANIC => c"a panic was caught inside the library",
            SDA_ERR_VERSION => c"a struct comes from another version",
            SDA_ERR_CANCELLED => c"stopped by the host",
            SDA_ERR_MODEL => c"the model cannot be used",
            SDA_ERR_JUDGE => c"the judge gave no usable score",
            SDA_ERR_IO => c"a file could not be read or written",
            SDA_ERR_ENCODING => c"a text is not UTF-8",
            _ => c"unknown status",
        };
        text.as_ptr()
    })
}
