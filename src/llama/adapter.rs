//! What is added to a model when it computes: LoRA adapters, and control vectors.

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use super::path::TextPath;
use super::raw::RawContext;
use crate::error::{Error, Result};

/// A GGUF file that is added to a model, and how strongly.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// The file.
    pub path: PathBuf,
    /// Its strength: finite, 1 is as it was made, 0 is nothing.
    pub scale: f32,
}

/// The layers of a model that control vectors are added to, the first and the last, counted from 1. A last one of
/// `u32::MAX` is the model's.
pub type LayerRange = (u32, u32);

/// LoRA adapters and control vectors of a loaded model. They hold for every context that is made of it.
#[derive(Default)]
pub(super) struct Adapters {
    /// llama.cpp frees them with the model.
    lora: Vec<(NonNull<sys::llama_adapter_lora>, f32)>,
    control: Option<Control>,
}

/// The sum of the control vectors.
struct Control {
    /// Numbers of a layer.
    n_embd: usize,
    /// One layer after another, from the second of the model, which is 1.
    data: Vec<f32>,
    layers: (i32, i32),
}

impl Adapters {
    /// Loads them.
    ///
    /// # Safety
    /// The model is loaded, and lives for longer than what is returned.
    pub(super) unsafe fn load(
        model: NonNull<sys::llama_model>,
        lora: &[Adapter],
        control: &[Adapter],
        layers: Option<LayerRange>,
    ) -> Result<Adapters> {
        // SAFETY: passed on.
        let lora = lora.iter().map(|adapter| unsafe { load_lora(model, adapter) }).collect::<Result<_>>()?;
        // SAFETY: the model is loaded.
        let (n_layers, n_embd) =
            unsafe { (sys::llama_model_n_layer(model.as_ptr()), sys::llama_model_n_embd(model.as_ptr())) };
        let control = Control::load(control, layers, n_layers.max(1) as u32, n_embd.max(0) as usize)?;
        Ok(Adapters { lora, control })
    }

    /// Adds them to a context of the model that they were loaded for.
    pub(super) fn apply(&self, context: &mut RawContext) -> Result<()> {
        let refused = |what: &str| Error::Model {
            reason: format!("llama.cpp cannot use {what} here; its log says why"),
        };
        if !self.lora.is_empty() {
            let mut adapters: Vec<_> = self.lora.iter().map(|(adapter, _)| adapter.as_ptr()).collect();
            let mut scales: Vec<f32> = self.lora.iter().map(|(_, scale)| *scale).collect();
            // SAFETY: the context is live, the adapters are the model's, and there is a scale for each.
            let code = unsafe {
                sys::llama_set_adapters_lora(
                    context.as_ptr(),
                    adapters.as_mut_ptr(),
                    adapters.len(),
                    scales.as_mut_ptr(),
                )
            };
            if code != 0 {
                return Err(refused("these LoRA adapters"));
            }
        }
        if let Some(Control { n_embd, data, layers: (first, last) }) = &self.control {
            // SAFETY: the context is live, and copies the numbers.
            let code = unsafe {
                let (data, len) = (data.as_ptr(), data.len());
                sys::llama_set_adapter_cvec(context.as_ptr(), data, len, *n_embd as i32, *first, *last)
            };
            if code != 0 {
                return Err(refused("these control vectors"));
            }
        }
        Ok(())
    }
}

/// # Safety
/// As for [`Adapters::load`].
unsafe fn load_lora(
    model: NonNull<sys::llama_model>,
    adapter: &Adapter,
) -> Result<(NonNull<sys::llama_adapter_lora>, f32)> {
    check_scale("lora", adapter)?;
    let (shown, name) = (adapter.path.display(), FileName::new(&adapter.path)?);
    // SAFETY: the model is loaded, the name a text.
    let loaded = unsafe { sys::llama_adapter_lora_init(model.as_ptr(), name.text.as_ptr()) };
    let unusable = || Error::Model {
        reason: format!("llama.cpp cannot use {shown} as a LoRA adapter of this model; its log says why"),
    };
    let loaded = NonNull::new(loaded).ok_or_else(unusable)?;
    // SAFETY: the adapter is loaded.
    if unsafe { sys::llama_adapter_get_alora_n_invocation_tokens(loaded.as_ptr()) } > 0 {
        let reason = format!(
            "{shown} is an activated LoRA, which begins in the middle of a prompt: that is not supported"
        );
        return Err(Error::Model { reason });
    }
    Ok((loaded, adapter.scale))
}

fn check_scale(field: &'static str, adapter: &Adapter) -> Result<()> {
    if adapter.scale.is_finite() {
        return Ok(());
    }
    let value = format!("{} with a scale of {}", adapter.path.display(), adapter.scale);
    Err(Error::param(field, value, "with a scale that is finite"))
}

/// The name of a file that is there, for llama.cpp.
struct FileName<'p> {
    text: CString,
    /// Holds a link, if there is one.
    _path: TextPath<'p>,
}

impl FileName<'_> {
    fn new(path: &Path) -> Result<FileName<'_>> {
        let io = |reason: String| Error::Io { path: path.display().to_string(), reason };
        std::fs::File::open(path).map_err(|e| io(e.to_string()))?;
        let readable = TextPath::new(path).map_err(|e| io(e.to_string()))?;
        let text = readable.c_string().map_err(|e| io(e.to_string()))?;
        Ok(FileName { text, _path: readable })
    }
}

