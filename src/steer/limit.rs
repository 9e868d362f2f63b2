//! The KL budget: how far the strength may go at a step.
//!
//! With `p` the instructed distribution, `D = ln p - ln q` and `P_w = p exp(w D) / exp(M(w))`:
//!
//! ```text
//! M(w)  = ln sum p exp(w D)
//! KL(w) = KL(P_w || p) = w M'(w) - M(w),    KL'(w) = w Var_w(D)
//! ```
//!
//! so `KL` grows with `|w|`, and the largest strength within a budget is the root of a smooth function.
//! A token that is masked in the plain branch only has `D = 0`: it is not steered. With several instructions `D`
//! is the sum of their weighted differences; nothing else changes.

use fearless_simd::prelude::*;

use super::math::{LOWEST, exp_in_range};
use super::scan::Row;
use super::tiles::{GROUP, MASKED, Pairs, TILE, load_group};

/// A strength counts as the largest when its divergence is within this share below the budget.
const TOLERANCE: f64 = 2e-3;

/// Passes over the rows at the most. Two or three are usual; rows that differ by hundreds of nats, where the
/// divergence is nearly a step, take most of them.
const MOST_PASSES: usize = 40;

/// Above this strength rounding in `f32` shows, and halving would take long to come down.
const STRONG: f64 = 1e4;

/// What a strength makes of the instructed distribution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tilt {
    /// `KL(P_w || p)` in nats.
    kl: f64,
    /// `Var_w(D)`; NaN where it was not summed up.
    variance: f64,
}

/// The part of a strength that a budget allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Allowed {
    /// Share of the strength, 0 to 1.
    pub(super) share: f64,
    /// What it does, `KL(P_w || p)` in nats.
    pub(super) kl: f64,
}

/// The largest share of `gain` whose divergence is within `budget`, given what all of it does. `at` says the same of
/// a part.
#[inline(always)]
fn share_within(budget: f64, gain: f64, full: Tilt, mut at: impl FnMut(f64) -> Tilt) -> Allowed {
    let none = Allowed { share: 0.0, kl: 0.0 };
    if budget <= 0.0 {
        return none;
    }
    if full.kl <= budget {
        // Rounding may leave a little less than nothing.
        return Allowed { share: 1.0, kl: full.kl.max(0.0) };
    }
    // sqrt(KL) is nearly linear in the strength where it is small: there Newton's steps are good. Where they leave
    // the bracket or do not shrink it, as where the steered distribution has settled on one token, it is halved.
    let (aim, floor) = ((budget * (1.0 - TOLERANCE / 2.0)).sqrt(), budget * (1.0 - TOLERANCE));
    let (mut low, mut high) = (none, 1.0);
    let (mut share, mut tilt) = (1.0, full);
    if gain.abs() > STRONG {
        let (part, at_part) = (STRONG / gain.abs(), at(STRONG / gain.abs()));
        if at_part.kl > budget {
            (high, share, tilt) = (part, part, at_part);
        } else {
            low = Allowed { share: part, kl: at_part.kl.max(0.0) };
        }
    }
    for _ in 0..MOST_PASSES {
        let width = high - low.share;
        let root = tilt.kl.max(0.0).sqrt();
        // At first nothing is known but that sqrt(KL) is about proportional.
        let step = if tilt.variance.is_nan() {
            (root - aim) * share / root
        } else {
            (root - aim) * 2.0 * root / (gain * gain * share * tilt.variance)
        };
        let next = share - step;
        let inside = next > low.share && next < high && step.abs() < 0.9 * width.max(share);
        share = if inside { next } else { 0.5 * (low.share + high) };
        tilt = at(share);
        if tilt.kl > budget {
            high = share;
        } else {
            low = Allowed { share, kl: tilt.kl.max(0.0) };
            if tilt.kl >= floor {
                break;
            }
        }
    }
    low
}

/// `s = (x - max x) + w ((x - y) - apart)`: `ln p + w D` but for a constant.
#[derive(Clone, Copy)]
pub(super) struct Line {
    max: f64,
    apart: f64,
    log_sum: f64,
    gain: f64,
    /// Logits so large that their differences have to be taken in `f64`.
    careful: bool,
}

/// Up to here a logit's rounding in `f32` is below 1e-5.
const LARGEST_LOGIT: f32 = 128.0;

/// Tokens this far below the reference, in nats, add nothing.
const REACH: f32 = 45.0;

/// A token this far above the reference makes a new one.
const ROOM: f32 = 60.0;

/// Where `x - y` or its square is so large at tokens that count, it is taken in `f64`.
const LARGEST_MEAN: f64 = 100.0;
const LARGEST_SQUARE: f64 = 1e4;

/// Above this `w D` is so much larger than the divergence that its rounding in `f32` would show in that.
const LARGEST_MOVE: f64 = 500.0;

