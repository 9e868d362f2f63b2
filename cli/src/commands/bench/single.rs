//! One pair: plain, bare, steered and drop-in steps, prefill with and without sharing, the kernel.

use std::time::Instant;

use sda::Params;
use sda::branch::{DropIn, Pair, Side};
use sda::engine::{Arm, Engine, Event, Generation};
use sda::host::Token;
use sda::llama::{Chain, ContextOptions, Head, Sampling};
use sda::sampler::{Sampler, SharedSampler, Source};
use sda::steer::steer_in_place;

use super::report::Report;
use super::scene::{Pace, Scene};
use crate::failure::Outcome;
use crate::load::Log;

/// Measurements of a round.
pub const MEASUREMENTS: usize = 7;

/// Calls of the kernel in a round.
const KERNEL_CALLS: u32 = 25;

/// The settings that the steered answers are drawn with: the command's defaults, at guidance 1.5.
pub fn generation(seed: u32, n_predict: usize) -> Generation {
    Generation {
        params: Params { amplification: 0.25, ..Params::default() },
        sampling: Sampling { seed, ..Sampling::default() },
        n_predict: Some(n_predict),
        ..Generation::default()
    }
}

pub fn measure(scene: &Scene, rounds: usize, log: &Log, pace: &mut Pace, report: &mut Report) -> Outcome {
    let before = log.kv_mib();
    let mut engine = Engine::new(scene.model, scene.n_ctx, &scene.options)?;
    report.kv_pair_mib = log.kv_mib() - before;
    let mut dropin = DropInHost::new(scene)?;
    // The first decodes of a context allocate; they are not measured.
    bare(&mut engine, scene, None)?;
    dropin.step_ms(scene)?;
    for round in 0..rounds {
        report.plain.push(bare(&mut engine, scene, Some(Side::Plain))?);
        pace.tick()?;
        report.bare.push(bare(&mut engine, scene, None)?);
        pace.tick()?;
        let (step, sample) = steered(&mut engine, scene, round as u32)?;
        report.steered.push(step);
        report.sampling.push(sample);
        pace.tick()?;
        report.dropin.push(dropin.step_ms(scene)?);
        pace.tick()?;
        report.prefill_shared.push(prefill_ms(&mut engine, scene, true)?);
        pace.tick()?;
        report.prefill_apart.push(prefill_ms(&mut engine, scene, false)?);
        pace.tick()?;
        report.kernel.push(kernel_ms(&mut engine, scene)?);
        pace.tick()?;
    }
    Ok(())
}

fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn quiet(_: usize, _: usize) -> bool {
    true
}

/// Milliseconds a step of a bare decode of both rows, or of one.
fn bare(engine: &mut Engine, scene: &Scene, side: Option<Side>) -> Outcome<f64> {
    let mut pair = engine.pair()?;
    pair.clear()?;
    pair.prefill(&scene.prompts.plain, &scene.prompts.instructed, &mut quiet)?;
    let start = Instant::now();
    for &token in &scene.text {
        match side {
            None => pair.step(token)?,
            Some(side) => pair.step_one(side, token)?,
        }
    }
    Ok(ms_since(start) / scene.text.len() as f64)
}

/// Milliseconds a step of a steered generation, from token to token, and the part that is steering and
/// drawing. Answers that end early are followed by others.
fn steered(engine: &mut Engine, scene: &Scene, round: u32) -> Outcome<(f64, f64)> {
    let (mut steps, mut ms, mut sample) = (0, 0.0, 0.0);
    let mut seed = round << 16;
    while steps < scene.text.len() {
        engine.pair()?.clear()?;
        seed += 1;
        // One token more: the time runs from the first.
        let settings = generation(seed, scene.text.len() - steps + 1);
        let mut times: Vec<Instant> = Vec::with_capacity(scene.text.len() + 1);
        let answer = engine.generate(Arm::Steered, &scene.prompts, &settings, &mut |event| {
            if let Event::Token(_) = event {
                times.push(Instant::now());
            }
            true
        })?;
        if let [first, .., last] = times[..] {
            steps += times.len() - 1;
            ms += (last - first).as_secs_f64() * 1e3;
            let share = (times.len() - 1) as f64 / times.len() as f64;
            sample += answer.timings.sample.as_secs_f64() * 1e3 * share;
        }
    }
    Ok((ms / steps as f64, sample / steps as f64))
}

/// Milliseconds to read both prompts, with their common part once or twice.
fn prefill_ms(engine: &mut Engine, scene: &Scene, shared: bool) -> Outcome<f64> {
    let mut pair = engine.pair()?;
    pair.clear()?;
    let (plain, instructed) = (&scene.prompts.plain, &scene.prompts.instructed);
    let start = Instant::now();
    if shared {
        pair.prefill(plain, instructed, &mut quiet)?;
    } else {
        pair.prefill_one(Side::Plain, plain, &mut quiet)?;
        pair.prefill_one(Side::Instructed, instructed, &mut quiet)?;
    }
    Ok(ms_since(start))
}

/// Milliseconds of the kernel on this model's rows.
fn kernel_ms(engine: &mut Engine, scene: &Scene) -> Outcome<f64> {
    let mut pair = engine.pair()?;
    pair.clear()?;
    pair.prefill(&scene.prompts.plain, &scene.prompts.instructed, &mut quiet)?;
    let (plain, instructed) = (pair.logits(Side::Plain)?, pair.logits(Side::Instructed)?);
    let mut row = instructed.to_vec();
    let params = generation(0, 0).params;
    let mut total = 0.0;
    for _ in 0..KERNEL_CALLS {
        row.copy_from_slice(&instructed);
        let start = Instant::now();
        steer_in_place(&mut row, &plain, &params)?;
        total += ms_since(start);
    }
    Ok(total / f64::from(KERNEL_CALLS))
}

/// The other way into a host: an ordinary loop over a context of one sequence, whose sampler keeps the plain
/// branch in a second context.
struct DropInHost {
    pair: Pair,
}

impl DropInHost {
    fn new(scene: &Scene) -> Outcome<DropInHost> {
        // Two sequences, because a pair wants them; the host's loop uses the one.
        let options = ContextOptions { n_ctx: scene.n_ctx as u32, n_seq_max: 2, ..scene.options };
        Ok(DropInHost { pair: Pair::new(scene.model.new_context(&options)?, 0, 1)? })
    }

    /// Milliseconds a step, the first left out, in which the sampler reads the plain prompt.
    fn step_ms(&mut self, scene: &Scene) -> Outcome<f64> {
        let settings = generation(1, 0);
        let source = Source::DropIn(Box::new(DropIn::new(self.pair.context(), &scene.prompts.plain)?));
        let sampler = Sampler::new(settings.params, source)?;
        let sampler = SharedSampler::new(sampler, self.pair.context().host());
        let head = Head::Steering(sampler.clone());
        let mut chain = Chain::new(Some(&head), &settings.sampling, scene.model, scene.n_ctx)?;
        self.pair.clear()?;
        self.pair.prefill_one(Side::Instructed, &scene.prompts.instructed, &mut quiet)?;
        let mut start = Instant::now();
        for step in 0..=scene.text.len() {
            chain.load(&self.pair.logits(Side::Instructed)?);
            let token: Token = chain.sample()?;
            if step == 0 {
                start = Instant::now();
            }
            if step < scene.text.len() {
                self.pair.step_one(Side::Instructed, token)?;
            }
        }
        let ms = ms_since(start) / scene.text.len() as f64;
        match sampler.error() {
            Some(error) => Err(error.into()),
            None => Ok(ms),
        }
    }
}
