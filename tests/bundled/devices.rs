//! The same model on a device and on the CPU. For builds with a backend, on a machine with a device: `make test-vulkan`
//! has one on any machine.

#![allow(unsafe_code, reason = "ggml's buffers are C")]

use std::path::Path;
use std::time::Instant;

use llama_cpp_sys_2 as sys;
use sda::branch::Side;
use sda::engine::{Arm, Engine, Generation, Prompts};
use sda::host::Token;
use sda::llama::{ContextOptions, Device, GpuLayers, Model, ModelOptions, devices, set_log};
use sda::params::Params;
use sda::steer::steer;

use crate::models::{as_f32, path};
use crate::rows::{alone, difference, exact, lab, quiet};

const QUERY: &str = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n";
const INSTRUCTED: &str = "<|im_start|>user\nWhat is the capital of France? Answer like a pirate.<|im_end|>\n<|im_start|>assistant\n";

/// Tokens that are compared.
const STEPS: usize = 12;

/// How far a row of logits on a device may be from that of the CPU, as a share of its spread. The weights are 32-bit
/// floats on both, and so is the KV cache, so what differs is the order of additions, and that ggml's Vulkan shaders
/// multiply in 16 bits where the device can (measured on lavapipe: 7e-4). A wrong layer, position or copied cell moves a
/// row by more than 1e-1.
const CLOSE: f32 = 2e-2;

/// The device that is tested.
fn device() -> Device {
    let all = devices().unwrap();
    all.into_iter()
        .find(Device::takes_layers)
        .expect("no device: this is for a build with a backend, and a machine with one")
}

fn load(file: &Path, n_gpu_layers: GpuLayers) -> Model {
    set_log(|_| {});
    Model::load(file, &ModelOptions { n_gpu_layers, ..ModelOptions::default() }, |_| true).unwrap()
}

fn tokens(model: &Model, text: &str) -> Vec<Token> {
    model.tokenize_prompt(text).unwrap()
}

/// What a steered answer says.
fn steered(model: &Model, n_predict: usize) -> Vec<Token> {
    let mut engine = Engine::new(model, 512, &ContextOptions { n_threads: 2, ..exact(0) }).unwrap();
    let prompts = Prompts::new(tokens(model, QUERY), tokens(model, INSTRUCTED));
    let mut settings = Generation { n_predict: Some(n_predict), ..Generation::default() };
    (settings.params.temperature, settings.params.amplification) = (0.0, 1.0);
    engine.generate(Arm::Steered, &prompts, &settings, &mut |_| true).unwrap().tokens
}

#[test]
#[ignore = "needs a device: make test-vulkan"]
fn a_device_computes_the_cpus_logits_and_takes_part_in_it() {
    let device = device();
    for variable in ["SDA_TEST_MODEL", "SDA_TEST_MODEL_GEMMA"] {
        let file = as_f32(&path(variable));
        let cpu = load(&file, GpuLayers::Count(0));
        let prompt = tokens(&cpu, QUERY);
        let steps =
            tokens(&cpu, " The capital of France is a city on the river Seine, and it is called Paris.");
        let steps = &steps[..STEPS];
        let expected = alone(&cpu, exact(512), &prompt, steps);
        for layers in [GpuLayers::All, GpuLayers::Count(3)] {
            let model = load(&file, layers);
            let rows = alone(&model, exact(512), &prompt, steps);
            let worst = rows.iter().zip(&expected).map(|(a, b)| difference(a, b)).fold(0.0, f32::max);
            println!("{variable} on {} ({}), {layers:?}: {worst:.1e}", device.name, device.description);
            assert!(worst <= CLOSE, "{variable} {layers:?}: {worst}");
            assert!(worst > 0.0, "bit for bit the CPU's: nothing was computed on the device");
        }
    }
}

