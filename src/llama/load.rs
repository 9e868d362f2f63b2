//! What a model is loaded with, and llama.cpp's call for it.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::str::FromStr;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use super::adapter::{Adapter, Adapters, LayerRange};
use super::overrides::{KvOverride, TensorOverride, TensorOverrides};
use super::{device, rpc};
use crate::error::{Error, Result};
use crate::guard::guard_or;

/// How to load a model.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// Layers whose weights go to devices. Without a device it is of no effect, as in llama.cpp.
    pub n_gpu_layers: GpuLayers,
    /// llama.cpp's RPC servers, each `HOST:PORT`, whose devices are added: see
    /// [`add_rpc_servers`](super::add_rpc_servers). Default none.
    pub rpc_servers: Vec<String>,
    /// Names of the devices to use, see [`devices`](super::devices): None (the default) for all GPUs, empty for none.
    pub devices: Option<Vec<String>>,
    /// How a model is split among several devices.
    pub split_mode: SplitMode,
    /// Which of the devices computes alone, counted from 0, where [`SplitMode::None`] splits nothing; the one for what
    /// cannot be split with [`SplitMode::Row`]. Default 0.
    pub main_gpu: u32,
    /// How much of the model each device takes, as proportions that are at least 0. Empty (the default) leaves it to
    /// llama.cpp, which goes by their free memory. At most [`max_devices`](super::max_devices).
    pub tensor_split: Vec<f32>,
    /// Map the file instead of reading it. Default true.
    pub use_mmap: bool,
    /// Keep the weights from being swapped out. Default false.
    pub use_mlock: bool,
    /// Lay weights out anew for this CPU's instructions, where that makes them faster. Default true.
    pub repack: bool,
    /// Refuse weights that are infinite or not a number, which reads all of them. Default false.
    pub check_tensors: bool,
    /// Memory for tensors by their names; the first pattern that fits counts. Default none.
    pub tensor_overrides: Vec<TensorOverride>,
    /// Values in place of those of the file. One of another type than the file's is of no effect. Default none.
    pub kv_overrides: Vec<KvOverride>,
    /// LoRA adapters, which every context of the model has. Default none.
    pub lora: Vec<Adapter>,
    /// Control vectors, whose sum every context of the model has. Default none.
    pub control_vectors: Vec<Adapter>,
    /// The layers that control vectors are added to. None (the default): all of them.
    pub control_layers: Option<LayerRange>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        ModelOptions {
            n_gpu_layers: GpuLayers::Auto,
            rpc_servers: Vec::new(),
            devices: None,
            split_mode: SplitMode::Layer,
            main_gpu: 0,
            tensor_split: Vec::new(),
            use_mmap: true,
            use_mlock: false,
            repack: true,
            check_tensors: false,
            tensor_overrides: Vec::new(),
            kv_overrides: Vec::new(),
            lora: Vec::new(),
            control_vectors: Vec::new(),
            control_layers: None,
        }
    }
}

/// How many layers go to devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GpuLayers {
    /// All of them.
    #[default]
    Auto,
    /// All of them.
    All,
    /// So many, the last ones of the model; 0 is none.
    Count(u32),
}

impl GpuLayers {
    /// llama.cpp's number for it: -1 is [`GpuLayers::Auto`], -2 is [`GpuLayers::All`].
    pub fn number(self) -> i32 {
        match self {
            GpuLayers::Auto => -1,
            GpuLayers::All => -2,
            GpuLayers::Count(n) => i32::try_from(n).unwrap_or(i32::MAX),
        }
    }

    /// The setting of one of llama.cpp's numbers.
    ///
    /// # Errors
    /// [`Error::Param`] for a number below -2.
    pub fn of_number(number: i32) -> Result<GpuLayers> {
        match number {
            -1 => Ok(GpuLayers::Auto),
            -2 => Ok(GpuLayers::All),
            _ => u32::try_from(number)
                .map(GpuLayers::Count)
                .map_err(|_| Error::param("n_gpu_layers", number, "at least -2: -1 is auto, -2 is all")),
        }
    }
}

