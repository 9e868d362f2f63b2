//! The two functions that the step needs in vectors of `f32`.
//!
//! The polynomials are minimax fits; the tests below measure them.

use fearless_simd::prelude::*;

/// Smallest exponent: lower ones, `-inf` among them, count as this one. `exp(-87)` is 1.6e-38, the
/// power of two in it still a normal number.
pub(super) const LOWEST: f32 = -87.0;

/// Adding 1.5 * 2^23 rounds to a whole number, left in the low bits; 127 more is the exponent's bias.
const ROUND: f32 = 12_582_912.0 + 127.0;

/// `ln 2` in two parts, the first with so few bits that small multiples of it are exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// `exp(t)` for `t <= 0`, to about 1e-7 relative; below [`LOWEST`], and for `-inf`, 1.6e-38.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, t: S::f32s) -> S::f32s {
    exp_in_range(simd, t.max(LOWEST))
}

/// [`exp`] for `LOWEST <= t <= 0`.
#[inline(always)]
pub(super) fn exp_in_range<S: Simd>(simd: S, t: S::f32s) -> S::f32s {
    let rounded = t.mul_add(std::f32::consts::LOG2_E, S::f32s::splat(simd, ROUND));
    let scale = S::f32s::from_bits(rounded.to_bits() << 23);
    let n = rounded - ROUND;
    let f = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], t));
    // exp(f) - 1 = f + f^2 q(f) for |f| <= ln 2 / 2
    let q = f.mul_add(1.394_216_5e-3, 8.363_776e-3);
    let q = f.mul_add(q, 4.166_636_3e-2);
    let q = f.mul_add(q, 1.666_657_3e-1);
    let q = f.mul_add(q, 0.5);
    scale.mul_add((f * f).mul_add(q, f), scale)
}

/// What one token adds to the divergence, as a share of the larger of its two probabilities.
///
/// With `a = |ln p - ln q|` and `r = exp(-a)` the smaller over the larger probability, the two terms
/// of the token are `max(p, q) g(a)` together, where
///
/// ```text
/// g(a) = (1 + r) ln(2 / (1 + r)) + r ln r
/// ```
///
/// rises from 0 at `a = 0` (as `a^2 / 4`) to `ln 2`. Near 0 its terms cancel, and a power series in
/// `a^2` takes their place, so that small shares keep their relative accuracy, and equal
/// probabilities give exactly 0.
#[inline(always)]
pub(super) fn divergence_share<S: Simd>(simd: S, a: S::f32s) -> S::f32s {
    let r = exp(simd, -a);
    // g(a) = (1 + r) s P(s) with s = a^2, for a <= 1.5
    let s = a * a;
    let p = s.mul_add(-1.044_319_7e-6, 1.714_455_8e-5);
    let p = s.mul_add(p, -1.821_853e-4);
    let p = s.mul_add(p, 1.734_946_3e-3);
    let p = s.mul_add(p, -1.562_477_8e-2);
    let p = s.mul_add(p, 0.125) * s;
    let near = r.mul_add(p, p);
    // (1 + r) ln(2 / (1 + r)) for r <= exp(-1.5)
    let l = r.mul_add(3.306_833e-2, -7.949_102e-2);
    let l = r.mul_add(l, 1.662_451_5e-1);
    let l = r.mul_add(l, -4.999_787_1e-1);
    let l = r.mul_add(l, -3.068_532_2e-1);
    let l = r.mul_add(l, std::f32::consts::LN_2);
    let far = (-r).mul_add(a, l);
    a.simd_lt(1.5).select(near, far)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::isa::{Isa, Job};

    /// Applies a function of [`super`] to every value.
    struct Map<'a>(&'a [f32], bool);

    impl Job for Map<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<f32> {
            let of = |t: &f32| {
                let t = S::f32s::splat(simd, *t);
                let value = if self.1 { exp(simd, t) } else { divergence_share(simd, t) };
                value.as_slice()[0]
            };
            self.0.iter().map(of).collect()
        }
    }

    #[test]
    fn the_exponential_is_accurate_to_two_units_in_the_last_place() {
        let inputs: Vec<f32> = (0..200_000).map(|i| -87.0 * i as f32 / 200_000.0).collect();
        for isa in Isa::available() {
            for (t, got) in inputs.iter().zip(isa.run(Map(&inputs, true)).unwrap()) {
                let expected = f64::from(*t).exp();
                assert!((f64::from(got) / expected - 1.0).abs() < 2.4e-7, "{isa}: exp({t}) is {got}");
            }
        }
    }

    #[test]
    fn exponents_out_of_range_give_next_to_nothing() {
        for isa in Isa::available() {
            for got in isa.run(Map(&[-87.5, -1e5, f32::MIN, f32::NEG_INFINITY], true)).unwrap() {
                assert!((0.0..2e-38).contains(&got), "{isa}: {got}");
            }
            assert_eq!(isa.run(Map(&[0.0, -0.0], true)), Ok(vec![1.0, 1.0]));
        }
    }

    #[test]
    fn the_divergence_share_is_zero_at_zero_and_relatively_accurate_above() {
        let inputs: Vec<f32> = (0..100_000).map(|i| 100.0 * (i as f32 / 100_000.0).powi(4)).collect();
        for isa in Isa::available() {
            for (a, got) in inputs.iter().zip(isa.run(Map(&inputs, false)).unwrap()) {
                let a = f64::from(*a);
                let (r, v) = ((-a).exp(), -(-a).exp_m1());
                // As a power series where the closed form cancels.
                let expected = if a < 1e-2 {
                    v * v * (1.0 / 4.0 + v / 8.0 + v * v * 7.0 / 96.0)
                } else {
                    (1.0 + r) * -(-0.5 * v).ln_1p() - r * a
                };
                let error = (f64::from(got) - expected).abs();
                assert!(error <= 4e-7 * expected + 1e-37, "{isa}: {a} {got} {expected}");
            }
            assert_eq!(isa.run(Map(&[0.0], false)), Ok(vec![0.0]));
        }
    }
}
