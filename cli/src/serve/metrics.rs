//! What Prometheus reads: llama-server's names where it has one for the thing, `sda_` before our own.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sda::engine::Answer;

type Seconds = Counter<f64, AtomicU64>;

pub struct Metrics {
    registry: Registry,
    prompt_tokens: Counter,
    prompt_seconds: Seconds,
    predicted_tokens: Counter,
    predicted_seconds: Seconds,
    decodes: Counter,
    busy: Counter,
    processing: Gauge,
    deferred: Gauge,
    cached_tokens: Counter,
    answers: Family<Ending, Counter>,
    judgements: Family<Judged, Counter>,
    replies: Family<Status, Counter>,
    first_token: Histogram,
    seconds: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ending {
    finish: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Judged {
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: u16,
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut registry = Registry::default();
        let buckets = || Histogram::new(exponential_buckets(0.01, 2.0, 16));
        let (first_token, seconds) = (buckets(), buckets());
        macro_rules! register {
            ($($field:ident: $kind:ty, $name:literal, $help:literal;)*) => {
                $(let $field = <$kind>::default(); registry.register($name, $help, $field.clone());)*
            };
        }
        // Counters get _total behind their names.
        register! {
            prompt_tokens: Counter, "llamacpp:prompt_tokens", "Rows of prompts that were decoded";
            prompt_seconds: Seconds, "llamacpp:prompt_seconds", "Time that prompts took";
            predicted_tokens: Counter, "llamacpp:tokens_predicted", "Tokens that were generated";
            predicted_seconds: Seconds, "llamacpp:tokens_predicted_seconds", "Time that generating took";
            decodes: Counter, "llamacpp:n_decode", "Calls of llama_decode";
            busy: Counter, "sda_busy_slots", "Slots that got a token, summed over decodes";
            processing: Gauge, "llamacpp:requests_processing", "Answers in a slot";
            deferred: Gauge, "llamacpp:requests_deferred", "Answers that wait for a slot";
            cached_tokens: Counter, "sda_cached_prompt_tokens", "Tokens of prompts that the cache held";
            answers: Family<Ending, Counter>, "sda_answers", "Answers by how they ended";
            judgements: Family<Judged, Counter>, "sda_judgements", "Drafts that a judge was asked to score";
            replies: Family<Status, Counter>, "sda_http_replies", "Replies by status";
        }
        registry.register(
            "sda_time_to_first_token_seconds",
            "From handing in a job to its first token",
            first_token.clone(),
        );
        registry.register("sda_answer_seconds", "From handing in a job to its end", seconds.clone());
        Metrics {
            registry,
            prompt_tokens,
            prompt_seconds,
            predicted_tokens,
            predicted_seconds,
            decodes,
            busy,
            processing,
            deferred,
            cached_tokens,
            answers,
            judgements,
            replies,
            first_token,
            seconds,
        }
    }

    /// One decode, in which so many answers got a token.
    pub fn stepped(&self, tokens: u64) {
        self.decodes.inc();
        self.busy.inc_by(tokens);
        self.predicted_tokens.inc_by(tokens);
    }

    pub fn first_token(&self, after: Duration) {
        self.first_token.observe(after.as_secs_f64());
    }

    /// A job is done; None if it failed.
    pub fn answered(&self, answer: Option<&Answer>, after: Duration) {
        self.seconds.observe(after.as_secs_f64());
        let finish = answer.map_or("error", |answer| answer.finish.name()).to_owned();
        self.answers.get_or_create(&Ending { finish }).inc();
        if let Some(Answer { prefill, timings, .. }) = answer {
            self.prompt_tokens.inc_by(prefill.decoded as u64);
            self.cached_tokens.inc_by(prefill.reused as u64);
            self.prompt_seconds.inc_by(timings.prefill.as_secs_f64());
            self.predicted_seconds.inc_by((timings.decode + timings.sample).as_secs_f64());
        }
    }

    pub fn judged(&self, outcome: &str) {
        self.judgements.get_or_create(&Judged { outcome: outcome.to_owned() }).inc();
    }

    pub fn replied(&self, status: u16) {
        self.replies.get_or_create(&Status { status }).inc();
    }

    /// All of it as text, with the present number of jobs and of slots.
    pub fn text(&self, jobs: usize, slots: usize) -> String {
        self.processing.set(jobs.min(slots) as i64);
        self.deferred.set(jobs.saturating_sub(slots) as i64);
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
