//! What computes: devices, and how a model is split among them.

use clap::Args;
use sda::llama::{GpuLayers, ModelOptions, SplitMode, TensorOverride, device_names};

#[derive(Args, Clone)]
#[command(next_help_heading = "Devices")]
pub struct DeviceArgs {
    /// Layers to keep on devices: a number, auto, or all. Only for builds with a backend for devices, see
    /// docs/devices.md. [also -ngl]
    #[arg(
        long,
        visible_alias = "gpu-layers",
        default_value = "auto",
        value_name = "N|auto|all",
        allow_negative_numbers = true
    )]
    pub n_gpu_layers: GpuLayers,
    /// llama.cpp's RPC servers, whose devices are used: other machines. Only in networks where everybody is trusted:
    /// docs/distributed.md.
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    pub rpc: Vec<String>,
    /// Devices to use, as --list-devices names them, with commas between them; none is the CPU alone. [default: all GPUs]
    /// [also -dev]
    #[arg(long, value_name = "NAME,...")]
    pub device: Option<String>,
    /// Print the devices that there are, and end.
    #[arg(long)]
    pub list_devices: bool,
    /// How a model is split among devices: none, layer, row, or tensor, which is experimental. [also -sm]
    #[arg(long, default_value = "layer", value_name = "MODE")]
    pub split_mode: SplitMode,
    /// How much of the model each device takes, as proportions with commas between them. [default: as their free memory
    /// is] [also -ts]
    #[arg(long, value_name = "P,...", value_delimiter = ',')]
    pub tensor_split: Vec<f32>,
    /// The device that computes alone with --split-mode none, counted from 0. [also -mg]
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub main_gpu: u32,
    /// Keep tensors, by a regular expression that is found in their names, in this memory: CPU, or a device; several with
    /// commas between them. [also -ot]
    #[arg(long, value_name = "PATTERN=BUFFER,...", value_delimiter = ',')]
    override_tensor: Vec<TensorOverride>,
    /// Keep the experts of a mixture of experts on the CPU. [also -cmoe]
    #[arg(long)]
    cpu_moe: bool,
    /// Keep those of the first N layers on the CPU. [also -ncmoe]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    n_cpu_moe: Option<u32>,
    /// Keep the KV cache in the CPU's memory. [also -nkvo]
    #[arg(long)]
    pub no_kv_offload: bool,
    /// Accepted for llama.cpp's sake: the KV cache is where its layers are. [also -kvo]
    #[arg(long, hide = true, conflicts_with = "no_kv_offload")]
    kv_offload: bool,
    /// Compute with weights that the CPU keeps on the CPU, also for long prompts.
    #[arg(long)]
    pub no_op_offload: bool,
    /// Accepted for llama.cpp's sake: it is the default.
    #[arg(long, hide = true, conflicts_with = "no_op_offload")]
    op_offload: bool,
}

impl DeviceArgs {
    /// Puts the settings into those of a model.
    pub fn apply(&self, options: &mut ModelOptions) {
        options.n_gpu_layers = self.n_gpu_layers;
        options.rpc_servers = self.rpc.clone();
        options.devices = self.device.as_deref().map(device_names);
        options.split_mode = self.split_mode;
        options.tensor_split = self.tensor_split.clone();
        options.main_gpu = self.main_gpu;
        options.tensor_overrides = self.override_tensor.clone();
        if self.cpu_moe {
            options.tensor_overrides.push(TensorOverride::experts_on_cpu(None));
        }
        let layers = 0..self.n_cpu_moe.unwrap_or(0);
        options.tensor_overrides.extend(layers.map(|layer| TensorOverride::experts_on_cpu(Some(layer))));
    }

    /// The option that wants a device, if one was given that does.
    pub fn wants_device(&self) -> Option<&'static str> {
        let given = [
            ("--n-gpu-layers", !matches!(self.n_gpu_layers, GpuLayers::Auto | GpuLayers::Count(0))),
            ("--split-mode", self.split_mode != SplitMode::default()),
            ("--tensor-split", !self.tensor_split.is_empty()),
            ("--main-gpu", self.main_gpu != 0),
        ];
        given.into_iter().find_map(|(name, given)| given.then_some(name))
    }
}
