//! llama-server's own `/completion`.

use sda::engine::Finish;
use serde_json::{Value, json};

use super::{Shape, add_details, logprobs, prompt_progress};
use crate::serve::reply::Reply;
use crate::serve::settings;
use crate::serve::thoughts::Piece;

pub struct Native {
    /// Alternatives to each token; None without log-probabilities.
    pub logprobs: Option<usize>,
    pub timings_per_token: bool,
    pub return_tokens: bool,
    /// The reply is a list, as the prompt was.
    pub is_list: bool,
}

impl Native {
    fn final_object(&self, reply: &Reply, choice: usize, content: &str, tokens: Value) -> Value {
        let one = &reply.choices[choice];
        let part = reply.plan.part_of(choice);
        let prompt_tokens = reply.prompt_tokens(part);
        let finish = one.answer.as_ref().map(|answer| answer.finish);
        let stop_type = match finish {
            Some(Finish::EndOfGeneration) => "eos",
            Some(Finish::StopText) => "word",
            Some(Finish::Length | Finish::ContextFull | Finish::Cancelled) => "limit",
            None => "none",
        };
        let stopping_word = one.answer.as_ref().and_then(|answer| answer.stop_text.as_deref()).unwrap_or("");
        json!({
            "index": choice,
            "content": content,
            "tokens": tokens,
            "id_slot": -1,
            "stop": true,
            "model": reply.name,
            "tokens_predicted": one.tokens.len(),
            "tokens_evaluated": prompt_tokens,
            "tokens_cached": one.answer.as_ref().map_or(0, |answer| answer.prefill.reused),
            "generation_settings": settings::shown(&reply.plan.settings),
            "has_new_line": one.content.contains('\n'),
            "truncated": finish == Some(Finish::ContextFull),
            "stop_type": stop_type,
            "stopping_word": stopping_word,
            "timings": reply.timings(choice),
        })
    }
}

impl Shape for Native {
    fn piece(&self, reply: &Reply, choice: usize, piece: &Piece, is_token: bool) -> Value {
        let one = &reply.choices[choice];
        let last = if is_token { one.tokens.last() } else { None };
        let tokens: Vec<_> = last.into_iter().collect();
        let mut chunk = json!({
            "index": choice,
            "content": piece.content,
            "tokens": tokens,
            "stop": false,
            "id_slot": -1,
            "tokens_predicted": one.tokens.len(),
            "tokens_evaluated": reply.prompt_tokens(reply.plan.part_of(choice)),
        });
        if let Some(probabilities) = logprobs(reply, choice, self.logprobs, true).filter(|_| is_token) {
            chunk["completion_probabilities"] = probabilities.into();
        }
        add_details(&mut chunk, reply, choice, is_token, self.timings_per_token);
        chunk
    }

    fn end(&self, reply: &Reply, choice: usize) -> Value {
        let mut chunk = self.final_object(reply, choice, "", json!([]));
        chunk["sda"] = reply.sda(choice, false);
        chunk
    }

    fn progress(&self, reply: &Reply, choice: usize, done: usize, total: usize) -> Value {
        json!({
            "index": choice,
            "content": "",
            "tokens": [],
            "stop": false,
            "prompt_progress": prompt_progress(reply, choice, done, total),
        })
    }

    fn says_done(&self) -> bool {
        false
    }

    fn whole(&self, reply: &Reply) -> Value {
        let one = |(i, choice): (usize, &crate::serve::reply::Choice)| {
            let tokens = if self.return_tokens { json!(choice.tokens) } else { json!([]) };
            let mut whole = self.final_object(reply, i, &choice.content, tokens);
            if let Some(probabilities) = logprobs(reply, i, self.logprobs, false) {
                whole["completion_probabilities"] = probabilities.into();
            }
            whole["sda"] = reply.sda(i, true);
            whole
        };
        let mut all: Vec<Value> = reply.choices.iter().enumerate().map(one).collect();
        if self.is_list || all.len() > 1 { all.into() } else { all.remove(0) }
    }
}
