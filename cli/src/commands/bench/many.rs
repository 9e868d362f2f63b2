//! Many pairs in one context: bare joint decodes, and steered answers through the scheduler.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use sda::branch::{Move, Pair, step_many};
use sda::engine::{Arm, Batch, BatchEvent, Job};

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

/// Tokens a second, of all answers together, while the scheduler steps all of them.
fn steered(batch: &mut Batch, scene: &Scene, round: u32) -> Outcome<f64> {
    let mut clock = Clock { wanted: batch.n_pairs() * scene.text.len(), ..Clock::new(batch.n_pairs()) };
    // An answer that ends early is followed by another one, so there are always as many as there are slots.
    let jobs = (0..).map(|id: usize| {
        let settings = generation(round << 16 | id as u32, scene.text.len() + 1);
        (id, Job { arm: Arm::Steered, prompts: scene.prompts.clone(), settings, ..Job::default() })
    });
    let mut jobs = jobs;
    let mut failed = None;
    batch.run(&mut || jobs.next(), &mut |event| match event {
        BatchEvent::Prefill { id, done: 0, .. } => clock.reads(id),
        BatchEvent::Token { id, .. } => clock.token(id),
        BatchEvent::Done { answer: Err(error), .. } => {
            failed = Some(error);
            false
        }
        _ => true,
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(clock.per_second()),
    }
}

/// Counts the tokens of joint steps, and leaves out the time in which a newcomer's prompts are read.
struct Clock {
    n_pairs: usize,
    wanted: usize,
    /// When all slots had an answer.
    start: Option<Instant>,
    end: Option<Instant>,
    /// Answers that have begun.
    begun: usize,
    reading: Option<(usize, Instant)>,
    left_out: Duration,
    tokens: usize,
}

impl Clock {
    fn new(n_pairs: usize) -> Clock {
        Clock {
            n_pairs,
            wanted: 0,
            start: None,
            end: None,
            begun: 0,
            reading: None,
            left_out: Duration::ZERO,
            tokens: 0,
        }
    }

    fn reads(&mut self, id: usize) -> bool {
        self.reading = Some((id, Instant::now()));
        true
    }

    /// False when there are enough.
    fn token(&mut self, id: usize) -> bool {
        let now = Instant::now();
        if let Some((reader, since)) = self.reading.take()
            && reader == id
        {
            // The first token comes from the prompt, not from a joint step.
            self.begun += 1;
            match self.start {
                Some(_) => self.left_out += now - since,
                None if self.begun >= self.n_pairs => self.start = Some(now),
                None => {}
            }
            return true;
        }
        if self.start.is_some() {
            self.tokens += 1;
            self.end = Some(now);
        }
        self.tokens < self.wanted
    }

    fn per_second(&self) -> f64 {
        match (self.start, self.end) {
            (Some(start), Some(end)) => {
                self.tokens as f64 / (end - start).saturating_sub(self.left_out).as_secs_f64()
            }
            _ => f64::NAN,
        }
    }
}
