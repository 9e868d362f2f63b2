//! Steering with the engine that the feature `bundled` brings: the same program as the C, C++ and Python
//! examples, and the same tokens.
//!
//!     cargo run --release --example paired MODEL.gguf PROMPT INSTRUCTION AMPLIFICATION SEED N_TOKENS [--ids]

use std::io::Write;
use std::path::Path;

use sda::engine::{Arm, Engine, Event, Generation, Prompts};
use sda::llama::{ContextOptions, Model, ModelOptions, Sampling, set_log};
use sda::text::{ChatTemplate, PairBuilder};
use sda::{Params, Result};

/// ChatML without a default system message, as llama_chat_apply_template() writes it.
const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                      {{ '<|im_start|>assistant\\n' }}";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ids = args.get(6).is_some_and(|arg| arg == "--ids");
    let (Some([model, prompt, instruction]), Some([amplification, seed, n_tokens])) =
        (args.first_chunk(), args.get(3..6).and_then(|rest| rest.first_chunk()))
    else {
        eprintln!("usage: paired MODEL.gguf PROMPT INSTRUCTION AMPLIFICATION SEED N_TOKENS [--ids]");
        std::process::exit(2);
    };
    let mut params = Params { amplification: amplification.parse().unwrap_or(f32::NAN), ..Params::default() };
    if seed.starts_with('-') {
        params.temperature = 0.0; // the most likely token each time
    }
    let settings = Generation {
        params,
        sampling: Sampling { seed: seed.parse().unwrap_or(0), ..Sampling::default() },
        n_predict: n_tokens.parse().ok(),
        ..Generation::default()
    };
    if let Err(error) = run(Path::new(model), prompt, instruction, &settings, ids) {
        eprintln!("paired: {error}");
        std::process::exit(1);
    }
}

fn run(model: &Path, prompt: &str, instruction: &str, settings: &Generation, ids: bool) -> Result<()> {
    set_log(|line| {
        if line.level == 4 {
            eprint!("{}", line.text);
        }
    });
    let model = Model::load(model, &ModelOptions::default(), |_| true)?;
    let template = ChatTemplate::compile(CHATML, &model.bos_text(), &model.eos_text())?;
    let builder =
        PairBuilder { template: Some(&template), query: prompt, instruction, ..PairBuilder::default() };
    let pair = builder.build()?;
    let (plain, instructed) = (model.tokenize_prompt(&pair.plain)?, model.tokenize_prompt(&pair.instructed)?);
    let prompts = Prompts { thinking: pair.thinking, ..Prompts::new(plain, instructed) };

    let mut engine = Engine::new(&model, 2048, &ContextOptions::default())?;
    let mut out = std::io::stdout();
    engine.generate(Arm::Steered, &prompts, settings, &mut |event| {
        let Event::Token(record) = event else { return true };
        let written = if ids { write!(out, "{} ", record.token) } else { write!(out, "{}", record.text) };
        // A reader that has gone away ends the answer.
        written.and_then(|()| out.flush()).is_ok()
    })?;
    println!();
    Ok(())
}
