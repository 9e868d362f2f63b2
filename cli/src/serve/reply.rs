//! What has come of a request so far, whatever shape its reply has.

use std::sync::Arc;
use std::time::Instant;

use sda::engine::{Answer, Arm, Finish, RankedToken, StepRecord};
use sda::host::Token;
use sda::llama::Model;
use serde_json::{Value, json};

use super::plan::Plan;
use super::thoughts::{Piece, Splitter};
use super::told::Steering;
use crate::record;

/// The answers to a request.
pub struct Reply {
    pub plan: Arc<Plan>,
    pub model: Model,
    /// What a client finds it by.
    pub id: String,
    pub created: u64,
    pub name: String,
    pub steering: Vec<Option<Steering>>,
    pub choices: Vec<Choice>,
    pub begun: Instant,
}

/// One answer.
pub struct Choice {
    pub content: String,
    pub reasoning: String,
    /// Generated so far.
    pub tokens: Vec<Token>,
    pub steps: Vec<StepRecord>,
    pub answer: Option<Answer>,
    splitter: Option<Splitter>,
    /// Sum of the divergences, and of how many.
    divergence: (f64, usize),
    /// When the first token came.
    first: Option<Instant>,
}

impl Reply {
    /// `apart` asks for the reasoning by itself, `keep` for the records of all tokens.
    pub fn new(plan: Arc<Plan>, model: Model, id: String, created: u64, name: String, apart: bool) -> Reply {
        let choices = (0..plan.choices()).map(|choice| {
            let thinking = plan.parts[plan.part_of(choice)].prompts.thinking;
            Choice {
                content: String::new(),
                reasoning: String::new(),
                tokens: Vec::new(),
                steps: Vec::new(),
                answer: None,
                splitter: apart.then(|| Splitter::new(thinking)),
                divergence: (0.0, 0),
                first: None,
            }
        });
        let choices = choices.collect();
        let steering = plan.parts.iter().map(|_| None).collect();
        Reply { plan, model, id, created, name, steering, choices, begun: Instant::now() }
    }

    /// Takes over a token; gives the text that is complete with it.
    pub fn token(&mut self, choice: usize, record: StepRecord) -> Piece {
        let keeps = self.plan.settings.trace || self.plan.settings.trace_top > 0;
        let choice = &mut self.choices[choice];
        choice.first.get_or_insert_with(Instant::now);
        choice.tokens.push(record.token);
        if let Some(divergence) = record.divergence {
            choice.divergence.0 += divergence;
            choice.divergence.1 += 1;
        }
        let piece = choice.add(&record.text);
        if keeps {
            choice.steps.push(record);
        }
        piece
    }

    pub fn tail(&mut self, choice: usize, text: &str) -> Piece {
        self.choices[choice].add(text)
    }

    /// Takes over the end of an answer; gives the rest of its text.
    pub fn done(&mut self, choice: usize, answer: Answer) -> Piece {
        let choice = &mut self.choices[choice];
        let piece = choice.splitter.as_mut().map(Splitter::finish).unwrap_or_default();
        choice.keep(&piece);
        choice.answer = Some(answer);
        piece
    }

    pub fn is_done(&self) -> bool {
        self.choices.iter().all(|choice| choice.answer.is_some())
    }

    pub fn steering_of(&self, choice: usize) -> Option<&Steering> {
        self.steering[self.plan.part_of(choice)].as_ref()
    }

    /// Tokens of a part's prompt, as the model answers it.
    pub fn prompt_tokens(&self, part: usize) -> usize {
        let prompts = &self.plan.parts[part].prompts;
        match &self.steering[part] {
            Some(Steering { arm: Arm::Plain, .. }) => prompts.plain.len(),
            _ => prompts.instructed.len(),
        }
    }