impl FromStr for GpuLayers {
    type Err = String;

    /// As llama.cpp reads it.
    fn from_str(text: &str) -> std::result::Result<GpuLayers, String> {
        match text {
            "auto" => Ok(GpuLayers::Auto),
            "all" => Ok(GpuLayers::All),
            _ => {
                let number = text.parse().ok().and_then(|number| GpuLayers::of_number(number).ok());
                number.ok_or_else(|| format!("must be auto, all, or 0 to {}", i32::MAX))
            }
        }
    }
}

/// How a model is split among several devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SplitMode {
    /// Not at all: one device has it all.
    None,
    /// By layers, with their part of the KV cache.
    #[default]
    Layer,
    /// By the rows of the weights, where the backend can.
    Row,
    /// By the rows of weights and of the KV cache. Experimental in llama.cpp, and only for some architectures.
    Tensor,
}

impl SplitMode {
    const ALL: [(SplitMode, &str, sys::llama_split_mode); 4] = [
        (SplitMode::None, "none", sys::LLAMA_SPLIT_MODE_NONE),
        (SplitMode::Layer, "layer", sys::LLAMA_SPLIT_MODE_LAYER),
        (SplitMode::Row, "row", sys::LLAMA_SPLIT_MODE_ROW),
        (SplitMode::Tensor, "tensor", sys::LLAMA_SPLIT_MODE_TENSOR),
    ];

    /// llama.cpp's number for it, `llama_split_mode`.
    pub fn number(self) -> i32 {
        SplitMode::ALL.iter().find(|(mode, ..)| *mode == self).map_or(0, |(.., number)| *number as i32)
    }

    /// The setting of one of llama.cpp's numbers.
    ///
    /// # Errors
    /// [`Error::Param`] for a number that it has not.
    pub fn of_number(number: i32) -> Result<SplitMode> {
        let mode = SplitMode::ALL.iter().find(|(.., n)| *n as i32 == number).map(|(mode, ..)| *mode);
        mode.ok_or_else(|| Error::param("split_mode", number, "0 (none), 1 (layer), 2 (row) or 3 (tensor)"))
    }
}

impl FromStr for SplitMode {
    type Err = String;

    /// As llama.cpp reads it.
    fn from_str(text: &str) -> std::result::Result<SplitMode, String> {
        let mode = SplitMode::ALL.iter().find(|(_, name, _)| *name == text).map(|(mode, ..)| *mode);
        mode.ok_or_else(|| "must be none, layer, row or tensor".to_owned())
    }
}

impl ModelOptions {
    /// Checks every field, with the devices of this machine and those of `rpc_servers`.
    ///
    /// # Errors
    /// [`Error::Param`], with the field's name; those of [`add_rpc_servers`](super::add_rpc_servers).
    pub fn validate(&self) -> Result<()> {
        self.resolve().map(drop)
    }

    /// Checks every field, and finds what is named in them.
    fn resolve(&self) -> Result<Resolved> {
        rpc::add_rpc_servers(&self.rpc_servers)?;
        let devices = device::chosen(self.devices.as_deref())?;
        if self.split_mode == SplitMode::None {
            let n_devices = devices.as_ref().map_or_else(device::n_offload, Vec::len);
            // Without devices it is of no effect.
            if n_devices > 0 && self.main_gpu as usize >= n_devices {
                let allowed = format!("less than {n_devices}, the number of devices");
                return Err(Error::param("main_gpu", self.main_gpu, allowed));
            }
        }
        let most = device::max_devices();
        if self.tensor_split.len() > most {
            let given = format!("{} proportions", self.tensor_split.len());
            return Err(Error::param("tensor_split", given, format!("at most {most}")));
        }
        if let Some(wrong) = self.tensor_split.iter().find(|share| !(share.is_finite() && **share >= 0.0)) {
            return Err(Error::param("tensor_split", wrong, "at least 0 and finite"));
        }
        if !self.tensor_split.is_empty() && self.tensor_split.iter().all(|share| *share == 0.0) {
            return Err(Error::param("tensor_split", "0 for each device", "more than 0 for one of them"));
        }
        let tensor_overrides = TensorOverrides::new(&self.tensor_overrides)?;
        self.kv_overrides.iter().try_for_each(KvOverride::validate)?;
        Ok(Resolved { devices, tensor_overrides })
    }

