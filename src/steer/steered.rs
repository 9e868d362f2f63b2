//! Passes 3 and 4: the steered, tempered row and its log-softmax.

use fearless_simd::prelude::*;

use super::math::exp;
use super::scan::Row;
use super::tiles::{GROUP, MASKED, Pairs, TILE};

/// Relative error of the normaliser that skipped tiles may cause.
const SKIPPED_SUM: f64 = f64::EPSILON / 2.0;

/// The steered, tempered values, up to a constant that the last log-softmax removes:
///
/// ```text
/// z = (x - max x) / T + (k a / T) ((x - y) - apart)        s / T = z + constant
/// ```
///
/// where `apart` is the difference of the rows' log-sum-exps, so that the bracket is `ln p - ln q`. Where it
/// is steered by several rows, the sum of their brackets is ready in its place.
/// All in `f64`: for finite logits and settings nothing here overflows.
#[derive(Clone, Copy)]
pub(super) struct Steered {
    max: f64,
    apart: f64,
    over_t: f64,
    gain: f64,
    /// Subtracted from `z`, one after the other: the first difference is exact at the top.
    minus: [f64; 2],
    /// Everything that does not depend on the token, in one number: `- gain apart - minus`.
    shift: f64,
    /// The parts of `shift` are so large that they must cancel before anything is rounded.
    careful: bool,
}

/// Up to here the rounding of [`Steered::shift`] stays below 1e-9.
const LARGEST_SHIFT: f64 = 1e6;

impl Steered {
    /// `apart` is 0 for differences that are ready.
    pub(super) fn new(instructed: &Row, apart: f64, strength: f64, temperature: f64) -> Self {
        // Greedy: the order of the values does not depend on the temperature.
        let over_t = if temperature > 0.0 { 1.0 / temperature } else { 1.0 };
        let max = f64::from(instructed.max);
        let (gain, minus) = (strength * over_t, [0.0; 2]);
        Steered { max, apart, over_t, gain, minus, shift: 0.0, careful: false }.less(minus)
    }

    /// The same values minus two others.
    pub(super) fn less(self, minus: [f64; 2]) -> Self {
        let shift = -self.gain * self.apart;
        let small = |x: f64| x.abs() <= LARGEST_SHIFT;
        Steered {
            minus,
            shift: shift - minus[0] - minus[1],
            careful: !(small(shift) && small(minus[0]) && small(minus[1])),
            ..self
        }
    }

    #[inline(always)]
    fn half<S: Simd>(&self, simd: S, x: S::f64s, y: S::f64s, unsteered: S::mask64s) -> S::f64s {
        let steering = unsteered.select(S::f64s::splat(simd, 0.0), (x - y) - self.apart);
        let z = steering.mul_add(self.gain, (x - self.max) * self.over_t);
        (z - self.minus[0]) - self.minus[1]
    }

    /// `z` of a tile into `values`, `-inf` for a token masked in `x`; returns the largest.
    #[inline(always)]
    fn tile<S: Simd, Y: Steers>(&self, simd: S, (x, y): (&[f32], &[Y]), values: &mut [f64; TILE]) -> f64 {
        let (n, half) = (S::f32s::LEN, S::f64s::LEN);
        let masked = S::f64s::splat(simd, f64::NEG_INFINITY);
        let mut top = masked;
        for ((x, y), out) in x.chunks_exact(n).zip(y.chunks_exact(n)).zip(values.chunks_exact_mut(n)) {
            let x = S::f32s::from_slice(simd, x);
            let off = x.simd_eq(MASKED).widen();
            let [low, high] = Y::values(simd, self, x, y);
            let (low, high) = (off.0.select(masked, low), off.1.select(masked, high));
            low.store_slice(&mut out[..half]);
            high.store_slice(&mut out[half..]);
            top = top.max(low.max(high));
        }
        top.reduce_max()
    }
}

/// What a row is steered by, a value for each token.
pub(super) trait Steers: Copy {
    /// For what fills up the last vector.
    const FILLING: Self;

    /// `z` of the lower and the upper half of the lanes of `x`. Meaningless for a token masked in `x`.
    fn values<S: Simd>(simd: S, steered: &Steered, x: S::f32s, by: &[Self]) -> [S::f64s; 2];
}

/// Logits of the plain row.
impl Steers for f32 {
    const FILLING: f32 = MASKED;

    #[inline(always)]
    fn values<S: Simd>(simd: S, steered: &Steered, x: S::f32s, y: &[f32]) -> [S::f64s; 2] {
        let y = S::f32s::from_slice(simd, y);
        let unsteered = y.simd_eq(MASKED);
        let (x, y) = (x.widen(), y.widen());
        if steered.careful || unsteered.any_true() {
            let unsteered = unsteered.widen();
            return [steered.half(simd, x.0, y.0, unsteered.0), steered.half(simd, x.1, y.1, unsteered.1)];
        }
        let short = |x: S::f64s, y: S::f64s| {
            let tempered = (x - steered.max).mul_add(steered.over_t, S::f64s::splat(simd, steered.shift));
            (x - y).mul_add(steered.gain, tempered)
        };
        [short(x.0, y.0), short(x.1, y.1)]
    }
}

