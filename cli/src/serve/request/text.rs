//! `/v1/completions` and `/completion`: prompts as they stand.

use sda::host::Token;
use serde::Deserialize;

use super::within;
use crate::serve::error::ApiError;

/// The most prompts of a request.
const MOST_PROMPTS: usize = 128;

#[derive(Debug, Deserialize)]
pub struct Text {
    prompt: Prompts,
    logprobs: Option<u32>,
    n_probs: Option<u32>,
    pub return_tokens: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "must be a text, a list of token numbers, or a list of these")]
enum Prompts {
    One(Prompt),
    Many(Vec<Prompt>),
}

/// What is continued.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a text or a list of token numbers")]
pub enum Prompt {
    Text(String),
    Tokens(Vec<Token>),
}

impl Text {
    /// The prompts, each with the name of its field.
    pub fn prompts(&self) -> Result<Vec<(String, Prompt)>, ApiError> {
        let prompts = match &self.prompt {
            Prompts::One(prompt) => vec![("prompt".to_owned(), prompt.clone())],
            Prompts::Many(prompts) => {
                let named = |(i, prompt): (usize, &Prompt)| (format!("prompt[{i}]"), prompt.clone());
                prompts.iter().enumerate().map(named).collect()
            }
        };
        if prompts.is_empty() || prompts.len() > MOST_PROMPTS {
            let allowed = format!("at least 1 and at most {MOST_PROMPTS} of them");
            return Err(ApiError::field("prompt", format!("{} prompts", prompts.len()), &allowed));
        }
        for (field, prompt) in &prompts {
            let is_empty = match prompt {
                Prompt::Text(text) => text.trim().is_empty(),
                Prompt::Tokens(tokens) => tokens.is_empty(),
            };
            if is_empty {
                return Err(ApiError::field(field, "empty", "a text or token numbers"));
            }
        }
        Ok(prompts)
    }

    /// How many alternatives each token's log-probability comes with; None without log-probabilities.
    pub fn logprobs(&self) -> Result<Option<usize>, ApiError> {
        if let Some(top) = self.logprobs {
            return Ok(Some(within("logprobs", top, 0..=100)? as usize));
        }
        let top = within("n_probs", self.n_probs.unwrap_or(0), 0..=100)?;
        Ok((top > 0).then_some(top as usize))
    }
}
