//! What the C interface loads a model with.

#![allow(unsafe_code, reason = "it calls the C interface as C does")]

use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;

use sda::ffi::*;
use sda_test_kit::ffi::{made, text};
use sda_test_kit::gguf_write::{write_control, write_lora};

use crate::ffi_engine::{Engine, model_path};

/// Loads the test model with other parameters, and frees it. The status, and the text of its error.
fn load(change: impl FnOnce(&mut CModelParams)) -> (i32, String) {
    let (path, mut model, mut error) = (CString::new(model_path()).unwrap(), null_mut(), [0; 300]);
    let mut params = made(sda_model_params_init);
    change(&mut params);
    // SAFETY: all pointers are live or NULL.
    unsafe {
        let status = sda_model_new(path.as_ptr(), &params, error.as_mut_ptr(), error.len(), &mut model);
        assert_eq!(model.is_null(), status != SDA_OK);
        sda_model_free(model);
        (status, text(error.as_ptr()))
    }
}

fn refused(change: impl FnOnce(&mut CModelParams)) -> String {
    let (status, error) = load(change);
    assert_eq!(status, SDA_ERR_PARAM, "{error}");
    error
}

#[test]
fn devices_are_chosen_by_name_and_what_there_is_not_is_refused() {
    assert_eq!(load(|p| (p.devices, p.n_gpu_layers) = (c"none".as_ptr(), -2)).0, SDA_OK);
    assert!(refused(|p| p.devices = c"Foo3".as_ptr()).starts_with("devices is Foo3, must be "));
    assert!(refused(|p| p.n_gpu_layers = -3).starts_with("n_gpu_layers is -3, must be at least -2"));
    assert!(refused(|p| p.split_mode = 4).starts_with("split_mode is 4, must be 0 (none)"));
    let shares = [1.0, f32::INFINITY];
    let error = refused(|p| (p.tensor_split, p.n_tensor_split) = (shares.as_ptr(), 2));
    assert_eq!(error, "tensor_split is inf, must be at least 0 and finite");
    assert_eq!(load(|p| p.n_tensor_split = 1), (SDA_ERR_NULL, "tensor_split is NULL".to_owned()));
    assert_eq!(load(|p| (p.tensor_split, p.n_tensor_split) = (shares.as_ptr(), 1)).0, SDA_OK);
    // A program that was compiled before these fields.
    let old = std::mem::offset_of!(CModelParams, devices);
    assert_eq!(load(|p| (p.struct_size, p.devices) = (old, c"Foo3".as_ptr())).0, SDA_OK);
}

unsafe extern "C" fn collect(device: *const CDevice, names: *mut c_void) {
    // SAFETY: the library lends a device, the test passed a list.
    let (device, names) = unsafe { (&*device, &mut *names.cast::<Vec<(String, i32)>>()) };
    assert_eq!(device.struct_size, size_of::<CDevice>());
    for text in [device.name, device.description, device.backend] {
        // SAFETY: the library lends texts.
        assert!(!unsafe { CStr::from_ptr(text) }.is_empty());
    }
    names.push((text(device.name), device.kind));
}

#[test]
fn every_device_is_told_and_the_cpu_is_one() {
    let mut names: Vec<(String, i32)> = Vec::new();
    // SAFETY: the function and its list live during the calls.
    unsafe {
        assert_eq!(sda_devices(Some(collect), (&raw mut names).cast()), SDA_OK);
        assert_eq!(sda_devices(None, null_mut()), SDA_ERR_NULL);
    }
    assert!(names.contains(&("CPU".to_owned(), 0)), "{names:?}");
}

