//! Models beyond attention, tiny ones with random weights: recurrent memory, hybrids, odd tokenizers, a model in parts,
//! and models that cannot continue a text.
//!
//! `make test-models` writes them, and sets `SDA_TEST_MODELS_DIR`. A plain `cargo test` leaves these tests out.

mod answers;
mod files;
mod memory;

use std::path::PathBuf;

use sda::engine::{Answer, Arm, Engine, Generation, Prompts};
use sda::host::Token;
use sda::llama::{Model, ModelOptions, Sampling, set_log};
use sda::text::{PairBuilder, Turn};
use sda::{Params, Result};

use crate::rows::exact;

/// Attention for comparison, then memory that cannot be rewound.
const KINDS: [&str; 5] = ["attention", "mamba", "rwkv7", "jamba", "lfm2"];

/// Two ways to compute a row differ by the order of 32-bit additions (measured: 7e-7). A state of another position moves a
/// row by more than 1e-2.
const EXACT: f32 = 1e-5;

const PIRATE: &str = "Answer like a pirate.";

fn file(name: &str) -> PathBuf {
    let folder = std::env::var_os("SDA_TEST_MODELS_DIR")
        .expect("SDA_TEST_MODELS_DIR is not set: run `make test-models`, which writes the models");
    PathBuf::from(folder).join(format!("{name}.gguf"))
}

fn try_load(path: PathBuf) -> Result<Model> {
    set_log(|_| {});
    Model::load(&path, &ModelOptions::default(), |_| true)
}

fn load(name: &str) -> Model {
    try_load(file(name)).unwrap()
}

fn tokens(model: &Model, text: &str) -> Vec<Token> {
    model.tokenize_prompt(text).unwrap()
}

/// Prompts in the model's own chat template.
fn prompts(model: &Model, history: &[Turn], query: &str) -> Prompts {
    let template = model.template(None, &Default::default()).unwrap();
    let pair = PairBuilder {
        template: template.as_ref(),
        history,
        query,
        instruction: PIRATE,
        ..PairBuilder::default()
    };
    let pair = pair.build().unwrap();
    Prompts::new(tokens(model, &pair.plain), tokens(model, &pair.instructed))
}

/// Steered, the most likely token each time for a temperature of 0.
fn settings(seed: u32, temperature: f32, n_predict: usize) -> Generation {
    Generation {
        params: Params { amplification: 0.8, temperature, ..Params::default() },
        sampling: Sampling { seed, greedy: temperature == 0.0, ..Sampling::default() },
        n_predict: Some(n_predict),
        ..Generation::default()
    }
}

fn engine(model: &Model) -> Engine {
    Engine::new(model, 512, &exact(0)).unwrap()
}

fn generate(engine: &mut Engine, prompts: &Prompts, settings: &Generation) -> Answer {
    engine.generate(Arm::Steered, prompts, settings, &mut |_| true).unwrap()
}
