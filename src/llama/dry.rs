//! DRY samplers, made once for many answers: for its breakers llama.cpp looks through the whole vocabulary, which takes
//! as long as several tokens.

use std::sync::{Arc, Mutex, PoisonError};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;

use super::sampling::Sampling;

/// What a sampler is made with.
#[derive(Clone, PartialEq)]
struct Key {
    multiplier: f32,
    base: f32,
    allowed_length: i32,
    last_n: i32,
    breakers: Vec<String>,
}

/// The last one that was made for a model; it has seen no token. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct LastDry(Arc<Mutex<Option<(Key, LlamaSampler)>>>);

impl LastDry {
    /// A sampler that looks back on `last_n` tokens.
    pub(super) fn sampler(&self, model: &LlamaModel, settings: &Sampling, last_n: i32) -> LlamaSampler {
        let key = Key {
            multiplier: settings.dry_multiplier,
            base: settings.dry_base,
            allowed_length: settings.dry_allowed_length,
            last_n,
            breakers: settings.dry_sequence_breakers.clone(),
        };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((same, sampler)) if *same == key => sampler.clone(),
            _ => {
                let Key { multiplier, base, allowed_length, .. } = key;
                let sampler =
                    LlamaSampler::dry(model, multiplier, base, allowed_length, last_n, &key.breakers);
                let copy = sampler.clone();
                *last = Some((key, sampler));
                copy
            }
        }
    }
}
