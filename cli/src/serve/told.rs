//! What a request is told while its answers are made.

use sda::Params;
use sda::engine::{Answer, Arm, StepRecord};

use super::error::ApiError;
use crate::record::Judgement;

pub enum Told {
    /// A draft is written, or judged.
    Stage(&'static str),
    /// What the answers to a prompt are steered by.
    Steered {
        part: usize,
        steering: Steering,
    },
    /// Rows of an answer's prompts that were read, of all.
    Prefill {
        choice: usize,
        done: usize,
        total: usize,
    },
    Token {
        choice: usize,
        record: StepRecord,
    },
    /// The end of the text, where it was held back.
    Tail {
        choice: usize,
        text: String,
    },
    Done {
        choice: usize,
        answer: sda::Result<Answer>,
    },
    /// There will be no answer.
    Failed(ApiError),
}

/// What an answer is drawn from.
#[derive(Clone, Debug)]
pub struct Steering {
    pub arm: Arm,
    pub params: Params,
    /// The draft's, if a score decides the strength.
    pub score: Option<f64>,
    pub judge: Option<Judgement>,
    /// Why there is no score, where another answer stands in for the steered one.
    pub judge_error: Option<String>,
}

impl Steering {
    /// An answer that is not steered.
    pub fn none(arm: Arm, base: &Params) -> Steering {
        let params = Params { amplification: 0.0, ..*base };
        Steering { arm, params, score: None, judge: None, judge_error: None }
    }
}
