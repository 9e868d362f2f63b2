//! The devices of the machine.

use std::ffi::{c_char, c_void};

use super::super::text::c_string;
use super::model::quiet;
use crate::error::Error;
use crate::guard::guard;
use crate::llama::{DeviceKind, devices};

/// A device that llama.cpp can compute on. The library owns it: the size is the library's, and the texts are there
/// during the call.
#[repr(C)]
pub struct CDevice {
    /// Size of this struct as the library knows it.
    pub struct_size: usize,
    /// What `devices` of sda_model_params calls it, such as Vulkan0.
    pub name: *const c_char,
    /// What it is, in its maker's words.
    pub description: *const c_char,
    /// The backend that drives it, such as Vulkan.
    pub backend: *const c_char,
    /// Bytes of its memory; 0 where the backend does not say.
    pub memory_total: u64,
    /// Bytes of it that are free.
    pub memory_free: u64,
    /// 0 the CPU, 1 something that helps the CPU, such as a BLAS library, 2 a GPU, 3 a GPU that shares the CPU's memory,
    /// 4 another.
    pub kind: i32,
    /// Always 0.
    pub reserved: u32,
}

/// Tells of every device that llama.cpp can compute on, the CPU among them.
///
/// `each` is called once for each, before the function returns, and must not call the library. `each_data` is passed on
/// as it is.
///
/// SDA_ERR_NULL without `each`; SDA_ERR_MODEL if llama.cpp could not be set up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_devices(
    each: Option<unsafe extern "C" fn(device: *const CDevice, each_data: *mut c_void)>,
    each_data: *mut c_void,
) -> i32 {
    guard(|| {
        let each = each.ok_or(Error::Null { name: "each" })?;
        quiet();
        for device in devices()? {
            let [name, description, backend] =
                [&device.name, &device.description, &device.backend].map(|text| c_string(text));
            let told = CDevice {
                struct_size: size_of::<CDevice>(),
                name: name.as_ptr(),
                description: description.as_ptr(),
                backend: backend.as_ptr(),
                memory_total: device.memory_total,
                memory_free: device.memory_free,
                kind: match device.kind {
                    DeviceKind::Cpu => 0,
                    DeviceKind::Accelerator => 1,
                    DeviceKind::Gpu => 2,
                    DeviceKind::IntegratedGpu => 3,
                    DeviceKind::Other => 4,
                },
                reserved: 0,
            };
            // SAFETY: the caller says that both stay valid during this call.
            unsafe { each(&told, each_data) }
        }
        Ok(())
    })
}