#[test]
#[ignore = "needs a device: make test-vulkan"]
fn a_steered_answer_on_a_device_is_that_of_the_cpu() {
    let file = as_f32(&path("SDA_TEST_MODEL"));
    let [cpu, device] =
        [GpuLayers::Count(0), GpuLayers::Auto].map(|layers| steered(&load(&file, layers), 24));
    assert_eq!(cpu, device);
}

/// Prints which part of a step is the copy of the logits to the host, and which the kernel there: a kernel on the device
/// would save the first.
#[test]
#[ignore = "needs a device: make test-vulkan"]
fn the_copy_of_the_logits_is_a_small_part_of_a_step() {
    let device = device();
    let model = load(&path("SDA_TEST_MODEL_GEMMA"), GpuLayers::All);
    let n_vocab = model.n_vocab();
    assert_eq!(n_vocab, 262_144);
    let mut pair = lab(&model, ContextOptions { n_threads: 2, ..exact(256) });
    let [plain, instructed] = [QUERY, INSTRUCTED].map(|text| tokens(&model, text));
    pair.prefill(&plain, &instructed, &mut quiet).unwrap();
    let token = tokens(&model, "a")[0];
    // The decode, with the wait for its logits: the copy is in it.
    let decode = median(times(9, || {
        pair.step(token).unwrap();
        std::hint::black_box(pair.logits(Side::Plain).unwrap()[0]);
    }));
    let rows = [Side::Instructed, Side::Plain].map(|side| pair.logits(side).unwrap().to_vec());
    let mut logprobs = vec![0.0; n_vocab];
    let kernel = median(times(25, || {
        std::hint::black_box(steer(&rows[0], &rows[1], &Params::default(), &mut logprobs).unwrap());
    }));
    let copy = median(copy_times(&device, 2 * n_vocab));
    let step = decode + kernel;
    let share = |part: f64| format!("{part:.3} ms, {:.2} %", 100.0 * part / step);
    println!(
        "{} ({}), V = {n_vocab}: a step {step:.1} ms; copy of its two rows {}; kernel {}",
        device.name,
        device.description,
        share(copy),
        share(kernel)
    );
    assert!(copy < step / 2.0, "a kernel on the device would be worth while");
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Milliseconds of each of so many calls.
fn times(n: usize, mut call: impl FnMut()) -> Vec<f64> {
    let mut one = || {
        let begin = Instant::now();
        call();
        begin.elapsed().as_secs_f64() * 1e3
    };
    // The first makes what is made once.
    one();
    (0..n).map(|_| one()).collect()
}

/// Milliseconds that copies of so many floats from the device take.
fn copy_times(device: &Device, n: usize) -> Vec<f64> {
    let place = devices().unwrap().iter().position(|other| other.name == device.name).unwrap();
    let mut host = vec![0.0f32; n];
    // SAFETY: the tensor is described in a context of its own, lies in a buffer on the device, and is read whole;
    // everything is freed once, in the order that ggml wants.
    unsafe {
        let backend = sys::ggml_backend_dev_init(sys::ggml_backend_dev_get(place), std::ptr::null());
        let room = 16 * sys::ggml_tensor_overhead();
        let context = sys::ggml_init(sys::ggml_init_params {
            mem_size: room,
            mem_buffer: std::ptr::null_mut(),
            no_alloc: true,
        });
        let tensor = sys::ggml_new_tensor_1d(context, sys::GGML_TYPE_F32, n as i64);
        let buffer = sys::ggml_backend_alloc_ctx_tensors(context, backend);
        assert!(!buffer.is_null());
        let bytes = n * size_of::<f32>();
        sys::ggml_backend_tensor_set(tensor, host.as_ptr().cast(), 0, bytes);
        let times = times(25, || sys::ggml_backend_tensor_get(tensor, host.as_mut_ptr().cast(), 0, bytes));
        sys::ggml_backend_buffer_free(buffer);
        sys::ggml_free(context);
        sys::ggml_backend_free(backend);
        times
    }
}
