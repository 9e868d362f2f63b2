//! Texts that come from C, and those that go there: the reasons of errors above all.

use std::ffi::{CStr, CString, c_char};
#[cfg(feature = "bundled")]
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::guard::caught;

/// # Safety
/// `pointer` is NULL or a NUL-terminated text that nothing changes during `'a`.
pub(super) unsafe fn text<'a>(pointer: *const c_char, name: &'static str) -> Result<&'a str> {
    // SAFETY: passed on.
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
    // SAFETY: passed on.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| Error::Encoding { what: name })
}

/// A file's name: on Unix any bytes, elsewhere UTF-8.
///
/// # Safety
/// As for [`text`].
#[cfg(feature = "bundled")]
pub(super) unsafe fn path<'a>(pointer: *const c_char, name: &'static str) -> Result<&'a Path> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        if pointer.is_null() {
            return Err(Error::Null { name });
        }
        // SAFETY: passed on.
        let bytes = unsafe { CStr::from_ptr(pointer) }.to_bytes();
        Ok(Path::new(std::ffi::OsStr::from_bytes(bytes)))
    }
    #[cfg(not(unix))]
    {
        // SAFETY: passed on.
        unsafe { text(pointer, name) }.map(Path::new)
    }
}

/// A text for C. A NUL inside would cut it short, and becomes a blank.
pub(super) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

/// The caller's room for a text with its final NUL.
pub(super) struct Buffer {
    to: *mut c_char,
    size: usize,
}

impl Buffer {
    /// None for NULL.
    ///
    /// # Safety
    /// `to` is NULL or has room for `size` bytes while the value lives.
    pub(super) unsafe fn new(to: *mut c_char, size: usize) -> Option<Buffer> {
        (!to.is_null()).then_some(Buffer { to, size })
    }

    /// Writes a text, or nothing if it does not fit.
    pub(super) fn write(&self, text: &str) -> Result<()> {
        if self.size <= text.len() {
            return Err(Error::Length { what: "buffer", got: self.size, expected: text.len() + 1 });
        }
        // SAFETY: what `new` was told, and that it is enough was checked.
        unsafe {
            self.to.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
            self.to.add(text.len()).write(0);
        }
        Ok(())
    }

    /// Writes as much of a text as fits, cut between characters.
    fn write_cut(&self, text: &str) {
        let Some(room) = self.size.checked_sub(1) else { return };
        let mut end = text.len().min(room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        // It fits.
        let _ = self.write(&text[..end]);
    }
}

/// Where a function that has no handle to keep the text of an error writes it: the caller's `error` and
/// `error_size`.
pub(super) struct ErrorText(Option<Buffer>);

impl ErrorText {
    /// # Safety
    /// `to` is NULL or has room for `size` bytes while the value lives.
    pub(super) unsafe fn new(to: *mut c_char, size: usize) -> ErrorText {
        // SAFETY: passed on.
        ErrorText(unsafe { Buffer::new(to, size) })
    }

    /// Runs the body of such a function, and writes the text of its error.
    pub(super) fn tell<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        caught(body).inspect_err(|error| {
            if let Some(buffer) = &self.0 {
                buffer.write_cut(&error.to_string().replace('\0', " "));
            }
        })
    }
}

/// The text of a handle's last error, which C reads where it lies.
#[derive(Default)]
pub(super) struct Message(Mutex<CString>);

impl Message {
    /// Runs a part of a function that uses the handle, and keeps the text of its error.
    pub(super) fn keep<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        caught(body).inspect_err(|error| self.set(Some(error)))
    }

    /// Replaces the text; without an error it is empty.
    pub(super) fn set(&self, error: Option<&Error>) {
        let text = error.map(|error| c_string(&error.to_string())).unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// Valid until the next text.
    pub(super) fn as_ptr(&self) -> *const c_char {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ptr()
    }
}
