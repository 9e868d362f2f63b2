//! `--list-devices`, and what is said where there is none.

use sda::llama::{self, Device, DeviceKind};

use crate::args::DeviceArgs;
use crate::failure::Outcome;
use crate::ui::console::{note, print};

/// Prints the devices, with those of RPC servers.
pub fn list(rpc_servers: &[String]) -> Outcome {
    // Backends tell of what they find there.
    llama::set_log(|_| {});
    llama::add_rpc_servers(rpc_servers)?;
    print(&listed(&llama::devices()?))
}

/// The list as llama.cpp writes it.
fn listed(devices: &[Device]) -> String {
    let lines: Vec<String> = devices
        .iter()
        .filter(|device| device.kind != DeviceKind::Cpu)
        .map(|device| {
            let [total, free] = [device.memory_total, device.memory_free].map(|bytes| bytes >> 20);
            format!("  {}: {} ({total} MiB, {free} MiB free)\n", device.name, device.description)
        })
        .collect();
    let lines = if lines.is_empty() { "  (none)\n".to_owned() } else { lines.concat() };
    format!("Available devices:\n{lines}")
}

/// Says that an option wants a device where there is none: it is of no effect then, as in llama.cpp.
pub fn warn(args: &DeviceArgs) -> Outcome {
    let Some(option) = args.wants_device() else { return Ok(()) };
    llama::add_rpc_servers(&args.rpc)?;
    if !llama::devices()?.iter().any(Device::takes_layers) {
        note(&format!("warning: {option} is of no effect: {}", why_none(&llama::device_backends())));
    }
    Ok(())
}

fn why_none(backends: &[&str]) -> String {
    if backends.is_empty() {
        return "this build has no backend for devices (make build BACKEND=vulkan, or another)".to_owned();
    }
    format!("the backends of this build ({}) find no device (--list-devices shows them)", backends.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_as_llama_cpp_writes_it_and_leaves_out_the_cpu() {
        let device = |name: &str, kind| Device {
            name: name.to_owned(),
            description: "A thing".to_owned(),
            backend: String::new(),
            kind,
            memory_total: 3 << 30,
            memory_free: (1 << 30) - 1,
        };
        assert_eq!(listed(&[device("CPU", DeviceKind::Cpu)]), "Available devices:\n  (none)\n");
        let all = [device("Vulkan0", DeviceKind::Gpu), device("CPU", DeviceKind::Cpu)];
        assert_eq!(listed(&all), "Available devices:\n  Vulkan0: A thing (3072 MiB, 1023 MiB free)\n");
    }

    #[test]
    fn a_build_without_a_backend_is_told_from_a_machine_without_a_device() {
        assert!(why_none(&[]).starts_with("this build has no backend for devices (make build BACKEND="));
        let both = why_none(&["rpc", "vulkan"]);
        assert_eq!(
            both,
            "the backends of this build (rpc, vulkan) find no device (--list-devices shows them)"
        );
    }
}
