//! What computes: devices, and how a model is split among them.

use clap::Args;
use sda::llama::{GpuLayers, ModelOptions, SplitMode, device_names};

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
}

impl DeviceArgs {
    /// Puts the settings into those of a model.
    pub fn apply(&self, options: &mut ModelOptions) {
        options.n_gpu_layers = self.n_gpu_layers;
        options.devices = self.device.as_deref().map(device_names);
        options.split_mode = self.split_mode;
        options.tensor_split = self.tensor_split.clone();
        options.main_gpu = self.main_gpu;
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
