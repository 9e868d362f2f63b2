//! Many pairs in one context: bare joint decodes, and steered answers through the scheduler.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use sda::branch::{Move, Pair, step_many};
use sda::engine::{Arm, Batch, BatchEvent, Job, SlotPhase};

use super::report::{Many, Report};
use super::scene::{Pace, Scene};
use super::single::generation;
use crate::failure::Outcome;
use crate::load::Log;

pub fn measure(
    scene: &Scene,
    rounds: usize,
    sizes: &[u32],
    log: &Log,
    pace: &mut Pace,
    report: &mut Report,
) -> Outcome {
    let mut batches = Vec::with_capacity(sizes.len());
    for &n in sizes {
        let before = log.kv_mib();
        let batch = Batch::new(scene.model, n as usize, scene.n_ctx, &scene.options)?;
        let kv_mib = log.kv_mib() - before;
        // The first decodes of a context allocate; they are not measured.
        bare(&batch, scene)?;
        batches.push(batch);
        report.many.push(Many { n, kv_mib, ..Many::default() });
    }
    for round in 0..rounds {
        for (batch, many) in batches.iter_mut().zip(&mut report.many) {
            many.bare.push(bare(batch, scene)?);
            pace.tick()?;
            many.steered.push(steered(batch, scene, round as u32)?);
            pace.tick()?;
        }
    }
    Ok(())
}

/// Tokens a second, of all pairs together, of joint decodes without a sampler.
fn bare(batch: &Batch, scene: &Scene) -> Outcome<f64> {
    let mut pairs: Vec<MutexGuard<Pair>> =
        (0..batch.n_pairs()).map(|i| batch.pair(i)).collect::<sda::Result<_>>()?;
    for pair in &mut pairs {
        pair.prefill(&scene.prompts.plain, &scene.prompts.instructed, &mut |_, _| true)?;
    }
    let start = Instant::now();
    for &token in &scene.text {
        let mut moves: Vec<Move> = pairs.iter_mut().map(|pair| Move { pair, token, side: None }).collect();
        step_many(&mut moves)?;
    }
    Ok((pairs.len() * scene.text.len()) as f64 / start.elapsed().as_secs_f64())
}

/// Tokens a second, of all answers together, in the steps in which the scheduler has all of them to step and no prompt to
/// read.
fn steered(batch: &mut Batch, scene: &Scene, round: u32) -> Outcome<f64> {
    let (n_pairs, wanted) = (batch.n_pairs(), batch.n_pairs() * scene.text.len());
    let (mut id, mut tokens, mut time) = (0, 0, Duration::ZERO);
    let mut failed = None;
    while tokens < wanted && failed.is_none() {
        for _ in 0..n_pairs {
            // The first token comes from the prompt, and the last one is not decoded.
            let settings = generation(round << 16 | id as u32, scene.text.len() + 2);
            let prompts = scene.prompts.clone();
            batch.submit(id, Job { arm: Arm::Steered, prompts, settings, ..Job::default() });
            id += 1;
        }
        let mut all_run = true;
        while all_run && tokens < wanted {
            let is_full = batch.slots()?.iter().all(|slot| slot.phase == SlotPhase::Answering);
            let (start, mut drawn) = (Instant::now(), 0);
            batch.step(&mut |event| {
                match event {
                    BatchEvent::Token { .. } => drawn += 1,
                    BatchEvent::Done { answer, .. } => {
                        all_run = false;
                        failed = failed.take().or(answer.err());
                    }
                    _ => {}
                }
                true
            })?;
            if is_full {
                (tokens, time) = (tokens + drawn, time + start.elapsed());
            }
        }
        // Others begin together.
        batch.cancel_all(&mut |_| true)?;
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(tokens as f64 / time.as_secs_f64()),
    }
}
