//! A loaded model as a judge: a score from 1 to 100 read off its distribution.
//!
//! The judge prompt ends where a number must follow. Instead of drawing an answer and hoping that it is
//! a number, every way to write 1 to 100 is followed through the model, and the score is the expected
//! value under the probabilities of those numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::branch::{Progress, Sequence, check_prompt};
use crate::error::{Error, Result};
use crate::host::{Context, SeqId, Token};
use crate::llama::Model;

/// What a loaded model as a judge thinks of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreDistribution {
    /// Probability of each score, from 1 to 100, given that the model writes one; they sum to 1.
    pub probabilities: Vec<f64>,
    /// Probability that the model writes a number from 1 to 100 at all.
    pub mass: f64,
}

impl ScoreDistribution {
    /// Expected score, 1 to 100.
    pub fn expected(&self) -> f64 {
        self.scores().map(|(score, p)| score * p).sum()
    }

    /// Standard deviation of the score.
    pub fn deviation(&self) -> f64 {
        let mean = self.expected();
        self.scores().map(|(score, p)| (score - mean).powi(2) * p).sum::<f64>().sqrt()
    }

    fn scores(&self) -> impl Iterator<Item = (f64, f64)> {
        self.probabilities.iter().enumerate().map(|(i, &p)| ((i + 1) as f64, p))
    }
}

/// The distribution of the score after a judge prompt, read in a sequence that is empty, before and after.
pub(super) fn score(
    model: &Model,
    context: &mut Context,
    seq: SeqId,
    judge_prompt: &[Token],
    progress: Progress,
) -> Result<ScoreDistribution> {
    let mut walk = Walk::new(judge_prompt.to_vec(), digits(model)?)?;
    let mut sequence = Sequence::new(seq);
    let walked = walk_alone(&mut walk, context, &mut sequence, progress);
    sequence.clear(context)?;
    walked.and_then(|()| walk.distribution())
}

/// Reads all that the walk wants to know.
fn walk_alone(
    walk: &mut Walk,
    context: &mut Context,
    sequence: &mut Sequence,
    progress: Progress,
) -> Result<()> {
    loop {
        // The numbers are read in the same batches whatever was read before.
        sequence.truncate(context, walk.prompt_len())?;
        let text = walk.text();
        let read = if walk.is_at_prompt() {
            sequence.read(context, &text, progress)
        } else {
            sequence.read(context, &text, &mut |_, _| true)
        };
        read.map_err(|error| match error {
            Error::ContextFull { .. } => {
                Error::ContextFull { needed: text.len(), available: context.n_ctx() }
            }
            other => other,
        })?;
        if !walk.saw(&sequence.logits(context)?) {
            return Ok(());
        }
    }
}

/// Tokens that are written with digits only, with their text.
pub(super) type Digits = Arc<[(Token, String)]>;

/// Tokens that are written with one to three digits only, with their text.
pub(super) fn digits(model: &Model) -> Result<Digits> {
    let digits: Vec<(Token, String)> = (0..model.n_vocab() as Token)
        .filter_map(|token| {
            let piece = model.piece(token);
            let is_number = (1..=3).contains(&piece.len()) && piece.iter().all(u8::is_ascii_digit);
            is_number.then(|| (token, String::from_utf8_lossy(&piece).into_owned()))
        })
        .collect();
    if digits.is_empty() {
        return Err(Error::Judge { reason: "the vocabulary has no digits".into() });
    }
    Ok(digits.into())
}

/// The score that a text is, if it is one.
fn as_score(text: &str) -> Option<usize> {
    text.parse().ok().filter(|n| (1..=100).contains(n) && !text.starts_with('0'))
}

/// The way through all numbers that the model may write: which text is to be read next, and what is known of the
/// probabilities so far. Who reads is the caller's business.
pub(super) struct Walk {
    prompt: Vec<Token>,
    digits: Digits,
    /// The beginning of a number that is read behind the prompt now, with the probability that the text begins so.
    at: Beginning,
    /// Others that may continue.
    open: BTreeMap<String, Beginning>,
    mass: Vec<f64>,
}

/// How a number may begin.
#[derive(Default)]
struct Beginning {
    text: String,
    tokens: Vec<Token>,
    p: f64,
}

impl Walk {
    pub(super) fn new(prompt: Vec<Token>, digits: Digits) -> Result<Walk> {
        check_prompt("judge", &prompt)?;
        let at = Beginning { p: 1.0, ..Beginning::default() };
        Ok(Walk { prompt, digits, at, open: BTreeMap::new(), mass: vec![0.0; 100] })
    }

    pub(super) fn prompt_len(&self) -> usize {
        self.prompt.len()
    }

    /// True while the prompt itself is to be read.
    pub(super) fn is_at_prompt(&self) -> bool {
        self.at.tokens.is_empty()
    }

    /// What is to be read now: the prompt and the beginning of a number.
    pub(super) fn text(&self) -> Vec<Token> {
        [&self.prompt[..], &self.at.tokens].concat()
    }

    /// Takes the logits behind it. True if there is more to be read.
    pub(super) fn saw(&mut self, logits: &[f32]) -> bool {
        self.spread(&softmax(logits));
        match self.open.pop_first() {
            Some((_, next)) => {
                self.at = next;
                true
            }
            None => false,
        }
    }

    /// Shares the probability of the beginning among the numbers and longer beginnings that follow from it.
    fn spread(&mut self, next: &[f64]) {
        let Beginning { text, tokens, p } = &self.at;
        let mut p_digit = 0.0;
        for (token, piece) in &*self.digits {
            let p_next = next[*token as usize];
            p_digit += p_next;
            let longer = format!("{text}{piece}");
            let Some(score) = as_score(&longer) else { continue };
            // 11 to 99 and 100 are whole; 1 to 10 may be the beginning of a longer number.
            if score > 10 {
                self.mass[score - 1] += p * p_next;
            } else {
                let path = || [&tokens[..], &[*token]].concat();
                let entry = self.open.entry(longer.clone());
                entry.or_insert_with(|| Beginning { text: longer, tokens: path(), p: 0.0 }).p += p * p_next;
            }
        }
        // Whatever is not another digit ends the number.
        if let Some(score) = as_score(text) {
            self.mass[score - 1] += p * (1.0 - p_digit).max(0.0);
        }
    }

    /// What was found out, once there is no more to be read.
    pub(super) fn distribution(&self) -> Result<ScoreDistribution> {
        let total: f64 = self.mass.iter().sum();
        if total.is_nan() || total <= 0.0 {
            return Err(Error::Judge {
                reason: "the local model gives no number from 1 to 100 any probability".into(),
            });
        }
        Ok(ScoreDistribution { probabilities: self.mass.iter().map(|p| p / total).collect(), mass: total })
    }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f64> = logits.iter().map(|&x| f64::from(x - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}
