//! Texts that come from C, and the reasons that go there.

use std::ffi::{CStr, c_char};

use crate::error::{Error, Result};

/// # Safety
/// `pointer` is NULL or a NUL-terminated text that nothing changes during `'a`.
pub(super) unsafe fn text<'a>(pointer: *const c_char, name: &'static str) -> Result<&'a str> {
    // SAFETY: see above.
    unsafe { optional(pointer, name) }?.ok_or(Error::Null { name })
}

/// As [`text`], where NULL is an answer.
///
/// # Safety
/// As for [`text`].
pub(super) unsafe fn optional<'a>(pointer: *const c_char, name: &'static str) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: see above.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| Error::Encoding { what: name })
}

/// # Safety
/// There is room for the text and a NUL at `to`.
pub(super) unsafe fn write_text(text: &str, to: *mut c_char) {
    // SAFETY: see above.
    unsafe {
        to.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
        to.add(text.len()).write(0);
    }
}

/// Writes as much of an error's text as fits, cut between characters, with its final NUL.
///
/// # Safety
/// `to` is NULL or has room for `size` bytes.
pub(super) unsafe fn report(error: &Error, to: *mut c_char, size: usize) {
    if to.is_null() || size == 0 {
        return;
    }
    let text = error.to_string().replace('\0', " ");
    let mut end = text.len().min(size - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // SAFETY: see above.
    unsafe { write_text(&text[..end], to) };
}
