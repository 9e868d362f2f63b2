//! A pair of a batch and the job that it is at.

use super::run::Run;
use super::types::{Job, SlotPhase, SlotState};
use crate::branch::{Reading, SharedPair, Side, common_prefix, lock};
use crate::error::Result;
use crate::host::Token;

/// A pair and the answer that is generated in it. Without one its branches may hold an earlier answer and its prompts.
pub(super) struct Slot {
    pub(super) pair: SharedPair,
    pub(super) work: Option<Work>,
    /// When its last job ended; later ones have larger numbers.
    pub(super) used: u64,
}

/// A job under way.
pub(super) struct Work {
    pub(super) id: usize,
    pub(super) job: Job,
    pub(super) run: Run,
    pub(super) state: State,
}

/// What comes next.
pub(super) enum State {
    /// Its prompts are to be read further.
    Reading(Reading),
    /// This token was drawn, and is to be decoded.
    Drawn(Token),
    /// Its cells are others' now: it is to read its prompts and its tokens so far again.
    GaveWay,
}

impl Slot {
    pub(super) fn new(pair: SharedPair) -> Slot {
        Slot { pair, work: None, used: 0 }
    }

    /// The token that is to be decoded.
    pub(super) fn token(&self) -> Option<Token> {
        match self.work.as_ref()?.state {
            State::Drawn(token) => Some(token),
            _ => None,
        }
    }

    pub(super) fn reading(&self) -> Option<&Reading> {
        match &self.work.as_ref()?.state {
            State::Reading(reading) => Some(reading),
            _ => None,
        }
    }

    pub(super) fn gave_way(&self) -> bool {
        matches!(&self.work, Some(Work { state: State::GaveWay, .. }))
    }

    pub(super) fn is_active(&self) -> bool {
        self.work.is_some() && !self.gave_way()
    }

    /// Rows of a step of its answer, if it is answering.
    pub(super) fn rows(&self) -> usize {
        match &self.work {
            Some(Work { state: State::Drawn(_), run, job, .. }) => match run.side() {
                Some(_) => 1,
                None => 2 + job.prompts.singles.len(),
            },
            _ => 0,
        }
    }

    /// Tokens of a job's prompts that the branches hold already. 0 if it would drop more of what they hold than it uses.
    pub(super) fn continued_by(&self, job: &Job) -> Result<usize> {
        let pair = lock(&self.pair)?;
        let both = [(Side::Plain, &job.prompts.plain), (Side::Instructed, &job.prompts.instructed)];
        let (mut common, mut held) = (0, 0);
        for (side, prompt) in both {
            if job.arm.side().is_none_or(|only| only == side) {
                common += common_prefix(pair.tokens(side), prompt);
                held += pair.tokens(side).len();
            }
        }
        Ok(if 2 * common >= held { common } else { 0 })
    }

    pub(super) fn describe(&self) -> Result<SlotState> {
        let pair = lock(&self.pair)?;
        let (job, phase, generated) = match &self.work {
            None => (None, SlotPhase::Idle, 0),
            Some(work) => {
                let phase = match &work.state {
                    State::Reading(_) => SlotPhase::Reading,
                    State::Drawn(_) => SlotPhase::Answering,
                    State::GaveWay => SlotPhase::GaveWay,
                };
                (Some(work.id), phase, work.run.len())
            }
        };
        let held = [Side::Plain, Side::Instructed].map(|side| pair.tokens(side).len());
        Ok(SlotState { job, phase, held, generated })
    }
}
