//! What an answer is made from, what is told of it, and what it is.

use std::time::Duration;

use super::{ScoreDistribution, TopTokens};
use crate::branch::{Prefill, Side};
use crate::error::{Error, Result};
use crate::host::Token;
use crate::llama::{Grammar, Model, Sampling};
use crate::params::Params;
use crate::steer::Weights;
use crate::text::PromptSet;

/// The token ids of the prompts: two, or more with several instructions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompts {
    /// The query alone.
    pub plain: Vec<Token>,
    /// The query and the instruction, or all instructions that are asked for.
    pub instructed: Vec<Token>,
    /// The query and one of several instructions, for each that the steering needs. Empty with a single one.
    pub singles: Vec<Vec<Token>>,
    /// How much each branch counts in the steering; one weight for each of `singles`.
    pub weights: Weights,
    /// The answer begins in a `<think>` block that the prompts have opened
    /// ([`PromptPair::thinking`](crate::text::PromptPair::thinking)).
    pub thinking: bool,
}

impl Prompts {
    /// Prompts with one instruction.
    pub fn new(plain: Vec<Token>, instructed: Vec<Token>) -> Prompts {
        Prompts { plain, instructed, ..Prompts::default() }
    }

    /// The tokens of prompts as text.
    pub fn of(set: &PromptSet, model: &Model) -> Result<Prompts> {
        let tokens = |text: &String| model.tokenize_prompt(text);
        Ok(Prompts {
            plain: tokens(&set.pair.plain)?,
            instructed: tokens(&set.pair.instructed)?,
            singles: set.singles.iter().map(tokens).collect::<Result<_>>()?,
            weights: set.weights.clone(),
            thinking: set.pair.thinking,
        })
    }

    /// Tokens of the longest of all prompts.
    pub fn longest(&self) -> usize {
        let singles = self.singles.iter().map(Vec::len);
        [self.plain.len(), self.instructed.len()].into_iter().chain(singles).max().unwrap_or(0)
    }
}

/// Which distribution the answer is drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arm {
    /// The plain prompt alone: the draft.
    Plain,
    /// The instructed prompt alone, without steering: the control.
    Instructed,
    /// All branches, steered.
    #[default]
    Steered,
}

impl Arm {
    /// Name as the command line shows it.
    pub fn name(self) -> &'static str {
        match self {
            Arm::Plain => "plain",
            Arm::Instructed => "instructed",
            Arm::Steered => "steered",
        }
    }

    /// The one branch that the arm runs on, or None for all.
    pub fn side(self) -> Option<Side> {
        match self {
            Arm::Plain => Some(Side::Plain),
            Arm::Instructed => Some(Side::Instructed),
            Arm::Steered => None,
        }
    }
}

/// How to generate one answer.
#[derive(Clone, Debug, Default)]
pub struct Generation {
    /// Steering and temperature. The plain and instructed arms use its base temperature only.
    pub params: Params,
    /// The samplers after it.
    pub sampling: Sampling,
    /// Added to the log-probabilities of these tokens, in nats, between the steering and the temperature: finite, or
    /// `-inf`, which bans a token. Several for one token add up.
    pub logit_bias: Vec<(Token, f32)>,
    /// Ban the tokens that end an answer, so that its length, a stop text or a full context ends it.
    pub ignore_eos: bool,
    /// What the answer keeps to. It begins behind the `<think>` block that the prompts have opened
    /// ([`Prompts::thinking`]).
    pub grammar: Option<Grammar>,
    /// The most tokens; None continues until the model or the context ends.
    pub n_predict: Option<usize>,
    /// Where the context is full, let go of the older half of the answer so far, and continue: the prompts and the newer
    /// half are read again, in all branches alike. Without a limit such an answer may never end.
    pub context_shift: bool,
    /// Texts that end the answer; they are not part of it. Control tokens are matched by their texts, too.
    pub stop: Vec<String>,
    /// Do not steer before the model has closed the `<think>` block that its answer begins with, or that the prompts
    /// have opened ([`Prompts::thinking`]).
    pub steer_after_think: bool,
    /// Compute each token's log-probability in both branches for [`StepRecord`].
    pub trace: bool,
    /// Find this many of the most likely tokens of each distribution for [`StepRecord`]; 0 is none.
    pub trace_top: usize,
}

impl Generation {
    /// Checks every field's range, for a model.
    ///
    /// # Errors
    /// [`Error::Param`] for a field out of its range; of the grammar, if it names a text that is no token of the model.
    pub fn validate(&self, model: &Model) -> Result<()> {
        self.params.validate()?;
        self.sampling.validate()?;
        let last = model.n_vocab().saturating_sub(1) as Token;
        for &(token, bias) in &self.logit_bias {
            let refused = |allowed: String| {
                Err(Error::param("logit_bias", format!("{bias} for token {token}"), allowed))
            };
            if !(0..=last).contains(&token) {
                return refused(format!("of a token id from 0 to {last}"));
            }
            if bias.is_nan() || bias == f32::INFINITY {
                return refused("finite or -inf".into());
            }
        }
        if self.ignore_eos && self.grammar.is_some() {
            return Err(Error::param("ignore_eos", true, "false with a grammar, whose texts have an end"));
        }
        self.grammar.as_ref().map_or(Ok(()), |grammar| grammar.check(model))
    }
}

