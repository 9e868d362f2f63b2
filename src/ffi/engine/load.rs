//! What a model is loaded with.

use std::ffi::{c_char, c_void};
use std::str::FromStr;

use super::super::pointer::list;
use super::super::sized::{SizedStruct, init_sized, read_sized};
use super::super::text::{optional, path};
use crate::error::{Error, Result};
use crate::guard::guard;
use crate::llama::{Adapter, GpuLayers, ModelOptions, SplitMode};

/// A GGUF file that is added to a model. Arrays hold it, so it stays as it is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CAdapter {
    /// The file's name, as for sda_model_new().
    pub path: *const c_char,
    /// Its strength: finite, 1 is as it was made, 0 is nothing.
    pub scale: f32,
    /// Reserved. Must be 0.
    pub reserved: u32,
}

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
    /// llama.cpp's RPC servers, HOST:PORT with commas between them, whose devices are added for the whole process. They
    /// can be used by anybody who reaches them, and what is sent to them can be read on the way. llama.cpp aborts the
    /// process when one is lost. NULL (the default): none. SDA_ERR_PARAM in builds without the RPC backend,
    /// SDA_ERR_MODEL if one cannot be reached.
    pub rpc_servers: *const c_char,
    /// LoRA adapters, which every engine of the model has. NULL (the default): none.
    pub lora: *const CAdapter,
    /// Elements of `lora`. Default 0.
    pub n_lora: usize,
    /// Control vectors, whose sum every engine of the model has. NULL (the default): none.
    pub control_vectors: *const CAdapter,
    /// Elements of `control_vectors`. Default 0.
    pub n_control_vectors: usize,
    /// The first layer that control vectors are added to, from 1; 0 (the default) is the first.
    pub control_first: u32,
    /// The last one; 0 (the default) is the model's last.
    pub control_last: u32,
    /// Values in place of those of the file: KEY=TYPE:VALUE, with commas between several and the types int, float, bool
    /// and str. NULL (the default): none.
    pub kv_overrides: *const c_char,
    /// Memory for tensors: PATTERN=BUFFER, with commas between several. A pattern is a regular expression that is found in
    /// a tensor's name, a buffer is CPU or a device's name. NULL (the default): none.
    pub tensor_overrides: *const c_char,
    /// Lay weights out anew for this CPU, if not 0. Default 1.
    pub repack: i32,
    /// Refuse weights that are infinite or not a number, if not 0. Default 0.
    pub check_tensors: i32,
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
            rpc_servers: std::ptr::null(),
            lora: std::ptr::null(),
            n_lora: 0,
            control_vectors: std::ptr::null(),
            n_control_vectors: 0,
            control_first: 0,
            control_last: 0,
            kv_overrides: std::ptr::null(),
            tensor_overrides: std::ptr::null(),
            repack: options.repack.into(),
            check_tensors: options.check_tensors.into(),
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
    let (devices, servers) =
        unsafe { (optional(params.devices, "devices")?, optional(params.rpc_servers, "rpc_servers")?) };
    Ok(ModelOptions {
        n_gpu_layers: GpuLayers::of_number(params.n_gpu_layers)?,
        rpc_servers: servers.iter().flat_map(|all| all.split(',')).map(str::to_owned).collect(),
        devices: devices.map(crate::llama::device_names),
        split_mode: SplitMode::of_number(params.split_mode)?,
        main_gpu: params.main_gpu,
        // SAFETY: passed on.
        tensor_split: unsafe { numbers(params.tensor_split, params.n_tensor_split)? },
        use_mmap: params.use_mmap != 0,
        use_mlock: params.use_mlock != 0,
        repack: params.repack != 0,
        check_tensors: params.check_tensors != 0,
        // SAFETY: passed on.
        tensor_overrides: unsafe { elements(params.tensor_overrides, "tensor_overrides")? },
        // SAFETY: passed on.
        kv_overrides: unsafe { elements(params.kv_overrides, "kv_overrides")? },
        // SAFETY: passed on.
        lora: unsafe { adapters(params.lora, params.n_lora, "lora")? },
        // SAFETY: passed on.
        control_vectors: unsafe {
            adapters(params.control_vectors, params.n_control_vectors, "control_vectors")?
        },
        control_layers: match (params.control_first, params.control_last) {
            (0, 0) => None,
            (first, 0) => Some((first, u32::MAX)),
            (first, last) => Some((first.max(1), last)),
        },
    })
}

/// # Safety
/// `from` is NULL or points to `n` numbers.
unsafe fn numbers(from: *const f32, n: usize) -> Result<Vec<f32>> {
    // Before that many are read.
    if n > 256 && !from.is_null() {
        return Err(Error::param("n_tensor_split", n, "at most 16"));
    }
    // SAFETY: passed on.
    Ok(unsafe { list(from, n, "tensor_split")? }.to_vec())
}

/// Elements of a text with commas between them.
///
/// # Safety
/// `from` is NULL or a text.
unsafe fn elements<T: FromStr<Err = String>>(from: *const c_char, name: &'static str) -> Result<Vec<T>> {
    // SAFETY: passed on.
    let text = unsafe { optional(from, name) }?.unwrap_or_default();
    let elements = text.split(',').filter(|element| !element.is_empty());
    elements.map(|element| element.parse().map_err(|why| Error::param(name, element, allowed(why)))).collect()
}

/// What a parser allows, without the words that an error brings itself.
fn allowed(why: String) -> String {
    why.strip_prefix("must be ").map_or(why.clone(), str::to_owned)
}

/// # Safety
/// `from` is NULL or points to `n` elements, whose paths are texts.
unsafe fn adapters(from: *const CAdapter, n: usize, name: &'static str) -> Result<Vec<Adapter>> {
    // SAFETY: passed on.
    let elements = unsafe { list(from, n, name)? };
    let adapter = |element: &CAdapter| {
        if element.reserved != 0 {
            return Err(Error::param("reserved", element.reserved, "0"));
        }
        // SAFETY: passed on.
        Ok(Adapter { path: unsafe { path(element.path, "path") }?.to_owned(), scale: element.scale })
    };
    elements.iter().map(adapter).collect()
}