impl Line {
    pub(super) fn new(rows: &[Row; 2], gain: f64) -> Line {
        let [instructed, plain] = rows;
        let line = Line::ready(instructed, gain);
        let careful = line.careful || plain.max.abs() > LARGEST_LOGIT;
        Line { apart: instructed.apart_from(plain), careful, ..line }
    }

    /// For differences that are ready.
    pub(super) fn ready(instructed: &Row, gain: f64) -> Line {
        let careful = instructed.max.abs() > LARGEST_LOGIT;
        Line { max: instructed.max.into(), apart: 0.0, log_sum: instructed.sum.ln(), gain, careful }
    }

    /// The same for a part of the strength.
    fn times(self, share: f64) -> Line {
        Line { gain: self.gain * share, ..self }
    }

    /// One pass over the rows.
    #[inline(always)]
    fn pass<S: Simd, P: Pairs<Other: Differs>>(&self, simd: S, pairs: &P) -> Tilt {
        let mut sums = Sums::new(simd, self);
        for tile in 0..pairs.n_vocab().div_ceil(TILE) {
            let (x, y) = pairs.pair(tile);
            let n = GROUP * S::f32s::LEN;
            for (x, y) in x.chunks_exact(n).zip(y.chunks_exact(n)) {
                P::Other::add::<S, true>(simd, &mut sums, load_group(simd, x), y);
            }
        }
        sums.finish::<true, P>(pairs)
    }

    /// The same token by token in `f64`, for rows that are far from a language model's.
    #[cold]
    fn carefully<P: Pairs<Other: Differs>>(&self, pairs: &P) -> Tilt {
        let (x, y) = pairs.whole();
        let tokens = || {
            let unmasked = x.iter().zip(y).filter(|(x, _)| **x != MASKED);
            unmasked.map(|(&x, &y)| (f64::from(x), y.difference(x, self.apart)))
        };
        // Relative to the likeliest token: `w M'` and `M` grow with the strength, and their difference does not.
        let above =
            |token: (f64, f64), other: (f64, f64)| (token.0 - other.0) + self.gain * (token.1 - other.1);
        let higher = |top, token| if above(token, top) > 0.0 { token } else { top };
        let Some(reference) = tokens().reduce(higher) else { return Tilt { kl: 0.0, variance: 0.0 } };
        let mut sums = [0.0; 2];
        for token in tokens() {
            let weight = above(token, reference).exp();
            sums[0] += weight;
            sums[1] += weight * (token.1 - reference.1);
        }
        let mean = sums[1] / sums[0];
        let spread = |token: (f64, f64)| (token.1 - reference.1 - mean).powi(2);
        let variance: f64 = tokens().map(|token| above(token, reference).exp() * spread(token)).sum();
        let kl = self.gain * mean - (reference.0 - self.max) - sums[0].ln() + self.log_sum;
        Tilt { kl, variance: variance / sums[0] }
    }
}

/// Sums of `exp(s - reference)`, times 1, `x - y` and `(x - y)^2`: in `f32` for a group, in `f64` for all.
pub(super) struct Sums<S: Simd> {
    line: Line,
    gain: S::f32s,
    reference: f32,
    /// What is taken away from `x + w (x - y)` to be relative to the reference.
    offset: f32,
    sums: [S::f64s; 3],
}

impl<S: Simd> Sums<S> {
    #[inline(always)]
    pub(super) fn new(simd: S, line: &Line) -> Self {
        let sums = [S::f64s::splat(simd, 0.0); 3];
        let mut new = Sums {
            line: *line,
            gain: S::f32s::splat(simd, line.gain as f32),
            reference: 0.0,
            offset: 0.0,
            sums,
        };
        // The steered weights add up to `exp(M)`, at least 1 by the plain row and a positive strength; else the first
        // tokens raise it. By several instructions it may be next to nothing, which shows in the sum.
        new.refer_to(-REACH);
        new
    }

    #[inline(always)]
    fn refer_to(&mut self, reference: f32) {
        self.reference = reference;
        self.offset = (self.line.max + self.line.gain * self.line.apart + f64::from(reference)) as f32;
    }

    /// Takes in a group of logits of both rows. `VARIANCE`: the third sum is wanted, too.
    #[inline(always)]
    pub(super) fn add<const VARIANCE: bool>(&mut self, simd: S, x: [S::f32s; GROUP], y: [S::f32s; GROUP]) {
        let mut d = [S::f32s::splat(simd, 0.0); GROUP];
        let mut lowest = x[0].min(y[0]);
        for i in 1..GROUP {
            lowest = lowest.min(x[i].min(y[i]));
        }
        let masks = lowest.simd_eq(MASKED).any_true();
        for i in 0..GROUP {
            d[i] = x[i] - y[i];
            if masks {
                // `D = 0`: `x - y` is what the rows are apart.
                let unsteered = x[i].simd_eq(MASKED) | y[i].simd_eq(MASKED);
                d[i] = unsteered.select(S::f32s::splat(simd, self.line.apart as f32), d[i]);
            }
        }
        self.take::<VARIANCE>(simd, x, d);
    }

