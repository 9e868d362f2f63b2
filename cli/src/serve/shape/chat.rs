//! `/v1/chat/completions`.

use serde_json::{Value, json};

use super::{Shape, add_details, envelope, logprobs, prompt_progress, usage, whole};
use crate::serve::reply::Reply;
use crate::serve::thoughts::Piece;

const CHUNK: &str = "chat.completion.chunk";

pub struct Chat {
    /// Alternatives to each token; None without log-probabilities.
    pub logprobs: Option<usize>,
    pub include_usage: bool,
    pub timings_per_token: bool,
}

impl Chat {
    fn chunk(
        &self,
        reply: &Reply,
        choice: usize,
        delta: Value,
        finish: Option<&str>,
        with: Option<Value>,
    ) -> Value {
        let choice = json!({ "index": choice, "delta": delta, "logprobs": with, "finish_reason": finish });
        let mut chunk = envelope(reply, CHUNK);
        chunk["choices"] = json!([choice]);
        chunk
    }
}

impl Shape for Chat {
    fn begin(&self, reply: &Reply) -> Vec<Value> {
        let role = || json!({ "role": "assistant", "content": "" });
        (0..reply.choices.len()).map(|choice| self.chunk(reply, choice, role(), None, None)).collect()
    }

    fn piece(&self, reply: &Reply, choice: usize, piece: &Piece, is_token: bool) -> Value {
        let mut delta = json!({});
        if !piece.reasoning.is_empty() {
            delta["reasoning_content"] = piece.reasoning.as_str().into();
        }
        if !piece.content.is_empty() || piece.reasoning.is_empty() {
            delta["content"] = piece.content.as_str().into();
        }
        let with = is_token.then(|| logprobs(reply, choice, self.logprobs, true)).flatten();
        let with = with.map(|content| json!({ "content": content }));
        let mut chunk = self.chunk(reply, choice, delta, None, with);
        add_details(&mut chunk, reply, choice, is_token, self.timings_per_token);
        chunk
    }

    fn end(&self, reply: &Reply, choice: usize) -> Value {
        let finish = reply.choices[choice].finish_reason();
        let mut chunk = self.chunk(reply, choice, json!({}), finish, None);
        chunk["timings"] = reply.timings(choice);
        chunk["sda"] = reply.sda(choice, false);
        chunk
    }

    fn progress(&self, reply: &Reply, choice: usize, done: usize, total: usize) -> Value {
        let mut chunk = self.chunk(reply, choice, json!({}), None, None);
        chunk["prompt_progress"] = prompt_progress(reply, choice, done, total);
        chunk
    }

    fn usage(&self, reply: &Reply) -> Option<Value> {
        self.include_usage.then(|| usage(reply, CHUNK))
    }

    fn whole(&self, reply: &Reply) -> Value {
        let choices = reply.choices.iter().enumerate().map(|(i, choice)| {
            let mut message = json!({ "role": "assistant", "content": choice.content });
            if !choice.reasoning.is_empty() {
                message["reasoning_content"] = choice.reasoning.as_str().into();
            }
            let logprobs =
                logprobs(reply, i, self.logprobs, false).map(|content| json!({ "content": content }));
            json!({
                "index": i,
                "message": message,
                "logprobs": logprobs,
                "finish_reason": choice.finish_reason(),
                "sda": reply.sda(i, true),
            })
        });
        whole(reply, "chat.completion", choices.collect())
    }
}