impl Control {
    /// Adds up the files, as llama.cpp's programs do. None without a file.
    fn load(
        vectors: &[Adapter],
        layers: Option<LayerRange>,
        n_layers: u32,
        n_embd: usize,
    ) -> Result<Option<Control>> {
        let (first, last) = layers.unwrap_or((1, n_layers));
        let last = if last == u32::MAX { n_layers } else { last };
        if first < 1 || first > last || last > n_layers {
            let allowed = format!("two layers from 1 to {n_layers}, the first not behind the last");
            return Err(Error::param("control_layers", format!("{first} to {last}"), allowed));
        }
        if vectors.is_empty() {
            return Ok(None);
        }
        let mut data = Vec::new();
        for vector in vectors {
            check_scale("control_vectors", vector)?;
            add(vector, n_embd, &mut data).map_err(|reason| Error::Model {
                reason: format!("{} is no control vector for this model: {reason}", vector.path.display()),
            })??;
        }
        Ok(Some(Control { n_embd, data, layers: (first as i32, last as i32) }))
    }
}

/// Adds a file to a sum. The inner error is that of reading it, the outer says what is wrong in it.
fn add(vector: &Adapter, n_embd: usize, sum: &mut Vec<f32>) -> std::result::Result<Result<()>, String> {
    let name = match FileName::new(&vector.path) {
        Ok(name) => name,
        Err(error) => return Ok(Err(error)),
    };
    let file = Gguf::read(&name.text).ok_or("it is not a GGUF file")?;
    let directions = file.directions()?;
    if directions.is_empty() {
        return Err("it has no tensor direction.1 or a later one".into());
    }
    for (layer, direction) in directions {
        if direction.len() != n_embd {
            return Err(format!("direction.{layer} has {} numbers, must have {n_embd}", direction.len()));
        }
        let begin = n_embd * (layer - 1);
        if sum.len() < begin + n_embd {
            sum.resize(begin + n_embd, 0.0);
        }
        for (to, x) in sum[begin..].iter_mut().zip(direction) {
            *to += x * vector.scale;
        }
    }
    Ok(Ok(()))
}

/// More layers than any model has.
const MOST_LAYERS: usize = 1 << 16;

/// A GGUF file with its tensors in memory.
struct Gguf {
    file: NonNull<sys::gguf_context>,
    tensors: NonNull<sys::ggml_context>,
}

impl Gguf {
    /// None if it cannot be read.
    fn read(name: &CStr) -> Option<Gguf> {
        let mut tensors = std::ptr::null_mut();
        let params = sys::gguf_init_params { no_alloc: false, ctx: &raw mut tensors };
        // SAFETY: the name is a text, and the parameters point to a place for the tensors.
        let file = NonNull::new(unsafe { sys::gguf_init_from_file(name.as_ptr(), params) })?;
        match NonNull::new(tensors) {
            Some(tensors) => Some(Gguf { file, tensors }),
            None => {
                // SAFETY: it was made above and is freed once.
                unsafe { sys::gguf_free(file.as_ptr()) };
                None
            }
        }
    }

    /// The tensors, all of which are called `direction.LAYER`.
    fn directions(&self) -> std::result::Result<Vec<(usize, &[f32])>, String> {
        // SAFETY: the file is live.
        let n = unsafe { sys::gguf_get_n_tensors(self.file.as_ptr()) };
        (0..n).map(|i| self.direction(i)).collect()
    }

    fn direction(&self, i: i64) -> std::result::Result<(usize, &[f32]), String> {
        // SAFETY: the file is live and has a tensor of this index, whose name and numbers live as long as it does. Its
        // type and its dimensions are looked at before its numbers are read.
        unsafe {
            let name = sys::gguf_get_tensor_name(self.file.as_ptr(), i);
            let shown = CStr::from_ptr(name).to_string_lossy();
            let layer = shown.strip_prefix("direction.").and_then(|layer| layer.parse().ok());
            let layer = layer.filter(|layer| (1..=MOST_LAYERS).contains(layer));
            let layer =
                layer.ok_or_else(|| format!("its tensor {shown} is not called direction.LAYER, from 1"))?;
            let tensor = sys::ggml_get_tensor(self.tensors.as_ptr(), name);
            let tensor =
                tensor.as_ref().filter(|tensor| tensor.type_ == sys::GGML_TYPE_F32 && !tensor.data.is_null());
            let tensor = tensor.filter(|tensor| sys::ggml_n_dims(*tensor) == 1);
            let tensor = tensor.ok_or_else(|| format!("its tensor {shown} is not a row of 32-bit floats"))?;
            let n = usize::try_from(sys::ggml_nelements(tensor)).unwrap_or(0);
            Ok((layer, std::slice::from_raw_parts(tensor.data.cast(), n)))
        }
    }
}

impl Drop for Gguf {
    fn drop(&mut self) {
        // SAFETY: both were made together and are freed once.
        unsafe {
            sys::gguf_free(self.file.as_ptr());
            sys::ggml_free(self.tensors.as_ptr());
        }
    }
}
