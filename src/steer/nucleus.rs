//! Top-k and top-p without a sort of the vocabulary: the few most likely tokens of a row of
//! log-probabilities, in order.
//!
//! A token with log-probability `l` or more is one of at most `exp(-l)`. So the row is searched from
//! the top in bands of log-probability, each one pass of comparisons, until what was found suffices;
//! only what was found is sorted. In the rows of language models the first band, with at most 1096
//! tokens, is nearly always enough.

use fearless_simd::prelude::*;

use super::isa::{Isa, Job};
use super::math::exp;
use super::tiles::{GROUP, load_group};

/// Lower end of the first band.
const FIRST: f32 = -7.0;

/// Width of the next bands; below [`WIDENING`] each is four times as wide as the one before.
const WIDTH: f32 = 2.0;
const WIDENING: f32 = -13.0;

/// A part of a band this short is sorted rather than split further.
const SHORT: usize = 32;

/// Finds the most likely tokens of a row, and keeps its memory between rows.
#[derive(Default)]
pub struct Nucleus {
    /// Packed by [`pack`]: ascending order is descending probability, then ascending id.
    found: Vec<u64>,
}

impl Nucleus {
    /// The tokens that top-k and then top-p keep, the most likely first, of equal ones the lowest id
    /// first, as token id and log-probability. `logprobs` are the values of a distribution, at most 0,
    /// by token id; masked tokens (`-inf`) are never kept.
    ///
    /// `top_k` keeps at most that many; 0 keeps all. `top_p` keeps the fewest tokens that hold this
    /// much of the probability (after top-k: of what that has left), at least one; 1 or more keeps all.
    /// This is what the samplers of the same names do in llama.cpp. They may differ on a token where
    /// the sum reaches `top_p` to within its rounding (about 1e-6 here, more there).
    pub fn select(
        &mut self,
        logprobs: &[f32],
        top_k: usize,
        top_p: f32,
    ) -> impl ExactSizeIterator<Item = (usize, f32)> + '_ {
        self.select_with(Isa::best(), logprobs, top_k, top_p)
    }

    /// [`Nucleus::select`] on a given instruction set, which this machine must have.
    #[doc(hidden)]
    pub fn select_with(
        &mut self,
        isa: Isa,
        logprobs: &[f32],
        top_k: usize,
        top_p: f32,
    ) -> impl ExactSizeIterator<Item = (usize, f32)> + '_ {
        self.found.clear();
        // Once for all rows: no row has more.
        self.found.reserve(logprobs.len());
        let search = Search { isa, logprobs, found: &mut self.found };
        match top_k {
            0 => search.until_mass(if top_p < 1.0 { f64::from(top_p) } else { f64::INFINITY }),
            _ => search.until_count(top_k, top_p),
        }
        self.found.iter().map(|&packed| (packed as u32 as usize, -magnitude(packed)))
    }
}

fn pack(logprob: f32, token: usize) -> u64 {
    u64::from(logprob.abs().to_bits()) << 32 | token as u64
}

fn magnitude(packed: u64) -> f32 {
    f32::from_bits((packed >> 32) as u32)
}

/// A search in one row.
struct Search<'a> {
    isa: Isa,
    logprobs: &'a [f32],
    found: &'a mut Vec<u64>,
}

impl Search<'_> {
    /// The best tokens that hold `missing` of the probability; `INFINITY` for all.
    fn until_mass(mut self, mut missing: f64) {
        // All tokens below this hold less than 1 - p together; the rest of it is for rounding.
        let floor = ((1.0 - missing) / self.logprobs.len() as f64).ln() as f32 - 0.01;
        for (from, below) in bands(if floor.is_nan() { f32::MIN } else { floor }) {
            let start = self.collect(from, below);
            let band = &mut self.found[start..];
            let mass = mass(self.isa, band);
            if !band.is_empty() && mass >= missing {
                let count = part_by_mass(self.isa, band, missing);
                self.found.truncate(start + count);
                self.found[start..].sort_unstable();
                return;
            }
            band.sort_unstable();
            missing -= mass;
        }
    }

    /// The `top_k` best tokens, and of these the best that hold `top_p` of their probability.
    fn until_count(mut self, top_k: usize, top_p: f32) {
        for (from, below) in bands(f32::MIN) {
            let start = self.collect(from, below);
            if self.found.len() > top_k {
                self.found[start..].select_nth_unstable(top_k - start);
                self.found.truncate(top_k);
            }
            self.found[start..].sort_unstable();
            if self.found.len() == top_k {
                break;
            }
        }
        if top_p < 1.0 && !self.found.is_empty() {
            let missing = f64::from(top_p) * mass(self.isa, self.found);
            let count = part_by_mass(self.isa, self.found, missing);
            self.found.truncate(count);
            self.found.sort_unstable();
        }
    }

    /// Appends the tokens of a band; returns where they begin.
    fn collect(&mut self, from: f32, below: f32) -> usize {
        let start = self.found.len();
        run(self.isa, Collect { logprobs: self.logprobs, from, below, found: self.found });
        start
    }
}

