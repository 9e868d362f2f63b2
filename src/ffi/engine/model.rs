//! The model's handle, and where llama.cpp's log goes.

use std::ffi::{c_char, c_void};
use std::sync::Once;

use super::super::pointer::{Out, free};
use super::super::sized::{SizedStruct, init_sized, read_sized};
use super::super::text::{ErrorText, c_string, path};
use crate::error::Result;
use crate::guard::{guard, guard_or};
use crate::llama::{self, Model, ModelOptions};

/// A loaded model. Any number of engines may be made from it, in any thread.
pub struct ModelHandle {
    model: Model,
}

impl ModelHandle {
    pub(super) fn model(&self) -> &Model {
        &self.model
    }
}

/// How to load a model. Set it up with sda_model_params_init(), then change single fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CModelParams {
    /// Size of this struct as the caller knows it; sda_model_params_init() sets it.
    pub struct_size: usize,
    /// Layers to keep on the GPU, in builds with a GPU backend. Default 0.
    pub n_gpu_layers: u32,
    /// Map the file instead of reading it, if not 0. Default 1.
    pub use_mmap: i32,
    /// Keep the weights from being swapped out, if not 0. Default 0.
    pub use_mlock: i32,
    /// Called while the model loads with the share that is done, 0 to 1; anything but 0 stops. May be NULL.
    pub progress: Option<unsafe extern "C" fn(share: f32, progress_data: *mut c_void) -> i32>,
    /// Passed to `progress` as it is.
    pub progress_data: *mut c_void,
}

// SAFETY: C's layout, numbers, and pointers that may be NULL; the size comes first.
unsafe impl SizedStruct for CModelParams {
    const NAME: &'static str = "sda_model_params";
    const SMALLEST: usize = std::mem::offset_of!(CModelParams, use_mmap);

    fn defaults() -> CModelParams {
        let options = ModelOptions::default();
        CModelParams {
            struct_size: size_of::<CModelParams>(),
            n_gpu_layers: options.n_gpu_layers,
            use_mmap: options.use_mmap.into(),
            use_mlock: options.use_mlock.into(),
            progress: None,
            progress_data: std::ptr::null_mut(),
        }
    }
}

/// Fills a struct with the defaults; `size` is sizeof *params. Errors as sda_params_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_model_params_init(params: *mut CModelParams, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `params`.
    guard(|| unsafe { init_sized(params, size) })
}

/// Loads a GGUF file, or the first part of a model in several.
///
/// `path` is its name, on Unix in any bytes, elsewhere in UTF-8. `params` may be NULL for the defaults.
///
/// `model` receives the handle; free it with sda_model_free().
///
/// SDA_ERR_IO if there is no such file, SDA_ERR_MODEL if it is not a model that llama.cpp can load, if it cannot
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
            QUIET.call_once(|| llama::set_log(|_| {}));
            let options = ModelOptions {
                n_gpu_layers: params.n_gpu_layers,
                use_mmap: params.use_mmap != 0,
                use_mlock: params.use_mlock != 0,
            };
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

/// # Safety
/// `params` is NULL or points to as many bytes as its `struct_size` says.
unsafe fn read(params: *const CModelParams) -> Result<CModelParams> {
    if params.is_null() {
        return Ok(CModelParams::defaults());
    }
    // SAFETY: passed on.
    unsafe { read_sized(params, "params") }
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
