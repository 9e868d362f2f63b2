//! Steering by several instructions, each with a weight of its own.

use std::cell::RefCell;

use fearless_simd::prelude::*;

use super::divergence::divergence;
use super::isa::{Isa, Job};
use super::limit::{Differs, Line, Sums};
use super::passes::{Found, Plan, Write, is_limited};
use super::scan::{Peaks, scan, scan_row};
use super::tiles::{GROUP, MASKED, Ready, TILE, Tiled, Tiles, load_group};
use super::weights::check_weight;
use super::{Step, check, check_length, plan};
use crate::error::{Error, Result};
use crate::params::Params;

/// The most instructions that one step can be steered by.
pub const MOST_INSTRUCTIONS: usize = 8;

/// What the errors call each instruction's row.
const NAMES: [&str; MOST_INSTRUCTIONS] = [
    "instruction 1",
    "instruction 2",
    "instruction 3",
    "instruction 4",
    "instruction 5",
    "instruction 6",
    "instruction 7",
    "instruction 8",
];

thread_local! {
    /// `D` of the present step. Kept, so that a thread allocates it once.
    static DIFFERENCES: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

/// Steers one step by several instructions and writes the log-probabilities of the next token.
///
/// `instructed` are the logits of the branch whose prompt holds all instructions, `plain` those of the query
/// alone, and `others` those of one instruction alone each; all have one value per token of the vocabulary. With
/// `p`, `q` and `p_i` their softmax and `w_i` the weights,
///
/// ```text
/// s   = ln p + k a sum w_i (ln p_i - ln q)
/// out = log_softmax(s / T)
/// ```
///
/// where `T` follows from the divergence of `p` and `q`, and [`Params::max_kl`] limits `KL(softmax(s) || p)`. A
/// negative weight steers away from its instruction, which then had better not be asked for: leave it out of the
/// prompt behind `instructed`, and where nothing is left in it pass the plain row for both.
///
/// A row in `others` that equals `instructed` stands for `instructed` itself. So with one instruction, which is
/// all that is asked for, `others` is `[instructed]`, and the result is that of [`steer`](super::steer) with a
/// strength of `w k a`: at a weight of 1 the same, bit for bit. [`Step::gain`] is the part of `k a` that was
/// applied, without the weights.
///
/// The order of the instructions makes no difference but in the last digits. Masked tokens:
///
/// - A token masked in `instructed` is `-inf`; no other token is.
/// - The term of instruction `i` is 0 for a token that is masked in its row or in `plain`.
///
/// The first call on a thread, and one with more tokens than any before, allocates 8 bytes for each token of the
/// vocabulary, which the thread keeps.
///
/// # Errors
///
/// Those of [`steer`](super::steer), where a row of `others` is called `instruction 1` and so on;
/// [`Error::Param`] for more than [`MOST_INSTRUCTIONS`] and a weight that is not finite, [`Error::Length`]
/// unless there are as many weights as rows. All rows are checked, also those with a weight of 0. `logprobs` is
/// then as it was.
pub fn steer_many(
    instructed: &[f32],
    plain: &[f32],
    others: &[&[f32]],
    weights: &[f32],
    params: &Params,
    logprobs: &mut [f32],
) -> Result<Step> {
    steer_many_with(Isa::best(), instructed, plain, others, weights, params, logprobs)
}

/// [`steer_many`] on a given instruction set, for tests and benchmarks.
///
/// # Errors
///
/// Those of [`steer_many`], and [`Error::Param`] if this machine lacks the instruction set.
#[doc(hidden)]
pub fn steer_many_with(
    isa: Isa,
    instructed: &[f32],
    plain: &[f32],
    others: &[&[f32]],
    weights: &[f32],
    params: &Params,
    logprobs: &mut [f32],
) -> Result<Step> {
    check_length("logprobs", logprobs.len(), instructed.len())?;
    let (own, terms) = terms(instructed, others, weights)?;
    let found = planned(isa, instructed, plain, own, terms.as_slice(), params)?;
    found.write(isa, Some(instructed), plain, logprobs)
}

/// [`steer_many`] with the log-probabilities written over the instructed logits, which on an error are as they
/// were. They have a weight of their own here, since nothing else can borrow them: `own` is that of a term
/// `ln p - ln q`.
///
/// # Errors
///
/// Those of [`steer_many`].
pub fn steer_many_in_place(
    instructed: &mut [f32],
    own: f32,
    plain: &[f32],
    others: &[&[f32]],
    weights: &[f32],
    params: &Params,
) -> Result<Step> {
    let isa = Isa::best();
    check_weight(own)?;
    let (equal, terms) = terms(instructed, others, weights)?;
    let found = planned(isa, instructed, plain, f64::from(own) + equal, terms.as_slice(), params)?;
    found.write(isa, None, plain, instructed)
}

/// Rows of single instructions with their weights, in a list that needs no heap.
struct Terms<'a> {
    list: [(&'a [f32], f32, &'static str); MOST_INSTRUCTIONS],
    len: usize,
}