/// One generated token.
#[derive(Clone, Debug)]
pub struct StepRecord {
    /// Index in the answer, from 0.
    pub step: usize,
    /// Token id.
    pub token: Token,
    /// Text that is complete with this token; may be empty while a character is not. Control tokens have none, but for
    /// `<think>` and `</think>`.
    pub text: String,
    /// Divergence of the two branches in nats, in the steered arm. None, too, where nothing depends on it
    /// and it is not traced ([`Params::needs_plain`]): the plain branch is then not computed.
    pub divergence: Option<f64>,
    /// Temperature the token was drawn at.
    pub temperature: f64,
    /// Guidance scale `1 + k a` that was in force, in the steered arm.
    pub guidance: Option<f64>,
    /// Log-probability of the token in the plain branch, untempered, if traced.
    pub logprob_plain: Option<f64>,
    /// Log-probability of the token in the instructed branch, untempered, if traced.
    pub logprob_instructed: Option<f64>,
    /// The most likely tokens of each distribution, if asked for.
    pub top: Option<TopTokens>,
}

/// What the caller is told while an answer is generated.
pub enum Event<'a> {
    /// Rows of the prompts that were read, of all.
    Prefill {
        /// Rows done.
        done: usize,
        /// Rows in all.
        total: usize,
    },
    /// A token was generated.
    Token(&'a StepRecord),
    /// The end of the text, where it was held back because it might have become a stop text or a whole
    /// character. Comes last, once at the most, also after a stop; what is returned then has no effect.
    Tail(&'a str),
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it.
    EndOfGeneration,
    /// The wanted number of tokens is there.
    Length,
    /// A stop text came up.
    StopText,
    /// The context has no room for another token.
    ContextFull,
    /// The caller asked for it.
    Cancelled,
}

impl Finish {
    /// Name as records show it.
    pub fn name(self) -> &'static str {
        match self {
            Finish::EndOfGeneration => "eog",
            Finish::Length => "length",
            Finish::StopText => "stop",
            Finish::ContextFull => "context_full",
            Finish::Cancelled => "cancelled",
        }
    }
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Reading the prompts.
    pub prefill: Duration,
    /// `llama_decode` of the generated tokens.
    pub decode: Duration,
    /// Steering and drawing.
    pub sample: Duration,
}

/// A finished answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The text, complete characters only.
    pub text: String,
    /// The tokens, without the end-of-generation token.
    pub tokens: Vec<Token>,
    /// Why it ended.
    pub finish: Finish,
    /// The text of [`Generation::stop`] that ended it, if one did.
    pub stop_text: Option<String>,
    /// What reading the prompts cost.
    pub prefill: Prefill,
    /// Where the time went.
    pub timings: Timings,
    /// Mean divergence of the branches over the answer in nats, where it was computed.
    pub mean_divergence: Option<f64>,
}

impl Answer {
    /// An answer that was cancelled before it began.
    pub(super) fn none() -> Answer {
        Answer {
            text: String::new(),
            tokens: Vec::new(),
            finish: Finish::Cancelled,
            stop_text: None,
            prefill: Prefill::default(),
            timings: Timings::default(),
            mean_divergence: None,
        }
    }
}

/// One answer to generate.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// Which distribution it is drawn from.
    pub arm: Arm,
    /// The prompts; an arm that runs on one branch reads that one only.
    pub prompts: Prompts,
    /// How to generate it.
    pub settings: Generation,
    /// Use what the batch still holds of its prompts from other jobs, and leave it for later ones when it is done. An
    /// answer may then differ in its rounding from one that has read its prompts itself.
    pub cache_prompt: bool,
}

/// A slot of a [`Batch`](super::Batch): a pair of sequences, and the job that it is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotState {
    /// The job, if there is one.
    pub job: Option<usize>,
    /// What it is doing.
    pub phase: SlotPhase,
    /// Tokens that the plain and the instructed branch hold.
    pub held: [usize; 2],
    /// Tokens of the answer so far.
    pub generated: usize,
}

/// What a slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotPhase {
    /// Nothing; it may hold prompts of earlier jobs.
    Idle,
    /// The prompts are read.
    Reading,
    /// Tokens are generated.
    Answering,
    /// Its answer waits for cells.
    GaveWay,
}

/// What the caller is told while answers are generated. `id` is what the caller gave the job.
pub enum BatchEvent<'a> {
    /// Rows of a job's prompts that were read, of all; or of a judge's prompt.
    Prefill {
        /// The job.
        id: usize,
        /// Rows done.
        done: usize,
        /// Rows in all.
        total: usize,
    },
    /// A token of a job was generated.
    Token {
        /// The job.
        id: usize,
        /// The token.
        record: &'a StepRecord,
    },
    /// The end of a job's text, where it was held back, as [`Event::Tail`].
    Tail {
        /// The job.
        id: usize,
        /// The text.
        text: &'a str,
    },
    /// A job had to give way, because the cells of [`BatchSize::cells`](super::BatchSize::cells) ran out. It continues
    /// later, with the tokens that it has.
    GaveWay {
        /// The job.
        id: usize,
    },
    /// A draft of [`Batch::submit_score`](super::Batch::submit_score) is scored: exactly once for each.
    Scored {
        /// The draft.
        id: usize,
        /// Its score, or why there is none.
        score: Result<ScoreDistribution>,
    },
    /// A job is done: exactly once for each.
    Done {
        /// The job.
        id: usize,
        /// Its answer, or why there is none.
        answer: Result<Answer>,
    },
}

/// Where the jobs of [`Batch::run`](super::Batch::run) come from.
pub type Jobs<'a> = &'a mut dyn FnMut() -> Option<(usize, Job)>;
/// Called with what happens while answers are generated.
pub type OnEvent<'a> = &'a mut dyn FnMut(BatchEvent) -> bool;
