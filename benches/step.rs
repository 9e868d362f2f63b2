//! Times a steered step beside the bare two-row decode of the same context, and the parts of a step.
//!
//! ```text
//! cargo bench --bench step -- [--threads=N] MODEL.gguf...
//! ```
//!
//! Both run in turns, an answer at a time, with the same tokens. It prints medians over all steps, with the 10th and
//! 90th percentile. The parts are timed on the rows of the last step.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::hint::black_box;
use std::time::Instant;

use sda::branch::Side;
use sda::engine::{Arm, Engine, Event, Generation, Prompts};
use sda::llama::{Chain, ContextOptions, Model, ModelOptions, set_log};
use sda::steer::Nucleus;
use sda::steer::steer;
use sda::{Params, Result};

const QUERY: &str = "Tell me, in a few sentences, what a computer does and who uses it.";
const INSTRUCTION: &str = " Explain it to a five-year-old child, with an animal in the story.";

fn main() -> Result<()> {
    set_log(|_| {});
    let (mut paths, mut threads) = (Vec::new(), 0);
    for arg in std::env::args().skip(1) {
        match arg.strip_prefix("--threads=") {
            Some(n) => threads = n.parse().expect("a number"),
            None if arg.starts_with("--") => {}
            None => paths.push(arg),
        }
    }
    for path in &paths {
        let model = Model::load(path.as_ref(), &ModelOptions::default(), |_| true)?;
        println!("{path}: {} tokens", model.n_vocab());
        for temperature in [0.6, 1.0] {
            time_model(&model, temperature, threads)?;
        }
    }
    Ok(())
}

fn time_model(model: &Model, temperature: f32, n_threads: u32) -> Result<()> {
    let tokens = |text: &str| model.tokenize_prompt(text);
    let prompts = Prompts::new(tokens(QUERY)?, tokens(&format!("{QUERY}{INSTRUCTION}"))?);
    let mut engine = Engine::new(model, 512, &ContextOptions { n_threads, ..ContextOptions::default() })?;
    let (mut bare, mut steered) = (Vec::new(), Vec::new());
    let mut settings = Generation {
        params: Params { amplification: 0.46, temperature, ..Params::default() },
        n_predict: Some(25),
        ..Generation::default()
    };
    for seed in 0..4 {
        settings.sampling.seed = seed;
        let mut last: Option<Instant> = None;
        let answer = engine.generate(Arm::Steered, &prompts, &settings, &mut |event| {
            if let Event::Token(_) = event {
                let now = Instant::now();
                steered.extend(last.map(|last| ms(now - last)));
                last = Some(now);
            }
            true
        })?;
        let mut pair = engine.pair()?;
        pair.prefill(&prompts.plain, &prompts.instructed, &mut |_, _| true)?;
        for &token in &answer.tokens {
            let start = Instant::now();
            pair.step(token)?;
            bare.push(ms(start.elapsed()));
        }
    }
    let (steered, bare) = (spread(&mut steered), spread(&mut bare));
    println!("  T0 {temperature}: steered {} ms, bare {} ms", text(steered), text(bare));
    println!(
        "    ratio of the medians {:.3}, of the 10th percentiles {:.3}",
        steered[0] / bare[0],
        steered[1] / bare[1]
    );
    time_parts(&engine, &settings)
}

fn time_parts(engine: &Engine, settings: &Generation) -> Result<()> {
    let pair = engine.pair()?;
    let rows = [Side::Instructed, Side::Plain].map(|side| pair.logits(side));
    let [instructed, plain] = rows;
    let (instructed, plain) = (instructed?, plain?);
    let mut row = vec![0.0; plain.len()];
    let mut nucleus = Nucleus::default();
    let sampling = &settings.sampling;
    let mut chain = Chain::of_best(sampling, engine.model(), engine.n_ctx())?;
    let plan = sampling.plan();
    let mut parts: [Vec<f64>; 3] = Default::default();
    let mut kept = 0;
    for _ in 0..100 {
        let start = Instant::now();
        steer(&instructed, &plain, &settings.params, black_box(&mut row))?;
        let steered = Instant::now();
        kept = plan.best(&mut nucleus, &row).len();
        let selected = Instant::now();
        chain.load_best(plan.best(&mut nucleus, &row));
        let loaded = Instant::now();
        chain.sample()?;
        let times = [steered - start, selected - steered, loaded.elapsed()];
        parts.iter_mut().zip(times).for_each(|(part, time)| part.push(ms(time)));
    }
    for (name, part) in ["kernel", "nucleus", "draw"].iter().zip(&mut parts) {
        println!("    {name:8} {} ms", text(spread(part)));
    }
    println!("    {kept} tokens kept of {}", row.len());
    Ok(())
}

fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Median, 10th and 90th percentile.
fn spread(times: &mut [f64]) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    [50, 10, 90].map(|share| times[(times.len() - 1) * share / 100])
}

fn text([median, low, high]: [f64; 3]) -> String {
    format!("{median:.3} ({low:.3} to {high:.3})")
}