    /// The value that takes the place of that of a key.
    pub(super) fn overridden(&self, key: &str) -> Option<String> {
        // llama.cpp keeps the last one.
        self.kv_overrides.iter().rev().find(|it| it.key == key).map(|it| it.value.to_string())
    }

    /// True for options that make a model say something else than its file alone would.
    pub(super) fn changes_model(&self) -> bool {
        !(self.lora.is_empty() && self.control_vectors.is_empty() && self.kv_overrides.is_empty())
    }
}

/// llama.cpp's own objects for what options name.
struct Resolved {
    /// None for all devices.
    devices: Option<Vec<sys::ggml_backend_dev_t>>,
    tensor_overrides: TensorOverrides,
}

/// llama.cpp's parameters, and what they point to.
struct Params<P> {
    raw: sys::llama_model_params,
    /// Ends with NULL.
    devices: Vec<sys::ggml_backend_dev_t>,
    /// One for each device that llama.cpp could have.
    tensor_split: Vec<f32>,
    tensor_overrides: TensorOverrides,
    /// Ends with an empty key.
    kv_overrides: Vec<sys::llama_model_kv_override>,
    progress: Box<P>,
}

impl<P: FnMut(f32) -> bool> Params<P> {
    fn new(options: &ModelOptions, progress: P) -> Result<Box<Params<P>>> {
        let Resolved { devices, tensor_overrides } = options.resolve()?;
        let mut params = Box::new(Params {
            // SAFETY: a plain function.
            raw: unsafe { sys::llama_model_default_params() },
            devices: Vec::new(),
            tensor_split: options.tensor_split.clone(),
            tensor_overrides,
            kv_overrides: options.kv_overrides.iter().map(KvOverride::raw).collect(),
            progress: Box::new(progress),
        });
        if let Some(mut chosen) = devices {
            chosen.push(std::ptr::null_mut());
            params.devices = chosen;
            params.raw.devices = params.devices.as_mut_ptr();
        }
        if !params.tensor_split.is_empty() {
            params.tensor_split.resize(device::max_devices(), 0.0);
            params.raw.tensor_split = params.tensor_split.as_ptr();
        }
        if !params.tensor_overrides.raw.is_empty() {
            params.raw.tensor_buft_overrides = params.tensor_overrides.raw.as_ptr();
        }
        if !params.kv_overrides.is_empty() {
            params.kv_overrides.push(KvOverride::end());
            params.raw.kv_overrides = params.kv_overrides.as_ptr();
        }
        params.raw.use_extra_bufts = options.repack;
        params.raw.check_tensors = options.check_tensors;
        params.raw.n_gpu_layers = options.n_gpu_layers.number();
        params.raw.split_mode = options.split_mode.number() as sys::llama_split_mode;
        params.raw.main_gpu = options.main_gpu as i32;
        params.raw.load_mode = match (options.use_mmap, options.use_mlock) {
            (false, false) => sys::LLAMA_LOAD_MODE_NONE,
            (true, false) => sys::LLAMA_LOAD_MODE_MMAP,
            (false, true) => sys::LLAMA_LOAD_MODE_MLOCK,
            (true, true) => sys::LLAMA_LOAD_MODE_MMAP_MLOCK,
        };
        params.raw.progress_callback = Some(report::<P>);
        params.raw.progress_callback_user_data = std::ptr::from_mut(&mut *params.progress).cast();
        Ok(params)
    }
}

unsafe extern "C" fn report<P: FnMut(f32) -> bool>(share: f32, data: *mut c_void) -> bool {
    // SAFETY: the data is the function of `Params`, which lives as long as the load.
    guard_or(false, || unsafe { (*data.cast::<P>())(share) })
}

/// A model that llama.cpp has loaded.
pub(super) struct Loaded {
    /// Frees it.
    pub(super) model: LlamaModel,
    pub(super) pointer: NonNull<sys::llama_model>,
    pub(super) adapters: Adapters,
    pub(super) options: ModelOptions,
}