/// Differences that are ready.
impl Steers for f64 {
    const FILLING: f64 = 0.0;

    #[inline(always)]
    fn values<S: Simd>(simd: S, steered: &Steered, x: S::f32s, by: &[f64]) -> [S::f64s; 2] {
        let (low, high) = x.widen();
        let (by_low, by_high) = by.split_at(S::f64s::LEN);
        let half = |x: S::f64s, by: &[f64]| {
            let by = S::f64s::from_slice(simd, by);
            if steered.careful {
                let z = by.mul_add(steered.gain, (x - steered.max) * steered.over_t);
                return (z - steered.minus[0]) - steered.minus[1];
            }
            let tempered = (x - steered.max).mul_add(steered.over_t, S::f64s::splat(simd, steered.shift));
            by.mul_add(steered.gain, tempered)
        };
        [half(low, by_low), half(high, by_high)]
    }
}

/// Largest `z`, and `ln sum exp(z - max)`: the log-softmax subtracts both.
#[inline(always)]
pub(super) fn normalise<S: Simd, P: Pairs<Other: Steers>>(simd: S, pairs: &P, steered: &Steered) -> [f64; 2] {
    let mut values = [0.0; TILE];
    let (mut max, mut sum) = (f64::NEG_INFINITY, 0.0);
    // n exp(-reach) is at most SKIPPED_SUM.
    let reach = (pairs.n_vocab() as f64 / SKIPPED_SUM).ln();
    for tile in 0..pairs.n_vocab().div_ceil(TILE) {
        let pair = pairs.pair(tile);
        let top = steered.tile(simd, pair, &mut values);
        if top > max {
            sum *= (max - top).exp();
            max = top;
        }
        if top >= max - reach {
            sum += sum_of_exp_wide(simd, &values[..pair.0.len()], max);
        }
    }
    [max, f64::ln(sum)]
}

/// Sum of `exp(z - max)`, with the difference taken in `f64`.
#[inline(always)]
fn sum_of_exp_wide<S: Simd>(simd: S, values: &[f64], max: f64) -> f64 {
    let (n, half) = (S::f32s::LEN, S::f64s::LEN);
    let mut sum = S::f64s::splat(simd, 0.0);
    for group in values.chunks_exact(GROUP * n) {
        let mut part = S::f32s::splat(simd, 0.0);
        for values in group.chunks_exact(n) {
            let (low, high) = values.split_at(half);
            let low = S::f64s::from_slice(simd, low) - max;
            let high = S::f64s::from_slice(simd, high) - max;
            part += exp(simd, low.narrow(high));
        }
        let (low, high) = part.widen();
        sum += low + high;
    }
    sum.reduce_sum()
}

/// The token with the largest `z`, the lowest id of equal ones.
#[inline(always)]
pub(super) fn arg_max<S: Simd, P: Pairs<Other: Steers>>(simd: S, pairs: &P, steered: &Steered) -> usize {
    let mut values = [0.0; TILE];
    let (mut max, mut token) = (f64::NEG_INFINITY, 0);
    for tile in 0..pairs.n_vocab().div_ceil(TILE) {
        let top = steered.tile(simd, pairs.pair(tile), &mut values);
        if top > max {
            max = top;
            token = tile * TILE + values.iter().position(|z| *z == top).unwrap_or(0);
        }
    }
    token
}

/// Log-probabilities of a tile, or of any part of the rows: `z` minus both values of [`normalise`].
#[inline(always)]
pub(super) fn write_tile<S: Simd, Y: Steers>(
    simd: S,
    steered: &Steered,
    (x, y): (&[f32], &[Y]),
    out: &mut [f32],
) {
    let n = S::f32s::LEN;
    let whole = out.len() - out.len() % n;
    let ((x, x_rest), (y, y_rest), (out, out_rest)) =
        (x.split_at(whole), y.split_at(whole), out.split_at_mut(whole));
    for ((x, y), out) in x.chunks_exact(n).zip(y.chunks_exact(n)).zip(out.chunks_exact_mut(n)) {
        write_vector(simd, steered, (x, y), out);
    }
    if !out_rest.is_empty() {
        let [mut x, mut rest] = [[MASKED; 16]; 2];
        let mut y = [Y::FILLING; 16];
        x[..x_rest.len()].copy_from_slice(x_rest);
        y[..y_rest.len()].copy_from_slice(y_rest);
        write_vector(simd, steered, (&x[..n], &y[..n]), &mut rest[..n]);
        out_rest.copy_from_slice(&rest[..out_rest.len()]);
    }
}

#[inline(always)]
fn write_vector<S: Simd, Y: Steers>(simd: S, steered: &Steered, (x, y): (&[f32], &[Y]), out: &mut [f32]) {
    let x = S::f32s::from_slice(simd, x);
    let [low, high] = Y::values(simd, steered, x, y);
    let log_probs = low.narrow(high).max(f32::MIN).min(0.0);
    let masked = S::f32s::splat(simd, MASKED);
    x.simd_eq(MASKED).select(masked, log_probs).store_slice(out);
}
