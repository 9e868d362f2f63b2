//! The shapes of replies: OpenAI's chat and text, and llama-server's own.

mod chat;
mod native;
mod text;

pub use chat::Chat;
pub use native::Native;
pub use text::Text;

use sda::engine::RankedToken;
use sda::llama::Model;
use serde_json::{Value, json};

use super::reply::Reply;
use super::thoughts::Piece;

/// How the answers to a request are written down.
pub trait Shape: Send {
    /// Chunks before the first token.
    fn begin(&self, _reply: &Reply) -> Vec<Value> {
        Vec::new()
    }

    /// A chunk with text, with what was drawn last if `is_token`.
    fn piece(&self, reply: &Reply, choice: usize, piece: &Piece, is_token: bool) -> Value;

    /// The chunk that ends an answer.
    fn end(&self, reply: &Reply, choice: usize) -> Value;

    /// A chunk that says how much of a prompt was read.
    fn progress(&self, reply: &Reply, choice: usize, done: usize, total: usize) -> Value;

    /// The chunk with the usage, behind all answers.
    fn usage(&self, _reply: &Reply) -> Option<Value> {
        None
    }

    /// True if `[DONE]` ends the stream.
    fn says_done(&self) -> bool {
        true
    }

    /// The whole reply.
    fn whole(&self, reply: &Reply) -> Value;
}

/// What every object of OpenAI's begins with.
fn envelope(reply: &Reply, object: &str) -> Value {
    json!({
        "id": reply.id,
        "object": object,
        "created": reply.created,
        "model": reply.name,
        "system_fingerprint": concat!("sda-", env!("CARGO_PKG_VERSION")),
    })
}

/// OpenAI's chunk with the usage.
fn usage(reply: &Reply, object: &str) -> Value {
    let mut chunk = envelope(reply, object);
    chunk["choices"] = json!([]);
    chunk["usage"] = reply.usage();
    chunk
}

/// OpenAI's whole reply.
fn whole(reply: &Reply, object: &str, choices: Value) -> Value {
    let mut whole = envelope(reply, object);
    whole["sda"] = reply.sda(0, false);
    whole["choices"] = choices;
    whole["usage"] = reply.usage();
    whole["timings"] = reply.timings(0);
    whole
}

/// What a chunk says beside its text: the record of its token, and the time, where they are wanted.
fn add_details(chunk: &mut Value, reply: &Reply, choice: usize, is_token: bool, timings: bool) {
    if let Some(record) = reply.trace(choice).filter(|_| is_token) {
        chunk["sda"] = json!({ "token": record });
    }
    if timings {
        chunk["timings"] = reply.timings(choice);
    }
}

/// The bytes that stand for a token, a control token's as well.
pub fn token_bytes(model: &Model, token: sda::host::Token) -> Vec<u8> {
    model.control_text(token).map_or_else(|| model.piece(token), String::into_bytes)
}

/// llama-server's `prompt_progress`: what the cache holds counts as processed. `rows` are those that have to be decoded.
fn prompt_progress(reply: &Reply, choice: usize, done: usize, rows: usize) -> Value {
    let time = reply.begun.elapsed().as_secs_f64() * 1e3;
    let cache = reply.prompt_tokens(reply.plan.part_of(choice)).saturating_sub(rows);
    json!({ "total": cache + rows, "cache": cache, "processed": cache + done, "time_ms": time.round() })
}

/// A token with its log-probability, as chat completions and llama-server write it.
fn ranked(model: &Model, token: sda::host::Token, logprob: f64) -> Value {
    let bytes = token_bytes(model, token);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    json!({ "id": token, "token": text, "bytes": bytes, "logprob": logprob })
}

/// A drawn token with the `top` likeliest ones beside it.
fn logprob(reply: &Reply, choice: usize, step: &sda::engine::StepRecord, top: usize) -> Option<Value> {
    let (logprob, likeliest) = reply.logprobs(choice, step)?;
    let mut token = ranked(&reply.model, step.token, logprob);
    let one = |it: &RankedToken| ranked(&reply.model, it.token, it.logprob);
    token["top_logprobs"] = likeliest.iter().take(top).map(one).collect();
    Some(token)
}

/// The log-probabilities of all tokens so far, or of the last one.
fn logprobs(reply: &Reply, choice: usize, top: Option<usize>, last: bool) -> Option<Vec<Value>> {
    let top = top?;
    let steps = &reply.choices[choice].steps;
    let from = if last { steps.len().saturating_sub(1) } else { 0 };
    Some(steps[from..].iter().filter_map(|step| logprob(reply, choice, step, top)).collect())
}
