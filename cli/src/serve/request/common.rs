//! What all requests for answers have in common: length, sampling, steering.

use sda::engine::Generation;
use sda::llama::Model;
use serde::{Deserialize, Deserializer};

use super::constraint::Constraint;
use super::foreign::Foreign;
use super::samplers::Samplers;
use super::steering::Sda;
use super::within;
use crate::serve::error::ApiError;

/// The most texts that end an answer, and the most bytes of one.
const MOST_STOPS: usize = 64;
const LONGEST_STOP: usize = 1024;

/// The most answers to one prompt.
const MOST_ANSWERS: u32 = 128;

#[derive(Debug, Default, Deserialize)]
pub struct Common {
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    n: Option<u32>,
    n_cmpl: Option<u32>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    n_predict: Option<i64>,
    stop: Option<Stop>,
    seed: Option<i64>,
    temperature: Option<f32>,
    top_k: Option<i32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repeat_last_n: Option<i32>,
    repeat_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    guidance_scale: Option<f32>,
    cfg_scale: Option<f32>,
    negative_prompt: Option<String>,
    cfg_negative_prompt: Option<String>,
    pub cache_prompt: Option<bool>,
    pub timings_per_token: Option<bool>,
    pub return_progress: Option<bool>,
    #[serde(default, deserialize_with = "or_none")]
    pub sda: Sda,
    #[serde(skip)]
    samplers: Samplers,
    #[serde(skip)]
    constraint: Constraint,
}

#[derive(Debug, Default, Deserialize)]
pub struct StreamOptions {
    pub include_usage: Option<bool>,
}

/// One text or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "must be a text or a list of texts")]
enum Stop {
    One(String),
    Many(Vec<String>),
}

impl Common {
    /// Reads the common part of a body, and refuses what stands beside it and cannot be carried out.
    pub fn read(body: &str) -> Result<Common, ApiError> {
        let mut common: Common = super::parse(body)?;
        common.samplers = super::parse(body)?;
        common.constraint = super::parse(body)?;
        super::parse::<Foreign>(body)?.check()?;
        common.sda.check()?;
        // Whether or not they are of use.
        common.scale()?;
        common.negative()?;
        common.answers()?;
        Ok(common)
    }

    /// Answers to each prompt.
    pub fn answers(&self) -> Result<usize, ApiError> {
        let (field, n) = match (self.n, self.n_cmpl) {
            (None, Some(n)) => ("n_cmpl", n),
            (n, _) => ("n", n.unwrap_or(1)),
        };
        Ok(within(field, n, 1..=MOST_ANSWERS)? as usize)
    }

    pub fn is_streamed(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// The guidance scale, by whichever name.
    pub fn scale(&self) -> Result<Option<f32>, ApiError> {
        same("cfg_scale", self.guidance_scale, self.cfg_scale, "guidance_scale, or absent")
    }

    /// The negative prompt, by whichever name; an empty one is none.
    pub fn negative(&self) -> Result<Option<&str>, ApiError> {
        let text = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
        let (a, b) = (text(&self.negative_prompt), text(&self.cfg_negative_prompt));
        same("cfg_negative_prompt", a, b, "negative_prompt, or absent")?;
        let given = [&self.negative_prompt, &self.cfg_negative_prompt].into_iter().flatten();
        Ok(given.map(String::as_str).find(|text| !text.is_empty()))
    }

    /// How the answer is generated, in place of what `settings` say; the strength of the steering comes later.
    pub fn apply(&self, model: &Model, settings: &mut Generation) -> Result<(), ApiError> {
        let sampling = &mut settings.sampling;
        if let Some(seed) = self.seed {
            sampling.seed = match seed {
                -1 => new_seed(),
                seed => within("seed", seed, -1..=u32::MAX.into())? as u32,
            };
        }
        if let Some(top_k) = self.top_k {
            // Other servers' way to keep all.
            sampling.top_k = if top_k == -1 { 0 } else { top_k };
        }
        for (to, from) in [
            (&mut sampling.top_p, self.top_p),
            (&mut sampling.min_p, self.min_p),
            (&mut sampling.repeat_penalty, self.repeat_penalty),
            (&mut sampling.frequency_penalty, self.frequency_penalty),
            (&mut sampling.presence_penalty, self.presence_penalty),
            (&mut settings.params.temperature, self.temperature),
        ] {
            *to = from.unwrap_or(*to);
        }
        sampling.repeat_last_n = self.repeat_last_n.unwrap_or(sampling.repeat_last_n);
        self.samplers.apply(settings)?;
        settings.sampling.validate()?;
        let lengths = [
            ("max_tokens", self.max_tokens),
            ("max_completion_tokens", self.max_completion_tokens),
            ("n_predict", self.n_predict),
        ];
        if let Some((field, n)) = lengths.into_iter().find_map(|(field, n)| Some((field, n?))) {
            let n = within(field, n, -1..=i64::from(u32::MAX))?;
            settings.n_predict = usize::try_from(n).ok();
        }
        if let Some(stop) = &self.stop {
            settings.stop = match stop {
                Stop::One(text) => vec![text.clone()],
                Stop::Many(texts) => texts.clone(),
            };
            if settings.stop.len() > MOST_STOPS {
                let allowed = format!("at most {MOST_STOPS} texts");
                return Err(ApiError::field("stop", format!("{} texts", settings.stop.len()), &allowed));
            }
            if let Some(long) = settings.stop.iter().find(|text| text.is_empty() || text.len() > LONGEST_STOP)
            {
                let allowed = format!("texts of at least 1 and at most {LONGEST_STOP} bytes");
                return Err(ApiError::field("stop", format!("a text of {} bytes", long.len()), &allowed));
            }
        }
        self.sda.apply(&mut settings.params).map_err(|error| error.within("sda"))?;
        settings.params.validate()?;
        self.constraint.apply(model, settings)?;
        settings.steer_after_think = self.sda.steer_after_think.unwrap_or(settings.steer_after_think);
        Ok(())
    }
}

/// Null is what is not there.
fn or_none<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// One value that has two names.
fn same<T: PartialEq + std::fmt::Display>(
    field: &str,
    a: Option<T>,
    b: Option<T>,
    allowed: &str,
) -> Result<Option<T>, ApiError> {
    match (a, b) {
        (Some(a), Some(b)) if a != b => Err(ApiError::field(field, b, &format!("the same as {allowed}"))),
        (a, b) => Ok(a.or(b)),
    }
}

/// A seed that nobody has asked for.
pub fn new_seed() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    // RandomState is seeded by the system, and a seed for a draw needs no more than that.
    std::collections::hash_map::RandomState::new().build_hasher().finish() as u32
}
