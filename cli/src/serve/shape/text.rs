//! `/v1/completions`.

use serde_json::{Map, Value, json};

use super::{Shape, add_details, envelope, prompt_progress, usage, whole};
use crate::serve::reply::Reply;
use crate::serve::thoughts::Piece;

const OBJECT: &str = "text_completion";

pub struct Text {
    /// Alternatives to each token; None without log-probabilities.
    pub logprobs: Option<usize>,
    pub include_usage: bool,
    pub timings_per_token: bool,
}

impl Text {
    fn chunk(
        &self,
        reply: &Reply,
        choice: usize,
        text: &str,
        finish: Option<&str>,
        with: Option<Value>,
    ) -> Value {
        let mut chunk = envelope(reply, OBJECT);
        let choice = json!({ "index": choice, "text": text, "logprobs": with, "finish_reason": finish });
        chunk["choices"] = json!([choice]);
        chunk
    }

    /// OpenAI's older shape: lists side by side, with a map of the likeliest.
    fn logprobs(&self, reply: &Reply, choice: usize, last: bool) -> Option<Value> {
        let top = self.logprobs?;
        let steps = &reply.choices[choice].steps;
        let from = if last { steps.len().saturating_sub(1) } else { 0 };
        let (mut tokens, mut values, mut tops, mut offsets) = (vec![], vec![], vec![], vec![]);
        let mut offset: usize = steps[..from].iter().map(|step| step.text.chars().count()).sum();
        for step in &steps[from..] {
            let (logprob, likeliest) = reply.logprobs(choice, step)?;
            tokens.push(step.text.clone());
            values.push(logprob);
            let likeliest = likeliest.iter().take(top).map(|it| (it.text.clone(), it.logprob.into()));
            tops.push(likeliest.collect::<Map<String, Value>>());
            offsets.push(offset);
            offset += step.text.chars().count();
        }
        Some(json!({
            "tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets,
        }))
    }
}

impl Shape for Text {
    fn piece(&self, reply: &Reply, choice: usize, piece: &Piece, is_token: bool) -> Value {
        let with = if is_token { self.logprobs(reply, choice, true) } else { None };
        let mut chunk = self.chunk(reply, choice, &piece.content, None, with);
        add_details(&mut chunk, reply, choice, is_token, self.timings_per_token);
        chunk
    }

    fn end(&self, reply: &Reply, choice: usize) -> Value {
        let finish = reply.choices[choice].finish_reason();
        let mut chunk = self.chunk(reply, choice, "", finish, None);
        chunk["timings"] = reply.timings(choice);
        chunk["sda"] = reply.sda(choice, false);
        chunk
    }

    fn progress(&self, reply: &Reply, choice: usize, done: usize, total: usize) -> Value {
        let mut chunk = self.chunk(reply, choice, "", None, None);
        chunk["prompt_progress"] = prompt_progress(reply, choice, done, total);
        chunk
    }

    fn usage(&self, reply: &Reply) -> Option<Value> {
        self.include_usage.then(|| usage(reply, OBJECT))
    }

    fn whole(&self, reply: &Reply) -> Value {
        let choices = reply.choices.iter().enumerate().map(|(i, choice)| {
            json!({
                "index": i,
                "text": choice.content,
                "logprobs": self.logprobs(reply, i, false),
                "finish_reason": choice.finish_reason(),
                "sda": reply.sda(i, true),
            })
        });
        whole(reply, OBJECT, choices.collect())
    }
}
