//! What is taken for another value than a model's file has: its metadata, and where its tensors are kept.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fmt;
use std::str::FromStr;

use llama_cpp_sys_2 as sys;

use super::model::backend;
use crate::error::{Error, Result};

/// The most bytes of a key, and of a text: llama.cpp keeps them in arrays with a NUL at the end.
const MOST_BYTES: usize = 127;

/// A value in place of that of a model's file.
#[derive(Clone, Debug, PartialEq)]
pub struct KvOverride {
    /// The key, such as `tokenizer.ggml.add_bos_token`: 1 to 127 bytes.
    pub key: String,
    /// Its value, of the type that the file has.
    pub value: KvValue,
}

/// A value of a model's metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum KvValue {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A text of at most 127 bytes.
    Text(String),
}

impl fmt::Display for KvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KvValue::Int(value) => write!(f, "{value}"),
            KvValue::Float(value) => write!(f, "{value}"),
            KvValue::Bool(value) => write!(f, "{value}"),
            KvValue::Text(value) => write!(f, "{value}"),
        }
    }
}

impl FromStr for KvOverride {
    type Err = String;

    /// As llama.cpp reads it: `KEY=TYPE:VALUE`, with the types int, float, bool and str.
    fn from_str(text: &str) -> std::result::Result<KvOverride, String> {
        let form = || {
            "must be KEY=TYPE:VALUE with a type int, float, bool or str, as in llama.context_length=int:8192"
                .to_owned()
        };
        let (key, value) = text.split_once('=').ok_or_else(form)?;
        let (kind, value) = value.split_once(':').ok_or_else(form)?;
        let wrong = |what: &str| format!("has {value:?} as a value, must be {what}");
        let value = match kind {
            "int" => KvValue::Int(value.parse().map_err(|_| wrong("a whole number"))?),
            "float" => KvValue::Float(value.parse().map_err(|_| wrong("a number"))?),
            "bool" => KvValue::Bool(value.parse().map_err(|_| wrong("true or false"))?),
            "str" => KvValue::Text(value.to_owned()),
            _ => return Err(form()),
        };
        Ok(KvOverride { key: key.to_owned(), value })
    }
}

impl KvOverride {
    pub(super) fn validate(&self) -> Result<()> {
        let fits = |text: &str| text.len() <= MOST_BYTES && !text.contains('\0');
        if self.key.is_empty() || !fits(&self.key) {
            return Err(Error::param("kv_overrides", &self.key, "with a key of 1 to 127 bytes without NUL"));
        }
        match &self.value {
            KvValue::Text(text) if !fits(text) => {
                Err(Error::param("kv_overrides", text, "a text of at most 127 bytes without NUL"))
            }
            KvValue::Float(value) if !value.is_finite() => Err(Error::param("kv_overrides", value, "finite")),
            _ => Ok(()),
        }
    }

    /// The same for llama.cpp. It has been validated.
    pub(super) fn raw(&self) -> sys::llama_model_kv_override {
        let (tag, value) = match &self.value {
            KvValue::Int(value) => (sys::LLAMA_KV_OVERRIDE_TYPE_INT, Value { val_i64: *value }),
            KvValue::Float(value) => (sys::LLAMA_KV_OVERRIDE_TYPE_FLOAT, Value { val_f64: *value }),
            KvValue::Bool(value) => (sys::LLAMA_KV_OVERRIDE_TYPE_BOOL, Value { val_bool: *value }),
            KvValue::Text(value) => (sys::LLAMA_KV_OVERRIDE_TYPE_STR, Value { val_str: array(value) }),
        };
        sys::llama_model_kv_override { tag, key: array(&self.key), __bindgen_anon_1: value }
    }

    /// What ends a list of them: an empty key.
    pub(super) fn end() -> sys::llama_model_kv_override {
        sys::llama_model_kv_override {
            tag: 0,
            key: [0; MOST_BYTES + 1],
            __bindgen_anon_1: Value { val_i64: 0 },
        }
    }
}

type Value = sys::llama_model_kv_override__bindgen_ty_1;

fn array(text: &str) -> [std::ffi::c_char; MOST_BYTES + 1] {
    let mut array = [0; MOST_BYTES + 1];
    for (to, byte) in array.iter_mut().zip(text.bytes().take(MOST_BYTES)) {
        *to = byte as std::ffi::c_char;
    }
    array
}

/// A place for tensors of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorOverride {
    /// A regular expression, as C++ has them (ECMAScript): tensors in whose name it is found.
    pub pattern: String,
    /// The memory: `CPU`, or the name of a device.
    pub buffer: String,
}

impl FromStr for TensorOverride {
    type Err = String;

    /// As llama.cpp reads it: `PATTERN=BUFFER`.
    fn from_str(text: &str) -> std::result::Result<TensorOverride, String> {
        let (pattern, buffer) =
            text.split_once('=').ok_or("must be a pattern, = and a buffer, as in exps=CPU")?;
        Ok(TensorOverride { pattern: pattern.to_owned(), buffer: buffer.to_owned() })
    }
}

