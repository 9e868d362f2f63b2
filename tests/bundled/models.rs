//! The real models that tests run on.
#![allow(unsafe_code, reason = "llama.cpp converts a model by a C function only")]

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use llama_cpp_sys_2 as sys;
use sda::llama::{Model, ModelOptions, backend, set_log};

pub fn path(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is not set: run `make test`, which fetches the test models"));
    path.into()
}

fn load(path: &Path) -> Model {
    set_log(|_| {});
    Model::load(path, &ModelOptions::default(), |_| true).unwrap()
}

/// SmolLM2-135M-Instruct, ChatML template.
pub fn smollm2() -> Model {
    load(&path("SDA_TEST_MODEL"))
}

/// Gemma 3 270M: sliding-window attention, 262144 tokens, no chat template.
pub fn gemma() -> Model {
    load(&path("SDA_TEST_MODEL_GEMMA"))
}

/// The same weights as 32-bit floats: no activation is quantized on the way, so two ways to compute the
/// same thing agree to float precision.
pub fn smollm2_f32() -> Model {
    load(&as_f32(&path("SDA_TEST_MODEL")))
}

/// As [`smollm2_f32`], for Gemma.
pub fn gemma_f32() -> Model {
    load(&as_f32(&path("SDA_TEST_MODEL_GEMMA")))
}

/// Writes the model with 32-bit weights into cargo's folder for test files, once.
pub fn as_f32(source: &Path) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let target = folder.join(format!("{}.f32.gguf", source.file_stem().unwrap().to_string_lossy()));
    if target.exists() {
        return target;
    }
    backend().unwrap();
    set_log(|_| {});
    let partial = folder.join(format!("{}.partial", std::process::id()));
    let [from, to] = [source, &partial].map(|path| CString::new(path.to_str().unwrap()).unwrap());
    // SAFETY: both paths are NUL-terminated, the parameters are llama.cpp's own defaults but for two.
    let code = unsafe {
        let mut params = sys::llama_model_quantize_default_params();
        params.ftype = sys::LLAMA_FTYPE_ALL_F32;
        params.allow_requantize = true;
        sys::llama_model_quantize(from.as_ptr(), to.as_ptr(), &params)
    };
    assert_eq!(code, 0, "llama_model_quantize failed");
    std::fs::rename(&partial, &target).unwrap();
    target
}
