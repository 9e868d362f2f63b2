//! A loaded model as a judge: a score from 1 to 100 read off its distribution.
//!
//! The judge prompt ends where a number must follow. Instead of drawing an answer and hoping that it is
//! a number, every way to write 1 to 100 is followed through the model, and the score is the expected
//! value under the probabilities of those numbers.

use std::collections::BTreeMap;

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
    check_prompt("judge", judge_prompt)?;
    let digits = digit_tokens(model)?;
    let mut walk = Walk { context, sequence: Sequence::new(seq), digits: &digits };
    let result = walk.run(judge_prompt, progress);
    walk.sequence.clear(context)?;
    result
}

/// Tokens that are written with one to three digits only, with their text.
fn digit_tokens(model: &Model) -> Result<Vec<(Token, String)>> {
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
    Ok(digits)
}

/// The score that a text is, if it is one.
fn as_score(text: &str) -> Option<usize> {
    text.parse().ok().filter(|n| (1..=100).contains(n) && !text.starts_with('0'))
}

struct Walk<'a> {
    context: &'a mut Context,
    sequence: Sequence,
    digits: &'a [(Token, String)],
}

impl Walk<'_> {
    fn run(&mut self, prompt: &[Token], progress: Progress) -> Result<ScoreDistribution> {
        let probabilities = self.read(prompt, progress)?;
        let mut mass = vec![0.0; 100];
        // Beginnings of a number that may continue, with the probability that the text begins so.
        let mut open: BTreeMap<String, (Vec<Token>, f64)> = BTreeMap::new();
        self.spread("", &[], 1.0, &probabilities, &mut open, &mut mass);
        while let Some((text, (tokens, p))) = open.pop_first() {
            // The numbers are read in the same batches whatever was read before.
            self.sequence.truncate(self.context, prompt.len())?;
            let probabilities = self.read(&[prompt, &tokens].concat(), &mut |_, _| true)?;
            self.spread(&text, &tokens, p, &probabilities, &mut open, &mut mass);
        }
        let total: f64 = mass.iter().sum();
        if total.is_nan() || total <= 0.0 {
            return Err(Error::Judge {
                reason: "the local model gives no number from 1 to 100 any probability".into(),
            });
        }
        Ok(ScoreDistribution { probabilities: mass.iter().map(|p| p / total).collect(), mass: total })
    }

    /// Shares the probability of the beginning `text` among the numbers and longer beginnings that
    /// follow from it.
    fn spread(
        &self,
        text: &str,
        tokens: &[Token],
        p: f64,
        next: &[f64],
        open: &mut BTreeMap<String, (Vec<Token>, f64)>,
        mass: &mut [f64],
    ) {
        let mut p_digit = 0.0;
        for (token, piece) in self.digits {
            let p_next = next[*token as usize];
            p_digit += p_next;
            let longer = format!("{text}{piece}");
            let Some(score) = as_score(&longer) else { continue };
            // 11 to 99 and 100 are whole; 1 to 10 may be the beginning of a longer number.
            if score > 10 {
                mass[score - 1] += p * p_next;
            } else {
                let path = [tokens, &[*token]].concat();
                let entry = open.entry(longer).or_insert((path, 0.0));
                entry.1 += p * p_next;
            }
        }
        // Whatever is not another digit ends the number.
        if let Some(score) = as_score(text) {
            mass[score - 1] += p * (1.0 - p_digit).max(0.0);
        }
    }

    /// Probabilities of the token after `tokens`, which the sequence then holds.
    fn read(&mut self, tokens: &[Token], progress: Progress) -> Result<Vec<f64>> {
        self.sequence.read(self.context, tokens, progress).map_err(|error| match error {
            Error::ContextFull { .. } => {
                Error::ContextFull { needed: tokens.len(), available: self.context.n_ctx() }
            }
            other => other,
        })?;
        Ok(softmax(&self.sequence.logits(self.context)?))
    }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f64> = logits.iter().map(|&x| f64::from(x - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}
