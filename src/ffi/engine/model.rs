//! The model's handle, and where llama.cpp's log goes.

use std::ffi::{c_char, c_void};
use std::sync::Once;

use super::super::pointer::{Out, free};
use super::super::text::{ErrorText, c_string, path};
use super::load::{CModelParams, options, read};
use crate::guard::{guard, guard_or};
use crate::llama::{self, Model};

/// A loaded model. Any number of engines may be made from it, in any thread.
pub struct ModelHandle {
    model: Model,
}

impl ModelHandle {
    pub(super) fn model(&self) -> &Model {
        &self.model
    }
}

/// Loads a GGUF file, or the first part of a model in several.
///
/// `path` is its name, on Unix in any bytes, elsewhere in UTF-8. `params` may be NULL for the defaults.
///
/// `model` receives the handle; free it with sda_model_free().
///
/// SDA_ERR_PARAM for a setting outside its range, SDA_ERR_IO if there is no such file, SDA_ERR_MODEL if it is not a model that llama.cpp can load, if it cannot
/// continue a text (encoders, diffusion models), or if `progress` stopped it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_model_new(
    path: *const c_char,
    params: *const CModelParams,
    error: *mut c_char,
    error_size: usize,
    model: *mut *mut ModelHandle,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that `path` is a text and `params` is NULL or holds its `struct_size`, and
        // lends room for a text and for the handle.
        let (error, to, path, params) = unsafe {
            (
                ErrorText::new(error, error_size),
                Out::new(model, "model"),
                self::path(path, "path"),
                read(params),
            )
        };
        error.tell(|| {
            let (to, path, params) = (to?, path?, params?);
            quiet();
            // SAFETY: as above.
            let options = unsafe { options(&params)? };
            let loaded = Model::load(path, &options, move |share| match params.progress {
                // SAFETY: the caller says that both stay valid during this call.
                Some(progress) => unsafe { progress(share, params.progress_data) == 0 },
                None => true,
            })?;
            to.hand_out(ModelHandle { model: loaded });
            Ok(())
        })
    })
}

/// Frees a model; NULL is fine. Engines that were made from it keep what they need.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_model_free(model: *mut ModelHandle) {
    // SAFETY: the caller says that it is NULL or a live handle.
    guard_or((), || unsafe { free(model) })
}

/// The library writes to no stream by itself, so llama.cpp's log is turned off before the first model is
/// loaded, unless the host has said where it goes.
static QUIET: Once = Once::new();

pub(super) fn quiet() {
    QUIET.call_once(|| llama::set_log(|_| {}));
}

struct Log {
    log: unsafe extern "C" fn(i32, *const c_char, *mut c_void),
    data: *mut c_void,
}

// SAFETY: the host says that its function may be called from any thread.
unsafe impl Send for Log {}

/// Sends the log lines of the built-in llama.cpp to a function, in the whole process; by default they go
/// nowhere.
///
/// `log` gets a `level` as in ggml_log_level: 1 debug, 2 info, 3 warning, 4 error, 5 continues the line before.
/// It must not call the library; NULL turns the log off. `log_data` is passed on as it is.
///
/// `log` may be called from any thread, until another one is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_log_set(
    log: Option<unsafe extern "C" fn(level: i32, text: *const c_char, log_data: *mut c_void)>,
    log_data: *mut c_void,
) {
    guard_or((), || {
        QUIET.call_once(|| ());
        let Some(log) = log else { return llama::set_log(|_| {}) };
        let to = Log { log, data: log_data };
        llama::set_log(move |line| {
            // The whole of it, which can be sent; not its fields.
            let to = &to;
            let text = c_string(line.text);
            // SAFETY: the host says that both stay valid until another function is set.
            unsafe { (to.log)(line.level as i32, text.as_ptr(), to.data) }
        });
    })
}