    /// OpenAI's `usage`. A prompt counts once, though steering reads it twice.
    pub fn usage(&self) -> Value {
        let prompt: usize = (0..self.plan.parts.len()).map(|part| self.prompt_tokens(part)).sum();
        let completion: usize = self.choices.iter().map(|choice| choice.tokens.len()).sum();
        let cached: usize = (0..self.plan.parts.len()).map(|part| self.cached(part)).sum();
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": { "cached_tokens": cached },
        })
    }

    /// Tokens of a part's prompt that the cache held, in the branch that counts.
    fn cached(&self, part: usize) -> usize {
        let first = self.choices[part * self.plan.n].answer.as_ref();
        first.map_or(0, |answer| answer.prefill.reused.min(self.prompt_tokens(part)))
    }

    /// llama-server's `timings`, with the rows of a step: what steering costs.
    pub fn timings(&self, choice: usize) -> Value {
        let one = &self.choices[choice];
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let n = one.tokens.len();
        let (prompt_n, cache_n, prompt_ms, predicted_ms) = match &one.answer {
            Some(Answer { prefill, timings, .. }) => {
                (prefill.decoded, prefill.reused, ms(timings.prefill), ms(timings.decode + timings.sample))
            }
            None => (0, 0, 0.0, one.first.map_or(0.0, |first| ms(first.elapsed()))),
        };
        let rate = |n: usize, ms: f64| if ms > 0.0 { n as f64 * 1e3 / ms } else { 0.0 };
        let each = |n: usize, ms: f64| if n > 0 { ms / n as f64 } else { 0.0 };
        let rows = match self.steering_of(choice) {
            Some(Steering { arm: Arm::Steered, .. }) => {
                2 + self.plan.parts[self.plan.part_of(choice)].prompts.singles.len()
            }
            _ => 1,
        };
        json!({
            "cache_n": cache_n,
            "prompt_n": prompt_n,
            "prompt_ms": prompt_ms,
            "prompt_per_token_ms": each(prompt_n, prompt_ms),
            "prompt_per_second": rate(prompt_n, prompt_ms),
            "predicted_n": n,
            "predicted_ms": predicted_ms,
            "predicted_per_token_ms": each(n, predicted_ms),
            "predicted_per_second": rate(n, predicted_ms),
            "rows_per_token": rows,
        })
    }

    /// What the steering did, as the object `sda`; `whole` adds each token's record, if it was asked for.
    pub fn sda(&self, choice: usize, whole: bool) -> Value {
        let one = &self.choices[choice];
        let arm = self.steering_of(choice).map_or(Arm::Plain, |steering| steering.arm);
        let mut object = serde_json::Map::new();
        let mut put = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
        put("arm", arm.name().into());
        put("seed", self.plan.seed(choice).into());
        let mean = (one.divergence.1 > 0).then(|| one.divergence.0 / one.divergence.1 as f64);
        put("mean_js", mean.into());
        if let Some(answer) = &one.answer {
            put("finish", answer.finish.name().into());
        }
        if let Some(steering) = self.steering_of(choice) {
            let is_steered = arm == Arm::Steered;
            let params = &steering.params;
            put("guidance", is_steered.then(|| params.guidance()).into());
            put("amplification", is_steered.then_some(params.amplification).into());
            put("score", steering.score.into());
            if let Some(judge) = &steering.judge {
                put("judge", record::value(judge));
            }
            if let Some(error) = &steering.judge_error {
                put("judge_error", error.as_str().into());
            }
        }
        if whole && self.plan.settings.trace {
            let records = one.steps.iter().map(|step| record::value(&record::Token::new(arm, step)));
            put("trace", records.collect());
        }
        Value::Object(object)
    }

    /// A token's record, if records were asked for.
    pub fn trace(&self, choice: usize) -> Option<Value> {
        let arm = self.steering_of(choice).map_or(Arm::Plain, |steering| steering.arm);
        let step = self.choices[choice].steps.last().filter(|_| self.plan.settings.trace)?;
        Some(record::value(&record::Token::new(arm, step)))
    }

    /// A token's text and log-probability in the distribution that it was drawn from, and the likeliest ones.
    pub fn logprobs<'s>(&self, choice: usize, step: &'s StepRecord) -> Option<(f64, &'s [RankedToken])> {
        let top = step.top.as_ref()?;
        let arm = self.steering_of(choice).map_or(Arm::Plain, |steering| steering.arm);
        let ranked = match arm {
            Arm::Plain => &top.plain,
            Arm::Instructed => &top.instructed,
            // Where nothing is amplified there may be no plain branch, and so no other distribution.
            Arm::Steered => {
                if top.steered.is_some() {
                    &top.steered
                } else {
                    &top.instructed
                }
            }
        };
        Some((top.logprob, ranked.as_deref().unwrap_or_default()))
    }
}

impl Choice {
    fn add(&mut self, text: &str) -> Piece {
        let piece = match &mut self.splitter {
            Some(splitter) => splitter.push(text),
            None => Piece { reasoning: String::new(), content: text.to_owned() },
        };
        self.keep(&piece);
        piece
    }

    fn keep(&mut self, piece: &Piece) {
        self.reasoning.push_str(&piece.reasoning);
        self.content.push_str(&piece.content);
    }

    /// OpenAI's word for why it ended.
    pub fn finish_reason(&self) -> Option<&'static str> {
        self.answer.as_ref().map(|answer| match answer.finish {
            Finish::EndOfGeneration | Finish::StopText => "stop",
            Finish::Length | Finish::ContextFull | Finish::Cancelled => "length",
        })
    }
}
