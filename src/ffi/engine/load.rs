//! What a model is loaded with.

use std::ffi::{c_char, c_void};

use super::super::sized::{SizedStruct, init_sized, read_sized};
use super::super::text::optional;
use crate::error::{Error, Result};
use crate::guard::guard;
use crate::llama::{GpuLayers, ModelOptions, SplitMode};

/// How to load a model. Set it up with sda_model_params_init(), then change single fields. What it points to is needed
/// during sda_model_new() only.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CModelParams {
    /// Size of this struct as the caller knows it; sda_model_params_init() sets it.
    pub struct_size: usize,
    /// Layers whose weights go to devices, the last ones of the model: 0 or more, -1 for llama.cpp's auto, -2 for all.
    /// Default -1. Of no effect without a device, see sda_devices().
    pub n_gpu_layers: i32,
    /// Map the file instead of reading it, if not 0. Default 1.
    pub use_mmap: i32,
    /// Keep the weights from being swapped out, if not 0. Default 0.
    pub use_mlock: i32,
    /// Called while the model loads with the share that is done, 0 to 1; anything but 0 stops. May be NULL.
    pub progress: Option<unsafe extern "C" fn(share: f32, progress_data: *mut c_void) -> i32>,
    /// Passed to `progress` as it is.
    pub progress_data: *mut c_void,
    /// Names of the devices to use, with commas between them, or "none". NULL (the default): all GPUs.
    pub devices: *const c_char,
    /// How much of the model each device takes, as proportions that are at least 0; those beyond `n_tensor_split` take
    /// nothing. NULL (the default): as their free memory is.
    pub tensor_split: *const f32,
    /// Numbers in `tensor_split`, at most 16. Default 0.
    pub n_tensor_split: usize,
    /// How a model is split among several devices: 0 not at all, 1 by layers, 2 by rows where the backend can, 3 by rows
    /// with the KV cache, which is experimental. Default 1.
    pub split_mode: i32,
    /// Which of the devices computes alone where nothing is split, from 0. Default 0.
    pub main_gpu: u32,
}

// SAFETY: C's layout, numbers, and pointers that may be NULL; the size comes first.
unsafe impl SizedStruct for CModelParams {
    const NAME: &'static str = "sda_model_params";
    const SMALLEST: usize = std::mem::offset_of!(CModelParams, use_mmap);

    fn defaults() -> CModelParams {
        let options = ModelOptions::default();
        CModelParams {
            struct_size: size_of::<CModelParams>(),
            n_gpu_layers: options.n_gpu_layers.number(),
            use_mmap: options.use_mmap.into(),
            use_mlock: options.use_mlock.into(),
            progress: None,
            progress_data: std::ptr::null_mut(),
            devices: std::ptr::null(),
            tensor_split: std::ptr::null(),
            n_tensor_split: 0,
            split_mode: options.split_mode.number(),
            main_gpu: options.main_gpu,
        }
    }
}

/// Fills a struct with the defaults; `size` is sizeof *params. Errors as sda_params_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_model_params_init(params: *mut CModelParams, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `params`.
    guard(|| unsafe { init_sized(params, size) })
}

/// # Safety
/// `params` is NULL or points to as many bytes as its `struct_size` says.
pub(super) unsafe fn read(params: *const CModelParams) -> Result<CModelParams> {
    if params.is_null() {
        return Ok(CModelParams::defaults());
    }
    // SAFETY: passed on.
    unsafe { read_sized(params, "params") }
}

/// The options that the struct means.
///
/// # Safety
/// What it points to is there, as its fields say.
pub(super) unsafe fn options(params: &CModelParams) -> Result<ModelOptions> {
    // SAFETY: passed on.
    let devices = unsafe { optional(params.devices, "devices") }?;
    Ok(ModelOptions {
        n_gpu_layers: GpuLayers::of_number(params.n_gpu_layers)?,
        devices: devices.map(crate::llama::device_names),
        split_mode: SplitMode::of_number(params.split_mode)?,
        main_gpu: params.main_gpu,
        // SAFETY: passed on.
        tensor_split: unsafe { numbers(params.tensor_split, params.n_tensor_split)? },
        use_mmap: params.use_mmap != 0,
        use_mlock: params.use_mlock != 0,
    })
}

/// # Safety
/// `from` is NULL or points to `n` numbers.
unsafe fn numbers(from: *const f32, n: usize) -> Result<Vec<f32>> {
    match (from.is_null(), n) {
        (_, 0) => Ok(Vec::new()),
        (true, _) => Err(Error::Null { name: "tensor_split" }),
        // Before that many are read.
        (false, 257..) => Err(Error::param("n_tensor_split", n, "at most 16")),
        // SAFETY: passed on.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(from, n) }.to_vec()),
    }
}
