//! Pass 1: refuses bad logits; maximum and normaliser of each row.

use fearless_simd::prelude::*;

use super::math::exp;
use super::tiles::{GROUP, MASKED, Tiled, Tiles, load_group};
use crate::error::{Error, Result};

/// Softmax of a row: `ln p = (x - max) - ln sum`.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) max: f32,
    pub(super) sum: f64,
}

impl Row {
    const EMPTY: Row = Row { max: MASKED, sum: 0.0 };

    /// Takes in a tile, whose largest logit is `top`.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, values: &[f32], top: f32) {
        if top > self.max {
            // The sum so far is relative to the old maximum; exp(-inf) is 0.
            self.sum *= (f64::from(self.max) - f64::from(top)).exp();
            self.max = top;
        }
        if top > MASKED {
            self.sum += sum_of_exp(simd, values, self.max);
        }
    }

    /// How far its log-sum-exp is above that of another row: what `x - y` has to lose to be `ln p - ln q`.
    #[inline(always)]
    pub(super) fn apart_from(&self, other: &Row) -> f64 {
        (f64::from(self.max) - f64::from(other.max)) + (self.sum.ln() - other.sum.ln())
    }
}

/// Entries of [`Peaks`]: one for each tile up to a vocabulary of 262144, shared by several beyond.
const ENTRIES: usize = 256;

/// Largest logit of each tile in both rows, so that pass 2 can skip tiles.
pub(super) struct Peaks {
    tops: [[f32; 2]; ENTRIES],
    /// Tiles to an entry.
    share: usize,
}

impl Peaks {
    pub(super) fn new(tiles: usize) -> Self {
        Peaks { tops: [[MASKED; 2]; ENTRIES], share: tiles.div_ceil(ENTRIES) }
    }

    fn add(&mut self, tile: usize, top: [f32; 2]) {
        let entry = &mut self.tops[tile / self.share];
        *entry = [entry[0].max(top[0]), entry[1].max(top[1])];
    }

    pub(super) fn get(&self, tile: usize) -> [f32; 2] {
        self.tops[tile / self.share]
    }
}

/// Softmax of both rows; the largest logits of each tile go to `peaks`.
#[inline(always)]
pub(super) fn scan<S: Simd>(simd: S, tiles: &Tiles, peaks: &mut Peaks) -> Result<[Row; 2]> {
    let mut rows = [Row::EMPTY; 2];
    for tile in 0..tiles.count() {
        let pair = tiles.get(tile);
        let mut top = [MASKED; 2];
        for (row, values) in pair.into_iter().enumerate() {
            match maximum(simd, values) {
                Some(max) => top[row] = max,
                None => {
                    let names = ["instructed", "plain"].into_iter();
                    return Err(not_finite(tiles.rows().into_iter().zip(names)));
                }
            }
        }
        peaks.add(tile, top);
        for (row, values) in pair.into_iter().enumerate() {
            rows[row].add(simd, values, top[row]);
        }
    }
    for (row, branch) in rows.iter().zip(["instructed", "plain"]) {
        if row.max == MASKED {
            return Err(Error::AllMasked { branch });
        }
    }
    Ok(rows)
}

/// Softmax of a single row.
#[inline(always)]
pub(super) fn scan_row<S: Simd>(simd: S, row: &Tiled, branch: &'static str) -> Result<Row> {
    let mut state = Row::EMPTY;
    for tile in 0..row.count() {
        let values = row.get(tile);
        let Some(top) = maximum(simd, values) else { return Err(not_finite([(row.row(), branch)])) };
        state.add(simd, values, top);
    }
    if state.max == MASKED { Err(Error::AllMasked { branch }) } else { Ok(state) }
}

/// Largest value, or nothing if one is NaN or `+inf`.
#[inline(always)]
fn maximum<S: Simd>(simd: S, values: &[f32]) -> Option<f32> {
    let infinity = S::f32s::splat(simd, f32::INFINITY);
    let mut top = S::f32s::splat(simd, MASKED);
    let mut fine = top.simd_lt(infinity);
    for group in values.chunks_exact(GROUP * S::f32s::LEN) {
        let [a, b, c, d] = load_group(simd, group);
        // A comparison with NaN is false.
        fine &= (a.simd_lt(infinity) & b.simd_lt(infinity)) & (c.simd_lt(infinity) & d.simd_lt(infinity));
        top = top.max(a.max(b).max(c.max(d)));
    }
    fine.all_true().then(|| top.reduce_max())
}

/// Sum of `exp(x - max)`: a few terms in `f32`, then in `f64`.
#[inline(always)]
fn sum_of_exp<S: Simd>(simd: S, values: &[f32], max: f32) -> f64 {
    let mut sum = S::f64s::splat(simd, 0.0);
    for group in values.chunks_exact(GROUP * S::f32s::LEN) {
        let [a, b, c, d] = load_group(simd, group);
        let ab = exp(simd, a - max) + exp(simd, b - max);
        let cd = exp(simd, c - max) + exp(simd, d - max);
        let (low, high) = (ab + cd).widen();
        sum += low + high;
    }
    sum.reduce_sum()
}

/// Names the first bad logit of rows of which one holds one.
#[cold]
fn not_finite<'a>(rows: impl IntoIterator<Item = (&'a [f32], &'static str)>) -> Error {
    for (values, branch) in rows {
        let bad = |x: &f32| x.is_nan() || *x == f32::INFINITY;
        if let Some(token) = values.iter().position(bad) {
            return Error::NotFinite { branch, token, value: values[token] };
        }
    }
    unreachable!("a vector of a tile held NaN or +inf")
}
