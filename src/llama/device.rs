//! Devices that llama.cpp can compute on, beside the CPU.

use llama_cpp_2::{LlamaBackendDeviceType, list_llama_ggml_backend_devices};
use llama_cpp_sys_2 as sys;

use super::model::backend;
use crate::error::{Error, Result};

/// A device of this machine, or of another one by RPC.
#[derive(Clone, Debug)]
pub struct Device {
    /// What [`ModelOptions::devices`](super::ModelOptions::devices) calls it, such as `Vulkan0`.
    pub name: String,
    /// What it is, in its maker's words.
    pub description: String,
    /// The backend that drives it, such as `Vulkan`.
    pub backend: String,
    /// What it is to llama.cpp.
    pub kind: DeviceKind,
    /// Bytes of its memory; 0 where the backend does not say.
    pub memory_total: u64,
    /// Bytes that are free now.
    pub memory_free: u64,
}

/// What a device is to llama.cpp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// The CPU, which is always used.
    Cpu,
    /// Something beside the CPU and with its memory, such as a BLAS library. Used where it is there.
    Accelerator,
    /// A GPU with memory of its own.
    Gpu,
    /// A GPU that shares the CPU's memory. Used where there is no other.
    IntegratedGpu,
    /// Some other.
    Other,
}

/// All devices, the CPU among them, in llama.cpp's order.
///
/// # Errors
/// [`Error::Model`] if llama.cpp's global state could not be made.
pub fn devices() -> Result<Vec<Device>> {
    backend()?;
    let device = |device: llama_cpp_2::LlamaBackendDevice| Device {
        name: device.name,
        description: device.description,
        backend: device.backend,
        kind: match device.device_type {
            LlamaBackendDeviceType::Cpu => DeviceKind::Cpu,
            LlamaBackendDeviceType::Accelerator => DeviceKind::Accelerator,
            LlamaBackendDeviceType::Gpu => DeviceKind::Gpu,
            LlamaBackendDeviceType::IntegratedGpu => DeviceKind::IntegratedGpu,
            _ => DeviceKind::Other,
        },
        memory_total: device.memory_total as u64,
        memory_free: device.memory_free as u64,
    };
    Ok(list_llama_ggml_backend_devices().into_iter().map(device).collect())
}

/// The backends for devices beside the CPU that this build was made with, by the names of their features, whether they
/// find a device or not. BLAS libraries take no layers and are none.
pub fn device_backends() -> Vec<&'static str> {
    let all = [
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(any(feature = "metal", target_vendor = "apple"))),
        ("opencl", cfg!(feature = "opencl")),
        ("rocm", cfg!(feature = "rocm")),
        ("rpc", cfg!(feature = "rpc")),
        ("vulkan", cfg!(feature = "vulkan")),
    ];
    all.into_iter().filter_map(|(name, built)| built.then_some(name)).collect()
}

impl Device {
    /// True for a device that takes layers of a model.
    pub fn takes_layers(&self) -> bool {
        !matches!(self.kind, DeviceKind::Cpu | DeviceKind::Accelerator)
    }
}

/// The names in a text, with commas between them; "none" is none, as llama.cpp reads it.
pub fn device_names(text: &str) -> Vec<String> {
    if text == "none" { Vec::new() } else { text.split(',').map(|name| name.trim().to_owned()).collect() }
}

/// The most devices of a model.
pub fn max_devices() -> usize {
    llama_cpp_2::max_devices()
}

/// How many devices take layers.
pub(super) fn n_offload() -> usize {
    devices().map_or(0, |all| all.iter().filter(|device| device.takes_layers()).count())
}

/// The devices with these names; None where all are to be used.
///
/// # Errors
/// [`Error::Param`] for a name that no device has, or that of a CPU.
pub(super) fn chosen(names: Option<&[String]>) -> Result<Option<Vec<sys::ggml_backend_dev_t>>> {
    let Some(names) = names else { return Ok(None) };
    let all = devices()?;
    let index = |name: &String| {
        let place = all.iter().position(|device| device.name == *name && device.kind != DeviceKind::Cpu);
        place.ok_or_else(|| {
            let known: Vec<&str> =
                all.iter().filter(|device| device.kind != DeviceKind::Cpu).map(|d| d.name.as_str()).collect();
            let allowed = if known.is_empty() {
                "none, since this build or machine has no device but the CPU".to_owned()
            } else {
                format!("among {}", known.join(", "))
            };
            Error::param("devices", name, allowed)
        })
    };
    let chosen = names.iter().map(index).collect::<Result<Vec<usize>>>()?;
    // SAFETY: the indices are those of the list, which only grows.
    Ok(Some(chosen.into_iter().map(|index| unsafe { sys::ggml_backend_dev_get(index) }).collect()))
}