impl<'a> Terms<'a> {
    fn as_slice(&self) -> &[(&'a [f32], f32, &'static str)] {
        &self.list[..self.len]
    }
}

/// The rows that differ from `instructed`, and the weight of those that do not.
fn terms<'a>(instructed: &[f32], others: &[&'a [f32]], weights: &[f32]) -> Result<(f64, Terms<'a>)> {
    if others.len() > MOST_INSTRUCTIONS {
        return Err(Error::param("instructions", others.len(), "at most 8"));
    }
    check_length("weights", weights.len(), others.len())?;
    let (mut own, mut terms) = (0.0, Terms { list: [(&[], 0.0, ""); MOST_INSTRUCTIONS], len: 0 });
    for ((&row, &weight), name) in others.iter().zip(weights).zip(NAMES) {
        check_weight(weight)?;
        check_length(name, row.len(), instructed.len())?;
        if std::ptr::eq(row, instructed) || row == instructed {
            own += f64::from(weight);
        } else {
            terms.list[terms.len] = (row, weight, name);
            terms.len += 1;
        }
    }
    Ok((own, terms))
}

/// Everything but the output.
enum Planned {
    /// Steered by the plain row.
    Plain(Plan),
    /// Steered by the differences that the thread keeps.
    Ready(Plan),
}

impl Planned {
    fn write(self, isa: Isa, instructed: Option<&[f32]>, plain: &[f32], out: &mut [f32]) -> Result<Step> {
        match self {
            Planned::Plain(plan) => isa.run(Write { plan: &plan, instructed, by: plain, out }),
            Planned::Ready(plan) => DIFFERENCES.with_borrow(|differences| {
                isa.run(Write { plan: &plan, instructed, by: differences.as_slice(), out })
            }),
        }
    }
}

fn planned(
    isa: Isa,
    instructed: &[f32],
    plain_row: &[f32],
    own: f64,
    terms: &[(&[f32], f32, &'static str)],
    params: &Params,
) -> Result<Planned> {
    if terms.is_empty() {
        return plan(isa, instructed, plain_row, own, params).map(Planned::Plain);
    }
    check(instructed, plain_row, params)?;
    DIFFERENCES.with_borrow_mut(|differences| {
        let length = Ready::length(instructed.len());
        if differences.len() < length {
            differences.resize(length, 0.0);
        }
        let differences = &mut differences[..length];
        let job = MakeManyPlan { instructed, plain: plain_row, own, terms, params, differences };
        isa.run(job)?.map(Planned::Ready)
    })
}

/// Passes 1 to 3, and one in between that adds up the differences.
struct MakeManyPlan<'a> {
    instructed: &'a [f32],
    plain: &'a [f32],
    own: f64,
    terms: &'a [(&'a [f32], f32, &'static str)],
    params: &'a Params,
    /// Of the length that [`Ready`] needs.
    differences: &'a mut [f64],
}

/// `w (ln p_i - ln q)`.
struct Term<'a> {
    /// Its logits; None for the instructed ones.
    row: Option<Tiled<'a>>,
    weight: f64,
    apart: f64,
}

