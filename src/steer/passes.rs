//! The four passes of a step over its two rows, generic over the vector width.
//!
//! The direction alternates, so that a pass starts where the one before it left the cache warm.

use fearless_simd::prelude::*;

use super::divergence::divergence;
use super::limit::{self, Line};
use super::scan::{Peaks, scan};
use super::steered::{Steered, arg_max, normalise, write_tile};
use super::tiles::{MASKED, TILE, Tiles};
use super::{Step, isa::Job};
use crate::error::Result;
use crate::params::Params;

/// What the last pass needs.
pub(super) struct Plan {
    step: Step,
    steered: Steered,
    ending: Ending,
}

/// How a row of results follows from the steered values.
enum Ending {
    /// Greedy: all on this token.
    Token(usize),
    /// The steered values minus both of these.
    LogSoftmax([f64; 2]),
}

/// Passes 1 to 3.
pub(super) struct MakePlan<'a> {
    pub(super) instructed: &'a [f32],
    pub(super) plain: &'a [f32],
    pub(super) params: &'a Params,
}

impl Job for MakePlan<'_> {
    type Output = Result<Plan>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<Plan> {
        let tiles = Tiles::new(self.instructed, self.plain);
        let mut peaks = Peaks::new(tiles.count());
        let rows = scan(simd, &tiles, &mut peaks)?;
        let (mut gain, budget) = (self.params.gain(), f64::from(self.params.max_kl));
        let line = (gain != 0.0 && budget < f64::INFINITY).then(|| Line::new(&rows, gain));
        let (divergence, tilt) = divergence(simd, &tiles, &peaks, &rows, line.as_ref());
        if let (Some(line), Some(full)) = (&line, tilt) {
            gain *= limit::share(simd, &tiles, line, full, budget);
        }
        let temperature = self.params.temperature_at(divergence);
        let steered = Steered::new(&rows, gain, temperature);
        let ending = if self.params.is_greedy() {
            Ending::Token(arg_max(simd, &tiles, &steered))
        } else {
            Ending::LogSoftmax(normalise(simd, &tiles, &steered))
        };
        Ok(Plan { step: Step { divergence, temperature, gain }, steered, ending })
    }
}

/// Pass 4.
pub(super) struct Write<'a> {
    pub(super) plan: &'a Plan,
    /// The instructed logits; nothing when they are in `out`.
    pub(super) instructed: Option<&'a [f32]>,
    pub(super) plain: &'a [f32],
    pub(super) out: &'a mut [f32],
}

impl Job for Write<'_> {
    type Output = Step;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Step {
        let Write { plan, instructed, plain, out } = self;
        match plan.ending {
            Ending::Token(token) => {
                out.fill(MASKED);
                out[token] = 0.0;
            }
            Ending::LogSoftmax(minus) => {
                let steered = plan.steered.less(minus);
                let mut copy = [0.0; TILE];
                for start in (0..out.len()).step_by(TILE).rev() {
                    let range = start..out.len().min(start + TILE);
                    let (y, out) = (&plain[range.clone()], &mut out[range.clone()]);
                    let x = match instructed {
                        Some(x) => &x[range],
                        None => {
                            copy[..out.len()].copy_from_slice(out);
                            &copy[..out.len()]
                        }
                    };
                    write_tile(simd, &steered, [x, y], out);
                }
            }
        }
        plan.step
    }
}
