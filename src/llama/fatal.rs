//! What happens when llama.cpp gives up.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use llama_cpp_sys_2 as sys;

use crate::guard::guard_or;

unsafe extern "C" {
    /// The C library's: ends the process without a word to what was registered with `atexit`, whose order is undefined
    /// while other threads compute.
    safe fn _exit(status: i32) -> !;
}

struct OnFatal {
    status: i32,
    tell: fn(&str),
}

static ON_FATAL: OnceLock<OnFatal> = OnceLock::new();

unsafe extern "C" fn fatal(reason: *const c_char) {
    guard_or((), || {
        let Some(OnFatal { status, tell }) = ON_FATAL.get() else { return };
        // The process ends also where the words for it panic.
        guard_or((), || {
            // SAFETY: ggml passes a text that lives during the call.
            tell(unsafe { CStr::from_ptr(reason) }.to_string_lossy().trim());
        });
        _exit(*status)
    });
}

/// Says what is done when llama.cpp finds a state that it cannot continue in, such as a lost RPC server or a GPU that
/// failed: `tell` gets the reason, from any thread, and the process ends with `status`. Without this call llama.cpp
/// prints the reason and aborts.
///
/// For programs, in their `main`: it holds for the whole process, and the first call counts.
pub fn on_fatal(status: i32, tell: fn(&str)) {
    let _ = ON_FATAL.set(OnFatal { status, tell });
    // SAFETY: `fatal` is a static function.
    unsafe { sys::ggml_set_abort_callback(Some(fatal)) };
}