impl Job for MakeManyPlan<'_> {
    type Output = Result<Plan>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<Plan> {
        let MakeManyPlan { own, params, differences, .. } = self;
        let tiles = Tiles::new(self.instructed, self.plain);
        let mut peaks = Peaks::new(tiles.count());
        let rows = scan(simd, &tiles, &mut peaks)?;
        let mut terms: [Option<Term>; MOST_INSTRUCTIONS + 1] = [const { None }; MOST_INSTRUCTIONS + 1];
        for (term, &(row, weight, name)) in terms.iter_mut().zip(self.terms) {
            let row = Tiled::new(row);
            let apart = scan_row(simd, &row, name)?.apart_from(&rows[1]);
            *term = (weight != 0.0).then_some(Term { row: Some(row), weight: weight.into(), apart });
        }
        let apart = rows[0].apart_from(&rows[1]);
        terms[MOST_INSTRUCTIONS] = (own != 0.0).then_some(Term { row: None, weight: own, apart });
        let (divergence, _) = divergence(simd, &tiles, &peaks, &rows, None);
        let line = is_limited(params, params.gain()).then(|| Line::ready(&rows[0], params.gain()));
        let mut sums = line.as_ref().map(|line| Sums::new(simd, line));
        for tile in 0..tiles.count() {
            let [instructed, plain] = tiles.get(tile);
            let sum = &mut differences[tile * TILE..][..instructed.len()];
            sum.fill(0.0);
            for term in terms.iter().flatten() {
                let x = term.row.as_ref().map_or(instructed, |row| row.get(tile));
                add_term(simd, [x, plain], term, sum);
            }
            if let Some(sums) = &mut sums {
                let n = GROUP * S::f32s::LEN;
                for (x, d) in instructed.chunks_exact(n).zip(sum.chunks_exact(n)) {
                    f64::add::<S, false>(simd, sums, load_group(simd, x), d);
                }
            }
        }
        let ready = Ready { row: tiles.instructed(), differences };
        let full = sums.map(|sums| sums.finish::<false, _>(&ready));
        let found = Found { divergence, tilt: line.zip(full), weight: 1.0, apart: 0.0 };
        Ok(found.plan(simd, &ready, &rows[0], params))
    }
}

/// Adds a term of a tile to the sum; nothing for a token that is masked in either row.
#[inline(always)]
fn add_term<S: Simd>(simd: S, [x, y]: [&[f32]; 2], term: &Term, sum: &mut [f64]) {
    let (n, half) = (S::f32s::LEN, S::f64s::LEN);
    let weight = S::f64s::splat(simd, term.weight);
    for ((x, y), sum) in x.chunks_exact(n).zip(y.chunks_exact(n)).zip(sum.chunks_exact_mut(n)) {
        let (x, y) = (S::f32s::from_slice(simd, x), S::f32s::from_slice(simd, y));
        let off = x.simd_eq(MASKED) | y.simd_eq(MASKED);
        let (x, y) = (x.widen(), y.widen());
        let (mut low, mut high) = ((x.0 - y.0) - term.apart, (x.1 - y.1) - term.apart);
        if off.any_true() {
            let (none, off) = (S::f64s::splat(simd, 0.0), off.widen());
            (low, high) = (off.0.select(none, low), off.1.select(none, high));
        }
        let (sum_low, sum_high) = sum.split_at_mut(half);
        low.mul_add(weight, S::f64s::from_slice(simd, sum_low)).store_slice(sum_low);
        high.mul_add(weight, S::f64s::from_slice(simd, sum_high)).store_slice(sum_high);
    }
}