/// Bands from the top: lower end, upper end (which is not in the band). One ends at `floor`; the last
/// takes all that is not masked.
fn bands(floor: f32) -> impl Iterator<Item = (f32, f32)> {
    let mut width = WIDTH;
    let mut below = f32::INFINITY;
    std::iter::from_fn(move || {
        if below == f32::MIN {
            return None;
        }
        let upper = below;
        below = match upper {
            f32::INFINITY => FIRST,
            _ if upper <= floor => f32::MIN,
            _ => (upper - width).max(floor),
        };
        if below < WIDENING {
            width *= 4.0;
        }
        Some((below, upper))
    })
}

/// Orders `band` so that its first tokens are the fewest that hold `missing`; returns their number.
fn part_by_mass(isa: Isa, band: &mut [u64], mut missing: f64) -> usize {
    let (mut low, mut high) = (0, band.len());
    // Tokens before `low` are kept and subtracted from `missing`; tokens from `high` on are not kept.
    while high - low > SHORT {
        let middle = (high - low) / 2;
        band[low..high].select_nth_unstable(middle);
        let mass = mass(isa, &band[low..low + middle]);
        if mass >= missing {
            high = low + middle;
        } else {
            missing -= mass;
            low += middle;
        }
    }
    band[low..high].sort_unstable();
    for (i, &packed) in band[low..high].iter().enumerate() {
        missing -= f64::from(-magnitude(packed)).exp();
        if missing <= 0.0 {
            return low + i + 1;
        }
    }
    high
}

/// Probability that the tokens hold together.
fn mass(isa: Isa, tokens: &[u64]) -> f64 {
    run(isa, Mass(tokens))
}

fn run<J: Job>(isa: Isa, job: J) -> J::Output {
    isa.run(job).unwrap_or_else(|error| panic!("{error}"))
}

/// Appends the tokens with `from <= logprob < below` to `found`.
struct Collect<'a> {
    logprobs: &'a [f32],
    from: f32,
    below: f32,
    found: &'a mut Vec<u64>,
}

impl Job for Collect<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Collect { logprobs, from, below, found } = self;
        let n = S::f32s::LEN;
        let mut groups = logprobs.chunks_exact(GROUP * n);
        let mut token = 0;
        for group in &mut groups {
            let values = load_group(simd, group);
            let [a, b, c, d] = values.map(|v| v.simd_ge(from) & v.simd_lt(below));
            if ((a | b) | (c | d)).any_true() {
                for (i, inside) in [a, b, c, d].into_iter().enumerate() {
                    let mut bits = inside.to_bitmask();
                    while bits != 0 {
                        let at = i * n + bits.trailing_zeros() as usize;
                        found.push(pack(group[at], token + at));
                        bits &= bits - 1;
                    }
                }
            }
            token += group.len();
        }
        for (i, &logprob) in groups.remainder().iter().enumerate() {
            if logprob >= from && logprob < below {
                found.push(pack(logprob, token + i));
            }
        }
    }
}

/// Sum of the probabilities.
struct Mass<'a>(&'a [u64]);

impl Job for Mass<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        let n = S::f32s::LEN;
        let mut values = [0.0; 16];
        let mut sum = S::f64s::splat(simd, 0.0);
        for tokens in self.0.chunks(n) {
            // exp(-inf) adds nothing that counts.
            values[tokens.len()..n].fill(f32::NEG_INFINITY);
            for (value, &packed) in values.iter_mut().zip(tokens) {
                *value = -magnitude(packed);
            }
            let (low, high) = exp(simd, S::f32s::from_slice(simd, &values[..n])).widen();
            sum += low + high;
        }
        sum.reduce_sum()
    }
}