    /// Takes in a group of logits and differences.
    #[inline(always)]
    pub(super) fn take<const VARIANCE: bool>(&mut self, simd: S, x: [S::f32s; GROUP], d: [S::f32s; GROUP]) {
        let none = S::f32s::splat(simd, 0.0);
        let mut t = [none; GROUP];
        let mut top = S::f32s::splat(simd, MASKED);
        for i in 0..GROUP {
            t[i] = d[i].mul_add(self.gain, x[i] - self.offset);
            top = top.max(t[i]);
        }
        if !top.simd_gt(-REACH).any_true() {
            return;
        }
        if top.simd_gt(ROOM).any_true() {
            let by = self.raise(top.reduce_max());
            t = t.map(|t| t - by);
        }
        let mut parts = [none; 3];
        for i in 0..GROUP {
            let weight = exp_in_range(simd, t[i].max(LOWEST));
            parts[0] += weight;
            parts[1] = weight.mul_add(d[i], parts[1]);
            if VARIANCE {
                parts[2] = (weight * d[i]).mul_add(d[i], parts[2]);
            }
        }
        for (sum, part) in self.sums.iter_mut().zip(parts).take(if VARIANCE { 3 } else { 2 }) {
            let (low, high) = part.widen();
            *sum += low + high;
        }
    }

    /// Makes the highest token the new reference; returns how much higher it is.
    #[inline(always)]
    fn raise(&mut self, top: f32) -> f32 {
        let old = self.offset;
        self.refer_to(self.reference + top);
        let by = self.offset - old;
        let shrink = (-f64::from(by)).exp();
        self.sums = self.sums.map(|sum| sum * shrink);
        by
    }

    /// What the strength does. Without the third sum the variance is not known: NaN.
    #[inline(always)]
    pub(super) fn finish<const VARIANCE: bool, P: Pairs<Other: Differs>>(self, pairs: &P) -> Tilt {
        let line = &self.line;
        let [weight, first, second] = self.sums.map(|sum| sum.reduce_sum());
        let (mean, square) = (first / weight, second / weight);
        let log_weight = weight.ln() + f64::from(self.offset) - line.max - line.gain * line.apart;
        let kl = line.gain * (mean - line.apart) - (log_weight - line.log_sum);
        let variance = if VARIANCE { (square - mean * mean).max(0.0) } else { f64::NAN };
        // Where the rows are far apart at tokens that count, rounding shows.
        let moved = (mean - line.apart).abs();
        let far = square > LARGEST_SQUARE || moved >= LARGEST_MEAN;
        let strong = line.gain.abs() > STRONG || line.gain.abs() * moved.max(line.apart.abs()) > LARGEST_MOVE;
        // Beside a smaller sum, what is out of reach may count.
        let fine = kl.is_finite() && !far && !strong && weight >= 1.0;
        if fine && !line.careful { Tilt { kl, variance } } else { line.carefully(pairs) }
    }
}

/// What the differences come from, a value for each token.
pub(super) trait Differs: Copy {
    /// Takes a group into the sums.
    fn add<S: Simd, const VARIANCE: bool>(simd: S, sums: &mut Sums<S>, x: [S::f32s; GROUP], group: &[Self]);

    /// `D` of a token that is not masked in the instructed row.
    fn difference(self, x: f32, apart: f64) -> f64;
}

/// Logits of the plain row.
impl Differs for f32 {
    #[inline(always)]
    fn add<S: Simd, const VARIANCE: bool>(simd: S, sums: &mut Sums<S>, x: [S::f32s; GROUP], group: &[f32]) {
        sums.add::<VARIANCE>(simd, x, load_group(simd, group));
    }

    fn difference(self, x: f32, apart: f64) -> f64 {
        if self == MASKED { 0.0 } else { (f64::from(x) - f64::from(self)) - apart }
    }
}

/// Differences that are ready.
impl Differs for f64 {
    #[inline(always)]
    fn add<S: Simd, const VARIANCE: bool>(simd: S, sums: &mut Sums<S>, x: [S::f32s; GROUP], group: &[f64]) {
        let n = S::f64s::LEN;
        let mut d = [S::f32s::splat(simd, 0.0); GROUP];
        for (d, values) in d.iter_mut().zip(group.chunks_exact(2 * n)) {
            let (low, high) = values.split_at(n);
            *d = S::f64s::from_slice(simd, low).narrow(S::f64s::from_slice(simd, high));
        }
        sums.take::<VARIANCE>(simd, x, d);
    }

    fn difference(self, _x: f32, _apart: f64) -> f64 {
        self
    }
}

/// The part of the strength that stays within the budget, given what all of it does.
#[inline(always)]
pub(super) fn share<S: Simd, P: Pairs<Other: Differs>>(
    simd: S,
    pairs: &P,
    line: &Line,
    full: Tilt,
    budget: f64,
) -> Allowed {
    share_within(
        budget,
        line.gain,
        full,
        #[inline(always)]
        |share| line.times(share).pass(simd, pairs),
    )
}