// SAFETY: llama.cpp's model is not changed once it is loaded, but for what `llama_init_from_model` notes in it, as
// llama-cpp-2 takes it.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

/// Loads a file. None if llama.cpp could not, its log says why, or if `progress` was false.
pub(super) fn load(
    name: &CStr,
    options: &ModelOptions,
    progress: impl FnMut(f32) -> bool + 'static,
) -> Result<Option<Loaded>> {
    let params = Params::new(options, progress)?;
    // SAFETY: the name ends with NUL, and all that the parameters point to lives during the call.
    let Some(pointer) = NonNull::new(unsafe { sys::llama_model_load_from_file(name.as_ptr(), params.raw) })
    else {
        return Ok(None);
    };
    // SAFETY: `LlamaModel` is declared as transparent, over a transparent wrapper of this very pointer, and has no
    // constructor but its own load, which knows fewer parameters. Its drop frees the model.
    let model = unsafe { std::mem::transmute::<NonNull<sys::llama_model>, LlamaModel>(pointer) };
    // SAFETY: the model is loaded, and kept beside them.
    let adapters =
        unsafe { Adapters::load(pointer, &options.lora, &options.control_vectors, options.control_layers) }?;
    Ok(Some(Loaded { model, pointer, adapters, options: options.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_as_llama_cpp_reads_them() {
        let read = |text: &str| text.parse::<GpuLayers>();
        assert_eq!(read("auto"), Ok(GpuLayers::Auto));
        assert_eq!(read("-1"), Ok(GpuLayers::Auto));
        assert_eq!(read("all"), Ok(GpuLayers::All));
        assert_eq!(read("99"), Ok(GpuLayers::Count(99)));
        for wrong in ["", "-3", "1.5", "2147483648", "ALL"] {
            assert_eq!(read(wrong).unwrap_err(), "must be auto, all, or 0 to 2147483647", "{wrong}");
        }
        for layers in [GpuLayers::Auto, GpuLayers::All, GpuLayers::Count(0), GpuLayers::Count(7)] {
            assert_eq!(GpuLayers::of_number(layers.number()), Ok(layers));
        }
    }

    #[test]
    fn split_modes_have_llama_cpps_names_and_numbers() {
        for (mode, name, number) in SplitMode::ALL {
            assert_eq!(name.parse(), Ok(mode));
            assert_eq!(SplitMode::of_number(number as i32), Ok(mode));
            assert_eq!(mode.number(), number as i32);
        }
        assert!("rows".parse::<SplitMode>().is_err());
        let error = SplitMode::of_number(4).unwrap_err().to_string();
        assert_eq!(error, "split_mode is 4, must be 0 (none), 1 (layer), 2 (row) or 3 (tensor)");
    }

    #[test]
    fn what_no_device_can_do_is_refused_by_the_fields_name() {
        let refused = |change: fn(&mut ModelOptions)| {
            let mut options = ModelOptions::default();
            assert_eq!(options.validate(), Ok(()));
            change(&mut options);
            options.validate().unwrap_err().to_string()
        };
        let error = refused(|o| o.devices = Some(vec!["Nonsense7".into()]));
        assert!(error.starts_with("devices is Nonsense7, must be "), "{error}");
        let error = refused(|o| o.devices = Some(vec!["CPU".into()]));
        assert!(error.starts_with("devices is CPU, must be "), "{error}");
        for (split, error) in [
            (vec![-1.0], "tensor_split is -1, must be at least 0 and finite"),
            (vec![1.0, f32::NAN], "tensor_split is NaN, must be at least 0 and finite"),
            (vec![0.0, 0.0], "tensor_split is 0 for each device, must be more than 0 for one of them"),
            (vec![1.0; 17], "tensor_split is 17 proportions, must be at most 16"),
        ] {
            let options = ModelOptions { tensor_split: split, ..ModelOptions::default() };
            assert_eq!(options.validate().unwrap_err().to_string(), error);
        }
    }
}
