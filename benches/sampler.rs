//! Times what a host's chain spends in the sampler: all candidates written back, or the nucleus only.
//!
//! ```text
//! cargo bench --no-default-features --bench sampler
//! ```
//!
//! `kernel` is the steering alone. `apply` also reads the candidates and writes them back; `top_p` also reads
//! them and finds the nucleus. One thread, medians of runs in turn.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::hint::black_box;
use std::time::Instant;

use sda::host::TokenData;
use sda::sampler::Sampler;
use sda::steer::steer_in_place;
use sda::{Params, Result};
use sda_test_kit::rng::Rng;

fn main() -> Result<()> {
    let params = Params { amplification: 0.46, ..Params::default() };
    for vocab in [49_152, 151_936, 262_144] {
        let mut rng = Rng(vocab as u64);
        let instructed = rng.gauss_row(vocab, 3.0);
        let plain: Vec<f32> = instructed.iter().map(|x| x + rng.gauss()).collect();
        let mut samplers = [Sampler::given(params, vocab)?, Sampler::given(params, vocab)?];
        samplers[1].set_top_p(0.95)?;
        let mut row = instructed.clone();
        let mut candidates = Vec::with_capacity(vocab);
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..60 {
            let start = Instant::now();
            row.copy_from_slice(&instructed);
            times[0].push(ms(start));
            let start = Instant::now();
            steer_in_place(black_box(&mut row), &plain, &params)?;
            times[1].push(ms(start));
            for (i, sampler) in samplers.iter_mut().enumerate() {
                candidates.clear();
                let candidate = |(id, &logit): (usize, &f32)| TokenData { id: id as i32, logit, p: 0.0 };
                candidates.extend(instructed.iter().enumerate().map(candidate));
                sampler.set_plain_logits(&plain)?;
                let start = Instant::now();
                sampler.apply(black_box(&mut candidates))?;
                times[2 + i].push(ms(start));
            }
        }
        print!("vocab {vocab:6}");
        for (name, times) in ["copy", "kernel", "apply", "top_p"].iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            let [median, low, high] = [50, 10, 90].map(|share| times[(times.len() - 1) * share / 100]);
            print!("  {name} {median:.3} ({low:.3} to {high:.3})");
        }
        println!("  {} kept", samplers[1].kept().unwrap_or(vocab));
    }
    Ok(())
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
