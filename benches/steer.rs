//! Times the steering step on every instruction set of this machine, in one run and on one thread.
//!
//! ```text
//! cargo bench --no-default-features --bench steer [-- --json]
//! ```
//!
//! The rows are those of a plain Gaussian model, `3 N(0, 1)`, the plain row one standard deviation
//! away from the instructed one: a flat distribution, in which no tile can be skipped. `peaked`
//! adds 25 to one token, as a language model that is sure of its next token does. The naive
//! version is the step as its equations say, in scalar `f64`.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use sda::Params;
use sda::steer::{Isa, steer, steer_in_place, steer_many, steer_with};
use sda_test_kit::oracle;
use sda_test_kit::rng::Rng;

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code, reason = "the only way to count allocations")]
// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's own obligations.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's own obligations.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One line of the result.
struct Timing {
    vocab: usize,
    rows: &'static str,
    path: String,
    /// Milliseconds: median, 10th and 90th percentile.
    ms: [f64; 3],
    /// Milliseconds of the naive version over ours.
    naive_ratio: f64,
    /// Allocations in all calls but the first.
    allocations: usize,
}

/// A step to be timed, writing into the row it is given.
type StepFn<'a> = Box<dyn FnMut(&mut [f32]) + 'a>;

fn main() {
    let json = std::env::args().any(|arg| arg == "--json");
    let params = Params { amplification: 0.46, ..Params::default() };
    let mut all = Vec::new();
    for vocab in [32_000, 49_152, 151_936, 262_144] {
        for rows in ["flat", "peaked"] {
            let timings = time_rows(vocab, rows, &params);
            if !json {
                timings.iter().for_each(print_line);
            }
            all.extend(timings);
        }
    }
    if json {
        let lines: Vec<_> = all
            .iter()
            .map(|t| {
                serde_json::json!({
                    "vocab": t.vocab, "rows": t.rows, "path": t.path, "ms": t.ms[0], "ms_p10": t.ms[1],
                    "ms_p90": t.ms[2], "mb_per_s": mb_per_s(t), "naive_ratio": t.naive_ratio,
                    "allocations": t.allocations,
                })
            })
            .collect();
        println!("{}", serde_json::json!({ "best": sda::steer::isa(), "timings": lines }));
    }
}

fn time_rows(vocab: usize, rows: &'static str, params: &Params) -> Vec<Timing> {
    let mut rng = Rng(vocab as u64);
    let mut x = rng.gauss_row(vocab, 3.0);
    let mut y: Vec<f32> = x.iter().map(|x| x + rng.gauss()).collect();
    if rows == "peaked" {
        x[vocab / 3] += 25.0;
        y[vocab / 3] += 23.0;
    }
    let further: Vec<Vec<f32>> = (0..4).map(|_| y.iter().map(|y| y + rng.gauss()).collect()).collect();
    let (x, y, further) = (&x, &y, &further);
    let mut paths: Vec<(String, StepFn)> =
        vec![("naive f64".into(), Box::new(|out| naive(x, y, params, out)))];
    for isa in Isa::available() {
        let step = move |out: &mut [f32]| {
            black_box(steer_with(isa, black_box(x), y, params, out)).ok();
        };
        paths.push((isa.name().into(), Box::new(step)));
    }
    // A budget that does not bind, and one that does on the flat rows.
    for (name, max_kl) in [("budget", 1e3), ("budget binds", 0.1)] {
        let params = Params { max_kl, ..*params };
        let step = move |out: &mut [f32]| {
            black_box(steer(black_box(x), y, &params, out)).ok();
        };
        paths.push((format!("{} {name}", sda::steer::isa()), Box::new(step)));
    }
    // Its copy of the row, as in a sampler that owns it, is part of the time.
    let in_place = |out: &mut [f32]| {
        out.copy_from_slice(black_box(x));
        black_box(steer_in_place(out, y, params)).ok();
    };
    paths.push((format!("{} in place", sda::steer::isa()), Box::new(in_place)));
    // Several instructions: a row of its own for each, beside the two.
    for n in [2, 4] {
        let others: Vec<&[f32]> = further[..n].iter().map(Vec::as_slice).collect();
        let step = move |out: &mut [f32]| {
            black_box(steer_many(black_box(x), y, &others, &[0.5; 4][..n], params, out)).ok();
        };
        paths.push((format!("{} {n} instructions", sda::steer::isa()), Box::new(step)));
    }
    time_interleaved(&mut paths, vocab, rows)
}

/// All paths in turn, so that a busy moment of the machine hits them alike.
fn time_interleaved(paths: &mut [(String, StepFn)], vocab: usize, rows: &'static str) -> Vec<Timing> {
    const ROUNDS: usize = 60;
    let mut out = vec![0.0; vocab];
    let mut ms = vec![Vec::with_capacity(ROUNDS); paths.len()];
    let mut allocations = vec![0; paths.len()];
    for ((_, step), ms) in paths.iter_mut().zip(&mut ms) {
        step(&mut out);
        ms.clear();
    }
    for _ in 0..ROUNDS {
        for (path, (_, step)) in paths.iter_mut().enumerate() {
            // The naive version is slow, and a few rounds are enough.
            let calls = if path == 0 { 1 } else { 4 };
            if path == 0 && ms[0].len() >= 10 {
                continue;
            }
            step(&mut out);
            let (before, start) = (ALLOCATIONS.load(Ordering::Relaxed), Instant::now());
            (0..calls).for_each(|_| step(&mut out));
            let elapsed = start.elapsed();
            allocations[path] += ALLOCATIONS.load(Ordering::Relaxed) - before;
            ms[path].push(elapsed.as_secs_f64() * 1e3 / f64::from(calls));
        }
    }
    for ms in &mut ms {
        ms.sort_by(f64::total_cmp);
    }
    let at = |ms: &[f64], share: usize| ms[(ms.len() - 1) * share / 100];
    let naive = at(&ms[0], 50);
    let timing = |((path, ms), allocations): ((&str, &Vec<f64>), usize)| Timing {
        vocab,
        rows,
        path: path.into(),
        ms: [50, 10, 90].map(|share| at(ms, share)),
        naive_ratio: naive / at(ms, 50),
        allocations,
    };
    paths.iter().map(|(path, _)| path.as_str()).zip(&ms).zip(allocations).map(timing).collect()
}

/// Megabytes that must cross the memory bus, two rows in and one out, over the time.
fn mb_per_s(t: &Timing) -> f64 {
    3.0 * 4.0 * t.vocab as f64 / 1e6 / (t.ms[0] / 1e3)
}

fn print_line(t: &Timing) {
    let Timing { vocab, rows, path, ms: [median, low, high], naive_ratio, allocations } = t;
    println!(
        "vocab {vocab:6} {rows:6} {path:20} {median:7.3} ms ({low:.3} to {high:.3}) {:7.0} MB/s, \
         {naive_ratio:5.1}x naive, {allocations} allocations",
        mb_per_s(t)
    );
}

/// The step as its equations say, in scalar `f64`, with its two rows of log-probabilities kept.
fn naive(x: &[f32], y: &[f32], params: &Params, out: &mut [f32]) {
    let step = oracle::steer(x, y, params);
    for (out, value) in out.iter_mut().zip(step.log_probs) {
        *out = value as f32;
    }
}
