//! An answer whose strength a judge decides: what follows from the score of its draft.

use super::super::SDA_OK;
use super::super::arm::{SDA_ARM_INSTRUCTED, SDA_ARM_PLAIN, SDA_ARM_STEERED};
use super::answer::{CAnswer, SDA_FINISH_CANCELLED};
use super::request::{Judging, Request};
use crate::engine::{Answer, Arm, LocalJudge};
use crate::error::Result;
use crate::judge::{Judge, JudgeRequest, Resolution, resolve};
use crate::params::Params;
use crate::strength::Strength;
use crate::text::{Instruction, strip_think};

/// What the answer is drawn from, and what its host is told of that.
pub(super) struct Decided {
    pub(super) arm: Arm,
    pub(super) params: Params,
    n_draft: usize,
    status: i32,
    score: f32,
    spread: f32,
}

impl Decided {
    /// By the request alone.
    pub(super) fn by(request: &Request) -> Decided {
        let (arm, params) = (request.arm, request.settings.params);
        Decided { arm, params, n_draft: 0, status: SDA_OK, score: 0.0, spread: 0.0 }
    }

    /// By the judge's score of a draft; `thinking` as in its prompts.
    pub(super) fn by_judge(
        judge: &mut LocalJudge,
        request: &Request,
        judging: &Judging,
        draft: &Answer,
        thinking: bool,
        cancel: &dyn Fn() -> bool,
    ) -> Result<Decided> {
        let asked = JudgeRequest {
            query: request.prompt,
            draft: strip_think(&draft.text, thinking).text,
            instruction: &Instruction::joined(&request.instructions),
            dimension: judging.dimension,
        };
        let verdict = judge.score(&asked, cancel);
        let spread = verdict.as_ref().map_or(0.0, |verdict| verdict.spread() as f32);
        let decided = Decided { n_draft: draft.tokens.len(), ..Decided::by(request) };
        match resolve(verdict, judging.on_failure) {
            Resolution::Score(score) => {
                let params = Strength::score(score, judging.amplify).apply(&decided.params)?;
                Ok(Decided { params, score, spread, ..decided })
            }
            Resolution::PlainOnly(why) => Ok(Decided { arm: Arm::Plain, status: why.code(), ..decided }),
            Resolution::InstructedOnly(why) => {
                Ok(Decided { arm: Arm::Instructed, status: why.code(), ..decided })
            }
            Resolution::Err(error) => Err(error),
        }
    }

    /// What the host is told of the finished answer.
    pub(super) fn tell(&self, answer: &Answer) -> CAnswer {
        CAnswer {
            n_draft: self.n_draft,
            arm: match self.arm {
                Arm::Steered => SDA_ARM_STEERED,
                Arm::Instructed => SDA_ARM_INSTRUCTED,
                Arm::Plain => SDA_ARM_PLAIN,
            },
            judge_status: self.status,
            score: self.score,
            spread: self.spread,
            ..answer.into()
        }
    }
}

/// What the host is told when it stopped before the answer began, after so many tokens of the draft.
pub(super) fn stopped(n_draft: usize) -> CAnswer {
    CAnswer { finish: SDA_FINISH_CANCELLED, mean_divergence: f32::NAN, n_draft, ..CAnswer::default() }
}
