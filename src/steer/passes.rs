//! The four passes of a step over its two rows, generic over the vector width.
//!
//! The direction alternates, so that a pass starts where the one before it left the cache warm.

use fearless_simd::prelude::*;

use super::divergence::divergence;
use super::limit::{self, Differs, Line, Tilt};
use super::scan::{Peaks, Row, scan};
use super::steered::{Steered, Steers, arg_max, normalise, write_tile};
use super::tiles::{MASKED, Pairs, TILE, Tiles};
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
    /// What the strength is multiplied by.
    pub(super) weight: f64,
    pub(super) params: &'a Params,
}

impl Job for MakePlan<'_> {
    type Output = Result<Plan>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<Plan> {
        let MakePlan { params, weight, .. } = self;
        let tiles = Tiles::new(self.instructed, self.plain);
        let mut peaks = Peaks::new(tiles.count());
        let rows = scan(simd, &tiles, &mut peaks)?;
        let gain = params.gain() * weight;
        let line = is_limited(params, gain).then(|| Line::new(&rows, gain));
        let (divergence, full) = divergence(simd, &tiles, &peaks, &rows, line.as_ref());
        let found = Found { divergence, tilt: line.zip(full), weight, apart: rows[0].apart_from(&rows[1]) };
        Ok(found.plan(simd, &tiles, &rows[0], params))
    }
}

/// True if there is a strength and a budget that it may exceed.
pub(super) fn is_limited(params: &Params, gain: f64) -> bool {
    gain != 0.0 && params.max_kl < f32::INFINITY
}

/// What the first two passes found out.
pub(super) struct Found {
    pub(super) divergence: f64,
    /// What the whole strength does, where it is limited.
    pub(super) tilt: Option<(Line, Tilt)>,
    /// What the strength is multiplied by, and how far the rows are apart; 1 and 0 for differences that are ready.
    pub(super) weight: f64,
    pub(super) apart: f64,
}

impl Found {
    /// Pass 3, and those of a limit that binds.
    #[inline(always)]
    pub(super) fn plan<S: Simd, P: Pairs<Other: Steers + Differs>>(
        self,
        simd: S,
        pairs: &P,
        instructed: &Row,
        params: &Params,
    ) -> Plan {
        let allowed =
            self.tilt.map(|(line, full)| limit::share(simd, pairs, &line, full, params.max_kl.into()));
        let gain = params.gain() * allowed.map_or(1.0, |allowed| allowed.share);
        let kl = allowed.map(|allowed| allowed.kl);
        let divergence = self.divergence;
        let temperature = params.temperature_at(divergence);
        let steered = Steered::new(instructed, self.apart, gain * self.weight, temperature);
        let ending = if params.is_greedy() {
            Ending::Token(arg_max(simd, pairs, &steered))
        } else {
            Ending::LogSoftmax(normalise(simd, pairs, &steered))
        };
        Plan { step: Step { divergence, temperature, gain, kl }, steered, ending }
    }
}

/// Pass 4.
pub(super) struct Write<'a, Y> {
    pub(super) plan: &'a Plan,
    /// The instructed logits; nothing when they are in `out`.
    pub(super) instructed: Option<&'a [f32]>,
    /// What they are steered by.
    pub(super) by: &'a [Y],
    pub(super) out: &'a mut [f32],
}

impl<Y: Steers> Job for Write<'_, Y> {
    type Output = Step;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Step {
        let Write { plan, instructed, by, out } = self;
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
                    let (y, out) = (&by[range.clone()], &mut out[range.clone()]);
                    let x = match instructed {
                        Some(x) => &x[range],
                        None => {
                            copy[..out.len()].copy_from_slice(out);
                            &copy[..out.len()]
                        }
                    };
                    write_tile(simd, &steered, (x, y), out);
                }
            }
        }
        plan.step
    }
}
