//! Where llama.cpp's log lines go.

use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

use crate::guard::guard_or;

/// One message of llama.cpp.
pub struct LogLine<'a> {
    /// `ggml_log_level`: 1 debug, 2 info, 3 warning, 4 error, 5 continues the line before.
    pub level: u32,
    /// The text, usually with its newline.
    pub text: &'a str,
}

type Sink = Box<dyn FnMut(LogLine) + Send>;

static SINK: Mutex<Option<Sink>> = Mutex::new(None);

unsafe extern "C" fn forward(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    guard_or((), || {
        if text.is_null() {
            return;
        }
        // SAFETY: llama.cpp passes a NUL-terminated string that lives during the call.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
        let mut sink = SINK.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = sink.as_mut() {
            sink(LogLine { level, text: &text });
        }
    });
}

/// Sends llama.cpp's log lines to `sink` from now on, in the whole process; without this call they go
/// to stderr.
pub fn set_log(sink: impl FnMut(LogLine) + Send + 'static) {
    *SINK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(sink));
    // SAFETY: `forward` is a static function and needs no user data.
    unsafe { sys::llama_log_set(Some(forward), std::ptr::null_mut()) };
}
