//! What the C interface loads a model with.

#![allow(unsafe_code, reason = "it calls the C interface as C does")]

use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;

use sda::ffi::*;
use sda_test_kit::ffi::{made, text};

use crate::ffi_engine::model_path;

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