impl TensorOverride {
    /// Keeps the experts of a mixture on the CPU: those of all layers, or of one.
    pub fn experts_on_cpu(layer: Option<u32>) -> TensorOverride {
        let layer = layer.map_or_else(String::new, |layer| format!("blk\\.{layer}"));
        // llama.cpp's LLM_FFN_EXPS_REGEX.
        let pattern = format!("{layer}\\.ffn_(up|down|gate|gate_up)_(ch|)exps");
        TensorOverride { pattern, buffer: "CPU".to_owned() }
    }
}

/// The overrides for llama.cpp, with the texts that they point to.
#[derive(Default)]
pub(super) struct TensorOverrides {
    pub(super) raw: Vec<sys::llama_model_tensor_buft_override>,
    _patterns: Vec<CString>,
}

impl TensorOverrides {
    /// # Errors
    /// [`Error::Param`] for a buffer that there is not.
    pub(super) fn new(overrides: &[TensorOverride]) -> Result<TensorOverrides> {
        if overrides.is_empty() {
            return Ok(TensorOverrides::default());
        }
        let buffers = buffers()?;
        let mut made = TensorOverrides::default();
        for TensorOverride { pattern, buffer } in overrides {
            let buft = *buffers.get(buffer).ok_or_else(|| {
                let known: Vec<&str> = buffers.keys().map(String::as_str).collect();
                Error::param(
                    "tensor_overrides",
                    format!("{pattern}={buffer}"),
                    format!("with one of {}", known.join(", ")),
                )
            })?;
            let text = CString::new(pattern.as_str())
                .ok()
                .filter(|_| !pattern.is_empty())
                .ok_or_else(|| Error::param("tensor_overrides", pattern, "a pattern without NUL"))?;
            // The text stays where it is when the list grows.
            made.raw.push(sys::llama_model_tensor_buft_override { pattern: text.as_ptr(), buft });
            made._patterns.push(text);
        }
        let end =
            sys::llama_model_tensor_buft_override { pattern: std::ptr::null(), buft: std::ptr::null_mut() };
        made.raw.push(end);
        Ok(made)
    }
}

/// The memory of each device, by its name.
fn buffers() -> Result<BTreeMap<String, sys::ggml_backend_buffer_type_t>> {
    backend()?;
    let mut buffers = BTreeMap::new();
    // SAFETY: devices are asked by indices that they have; a name lives as long as its buffer type, which is for ever.
    unsafe {
        for index in 0..sys::ggml_backend_dev_count() {
            let buft = sys::ggml_backend_dev_buffer_type(sys::ggml_backend_dev_get(index));
            if !buft.is_null() {
                let name = CStr::from_ptr(sys::ggml_backend_buft_name(buft)).to_string_lossy().into_owned();
                buffers.insert(name, buft);
            }
        }
    }
    Ok(buffers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_llama_cpp_reads_it() {
        let read = |text: &str| text.parse::<KvOverride>().map(|it| (it.key, it.value));
        let is = |key: &str, value| Ok((key.to_owned(), value));
        assert_eq!(read("a.b=int:-7"), is("a.b", KvValue::Int(-7)));
        assert_eq!(read("a=float:1e4"), is("a", KvValue::Float(1e4)));
        assert_eq!(read("a=bool:false"), is("a", KvValue::Bool(false)));
        assert_eq!(read("a=str:b=c:d"), is("a", KvValue::Text("b=c:d".into())));
        for wrong in ["", "a", "a=", "a=5", "a=u8:5"] {
            assert!(read(wrong).unwrap_err().starts_with("must be KEY=TYPE:VALUE"), "{wrong}");
        }
        for (wrong, what) in
            [("a=int:1.5", "a whole number"), ("a=float:x", "a number"), ("a=bool:1", "true or false")]
        {
            assert!(read(wrong).unwrap_err().ends_with(what), "{wrong}");
        }
        let validate = |key: &str, value| KvOverride { key: key.into(), value }.validate();
        assert_eq!(validate(&"k".repeat(127), KvValue::Text("v".repeat(127))), Ok(()));
        assert!(
            validate("", KvValue::Int(1)).is_err() && validate(&"k".repeat(128), KvValue::Int(1)).is_err()
        );
        assert!(validate("k", KvValue::Text("v".repeat(128))).is_err());
        assert!(validate("k", KvValue::Float(f64::NAN)).is_err());
    }

    #[test]
    fn tensors_go_to_a_memory_that_there_is() {
        let read = |text: &str| text.parse::<TensorOverride>();
        assert_eq!(read("ffn=CPU"), Ok(TensorOverride { pattern: "ffn".into(), buffer: "CPU".into() }));
        assert!(read("ffn").is_err());
        let made = TensorOverrides::new(&[read("ffn=CPU").unwrap()]).unwrap();
        assert!(made.raw.len() == 2 && made.raw[1].pattern.is_null());
        let error = TensorOverrides::new(&[read("ffn=Foo").unwrap()]).err().unwrap().to_string();
        assert!(
            error.starts_with("tensor_overrides is ffn=Foo, must be with one of ") && error.contains("CPU"),
            "{error}"
        );
        let experts = |layer| TensorOverride::experts_on_cpu(layer).pattern;
        assert_eq!(experts(None), r"\.ffn_(up|down|gate|gate_up)_(ch|)exps");
        assert_eq!(experts(Some(3)), r"blk\.3\.ffn_(up|down|gate|gate_up)_(ch|)exps");
    }
}