#[test]
fn adapters_and_overrides_are_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let (lora, control) = (folder.path().join("lora.gguf"), folder.path().join("control.gguf"));
    write_lora(&lora, 2, 576, 0.5);
    write_control(&control, 9, 576, 2.0);
    let name = |path: &std::path::Path| CString::new(path.to_str().unwrap()).unwrap();
    let (lora, control) = (name(&lora), name(&control));
    let adapter = |path: &CString, scale| [CAdapter { path: path.as_ptr(), scale, reserved: 0 }];
    let (once, never, vector) = (adapter(&lora, 1.0), adapter(&lora, 0.0), adapter(&control, 1.0));

    let plain = says(|_| ());
    let with_lora = |of: &[CAdapter; 1]| says(|p| (p.lora, p.n_lora) = (of.as_ptr(), 1));
    assert_ne!(with_lora(&once), plain);
    assert_eq!(with_lora(&never), plain);
    let with_vector = |first, last| {
        says(|p| {
            (p.control_vectors, p.n_control_vectors) = (vector.as_ptr(), 1);
            (p.control_first, p.control_last) = (first, last);
        })
    };
    assert_ne!(with_vector(0, 0), plain);
    assert_eq!(with_vector(10, 0), plain);
    assert_eq!(with_vector(9, 9), with_vector(0, 0));
    let base = c"llama.rope.freq_base=float:500,tokenizer.ggml.add_bos_token=bool:false";
    assert_ne!(says(|p| p.kv_overrides = base.as_ptr()), plain);
    assert_eq!(says(|p| p.tensor_overrides = c"blk\\.0\\.=CPU".as_ptr()), plain);

    assert!(
        refused(|p| p.kv_overrides = c"a=b".as_ptr())
            .starts_with("kv_overrides is a=b, must be KEY=TYPE:VALUE")
    );
    assert!(
        refused(|p| p.tensor_overrides = c"a=Foo".as_ptr())
            .starts_with("tensor_overrides is a=Foo, must be ")
    );
    assert!(refused(|p| p.control_last = 31).starts_with("control_layers is 1 to 31, must be two layers"));
    let wrong = [CAdapter { reserved: 1, ..once[0] }];
    assert_eq!(refused(|p| (p.lora, p.n_lora) = (wrong.as_ptr(), 1)), "reserved is 1, must be 0");
    assert_eq!(load(|p| p.n_lora = 1), (SDA_ERR_NULL, "lora is NULL".to_owned()));
    let missing = [CAdapter { path: c"no-such.gguf".as_ptr(), ..once[0] }];
    assert_eq!(load(|p| (p.lora, p.n_lora) = (missing.as_ptr(), 1)).0, SDA_ERR_IO);
}

/// What the engine says on a model that was loaded so.
fn says(change: impl FnOnce(&mut CModelParams)) -> String {
    let (path, mut model, mut error) = (CString::new(model_path()).unwrap(), null_mut(), [0; 300]);
    let mut params = made(sda_model_params_init);
    change(&mut params);
    // SAFETY: all pointers are live.
    unsafe {
        let status = sda_model_new(path.as_ptr(), &params, error.as_mut_ptr(), error.len(), &mut model);
        assert_eq!(status, SDA_OK, "{}", text(error.as_ptr()));
    }
    Engine::of(model, |params| params.n_ctx = 256).text(|p| p.n_predict = 10)
}

#[test]
fn positions_and_the_types_of_the_cache_are_set_for_an_engine() {
    let says = |change: fn(&mut CEngineParams)| {
        Engine::with(|params| {
            params.n_ctx = 256;
            change(params);
        })
        .text(|p| p.n_predict = 10)
    };
    let plain = says(|_| ());
    let scaled = says(|p| p.rope_freq_scale = 0.25);
    assert_ne!(scaled, plain);
    assert_eq!(says(|p| (p.rope_freq_scale, p.rope_scaling) = (0.25, 0)), plain);
    assert_ne!(says(|p| (p.rope_freq_scale, p.rope_scaling) = (0.25, 2)), scaled);
    assert_ne!(says(|p| p.rope_freq_base = 500.0), plain);
    let error = |change: fn(&mut CEngineParams)| Engine::refused(change);
    assert!(error(|p| p.cache_type_k = 3).starts_with("cache_type_k is 3, must be 0 (f32)"));
    assert!(error(|p| (p.cache_type_v, p.flash_attn) = (8, 0)).starts_with("cache_type_v is q8_0, must be "));
    assert!(error(|p| p.rope_scaling = 3).starts_with("rope_scaling is 3, must be -1"));
    assert!(error(|p| p.yarn_beta_slow = -2.0).starts_with("yarn_beta_slow is -2, must be "));
}
