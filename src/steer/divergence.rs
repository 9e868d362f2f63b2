//! Pass 2: divergence of the two distributions.

use fearless_simd::prelude::*;

use super::limit::{Line, Sums, Tilt};
use super::math::{LOWEST, divergence_share, exp_in_range};
use super::scan::{Peaks, Row};
use super::tiles::{GROUP, Tiles, load_group};

/// Probability mass, in both branches together, that the divergence may leave out: no token of a
/// tile that is skipped has more than its share. A token adds at most `(p + q) ln 2 / 2`, so the
/// divergence is low by at most `2^-40 ln 2 / 2 = 3.2e-13`.
const SKIPPED_MASS: f64 = 1.0 / (1_u64 << 40) as f64;

/// `JS = sum max(p, q) g(|ln p - ln q|) / 2`, in `f32` but for the sum. Every part of a
/// term keeps its relative accuracy, and the terms have one sign, so the sum keeps it too.
///
/// What a strength does to the instructed distribution is found on the same way, if `line` asks for it. No
/// tile is skipped then: steering can make much of a token that is next to nothing in both branches.
#[inline(always)]
pub(super) fn divergence<S: Simd>(
    simd: S,
    tiles: &Tiles,
    peaks: &Peaks,
    rows: &[Row; 2],
    line: Option<&Line>,
) -> (f64, Option<Tilt>) {
    match line {
        None => (pass(simd, tiles, peaks, rows, None), None),
        Some(line) => {
            let mut sums = Sums::new(simd, line);
            let divergence = pass(simd, tiles, peaks, rows, Some(&mut sums));
            (divergence, Some(sums.finish::<false, _>(tiles)))
        }
    }
}

#[inline(always)]
fn pass<S: Simd>(
    simd: S,
    tiles: &Tiles,
    peaks: &Peaks,
    rows: &[Row; 2],
    mut sums: Option<&mut Sums<S>>,
) -> f64 {
    let log_sums = rows.map(|row| row.sum.ln());
    // ln p < ln(SKIPPED_MASS / 2n), written for the logits themselves.
    let share = (SKIPPED_MASS / (2.0 * tiles.n_vocab() as f64)).ln();
    let reach = [0, 1].map(|row| f64::from(rows[row].max) + log_sums[row] + share);
    let matters = |row: usize, top: f32| f64::from(top) >= reach[row];

    let apart = (log_sums[0] - log_sums[1]) as f32;
    let scales = rows.map(|row| S::f32s::splat(simd, (1.0 / row.sum) as f32));
    let mut sum = S::f64s::splat(simd, 0.0);
    for tile in (0..tiles.count()).rev() {
        let top = peaks.get(tile);
        let nothing = !matters(0, top[0]) && !matters(1, top[1]);
        if nothing && sums.is_none() {
            continue;
        }
        let [x, y] = tiles.get(tile);
        let n = GROUP * S::f32s::LEN;
        for (x, y) in x.chunks_exact(n).zip(y.chunks_exact(n)) {
            let (x, y) = (load_group(simd, x), load_group(simd, y));
            if let Some(sums) = &mut sums {
                sums.add::<false>(simd, x, y);
                if nothing {
                    continue;
                }
            }
            let mut part = S::f32s::splat(simd, 0.0);
            for i in 0..GROUP {
                // Masked tokens become finite and still have no probability.
                let tx = (x[i] - rows[0].max).max(LOWEST);
                let ty = (y[i] - rows[1].max).max(LOWEST);
                let d = (tx - ty) - apart;
                let more = d.simd_gt(0.0);
                let larger = exp_in_range(simd, more.select(tx, ty)) * more.select(scales[0], scales[1]);
                part = larger.mul_add(divergence_share(simd, d.abs()), part);
            }
            let (low, high) = part.widen();
            sum += low + high;
        }
    }
    (0.5 * sum.reduce_sum()).clamp(0.0, std::f64::consts::LN_2)
}
