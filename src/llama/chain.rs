//! The sampler chain: steering first, then the samplers that every llama.cpp user knows.

use llama_cpp_sys_2 as sys;

use super::sampling::Sampling;
use crate::error::{Error, Result};
use crate::host::{Token, TokenData, TokenDataArray};
use crate::sampler::SharedSampler;

/// What stands at the head of a chain.
pub enum Head {
    /// The steering, on the full vocabulary.
    Steering(SharedSampler),
    /// A plain temperature, for a generation that is not steered. 0 or less is greedy.
    Temperature(f32),
}

/// A `llama_sampler_chain` of the built-in llama.cpp. May move between threads.
pub struct Chain {
    chain: *mut sys::llama_sampler,
    candidates: Vec<TokenData>,
    /// The candidates are in order of their probability.
    sorted: bool,
}

// SAFETY: samplers have no thread affinity and `&mut self` keeps two threads out.
unsafe impl Send for Chain {}

impl Chain {
    /// A chain of the head and the samplers that the settings ask for. Without a head it is for rows that are
    /// steered and tempered.
    pub fn new(head: Option<&Head>, settings: &Sampling, n_vocab: usize, n_ctx: usize) -> Result<Chain> {
        settings.validate()?;
        let head: Option<*mut sys::llama_sampler> = match head {
            Some(Head::Steering(sampler)) => Some(sampler.into_llama()?.cast()),
            // SAFETY: a plain constructor.
            Some(Head::Temperature(t)) => Some(unsafe { sys::llama_sampler_init_temp(*t) }),
            None => None,
        };
        // SAFETY: plain constructors; the chain takes over each sampler that is added to it.
        unsafe {
            let chain = sys::llama_sampler_chain_init(sys::llama_sampler_chain_default_params());
            let add = |sampler| sys::llama_sampler_chain_add(chain, sampler);
            if let Some(head) = head {
                add(head);
            }
            if settings.has_penalties() {
                // There are never more tokens than the context holds, and llama.cpp makes room for all at once.
                let last_n = usize::try_from(settings.repeat_last_n).map_or(n_ctx, |n| n.min(n_ctx)) as i32;
                add(sys::llama_sampler_init_penalties(
                    n_vocab as i32,
                    last_n,
                    settings.repeat_penalty,
                    settings.frequency_penalty,
                    settings.presence_penalty,
                ));
            }
            if !settings.greedy {
                if settings.top_k > 0 {
                    add(sys::llama_sampler_init_top_k(settings.top_k));
                }
                if settings.top_p < 1.0 {
                    add(sys::llama_sampler_init_top_p(settings.top_p, 1));
                }
            }
            add_last(chain, settings);
            Ok(Chain { chain, candidates: Vec::with_capacity(n_vocab), sorted: false })
        }
    }

    /// The samplers behind top-k and top-p, for [`Chain::load_best`]. The settings must need no other
    /// candidates ([`Sampling::needs_only_the_best`]).
    pub fn of_best(settings: &Sampling) -> Result<Chain> {
        settings.validate()?;
        debug_assert!(settings.needs_only_the_best());
        // SAFETY: a plain constructor; the chain is new and alive.
        unsafe {
            let chain = sys::llama_sampler_chain_init(sys::llama_sampler_chain_default_params());
            add_last(chain, settings);
            Ok(Chain { chain, candidates: Vec::new(), sorted: true })
        }
    }

    /// Takes over a row of logits as the candidates of the next [`Chain::sample`].
    pub fn load(&mut self, logits: &[f32]) {
        self.sorted = false;
        self.candidates.clear();
        self.candidates.extend(logits.iter().enumerate().map(|(id, &logit)| TokenData {
            id: id as Token,
            logit,
            p: 0.0,
        }));
    }

    /// Takes over tokens and their log-probabilities, the most likely first, as the candidates of the next
    /// [`Chain::sample`].
    pub fn load_best(&mut self, best: impl Iterator<Item = (usize, f32)>) {
        self.sorted = true;
        self.candidates.clear();
        self.candidates.extend(best.map(|(id, logit)| TokenData { id: id as Token, logit, p: 0.0 }));
    }

    /// Chooses one of the loaded candidates and accepts it.
    pub fn sample(&mut self) -> Result<Token> {
        let token = self.choose()?;
        self.accept(token);
        Ok(token)
    }

    /// Chooses one of the loaded candidates.
    pub fn choose(&mut self) -> Result<Token> {
        let mut array = if self.sorted {
            TokenDataArray::sorted(&mut self.candidates)
        } else {
            TokenDataArray::new(&mut self.candidates)
        };
        // SAFETY: `TokenDataArray` has the layout of `llama_token_data_array`, over a live slice.
        unsafe { sys::llama_sampler_apply(self.chain, (&raw mut array).cast()) };
        let chosen = usize::try_from(array.selected()).ok().and_then(|i| self.candidates.get(i));
        Ok(chosen.ok_or(Error::Host { call: "llama_sampler_apply", code: -1 })?.id)
    }

    /// Tells the samplers of the token that the answer continues with.
    pub fn accept(&mut self, token: Token) {
        // SAFETY: the chain is alive.
        unsafe { sys::llama_sampler_accept(self.chain, token) };
    }
}

/// The seed for llama.cpp, which takes `LLAMA_DEFAULT_SEED` for a wish for a new seed each time. It draws as another
/// one does instead, and so the same each time.
fn dist_seed(seed: u32) -> u32 {
    const LLAMA_DEFAULT_SEED: u32 = u32::MAX;
    if seed == LLAMA_DEFAULT_SEED { 0x5eed_5eed } else { seed }
}

/// Adds the samplers behind top-k and top-p.
///
/// # Safety
/// `chain` must be a live `llama_sampler_chain`.
unsafe fn add_last(chain: *mut sys::llama_sampler, settings: &Sampling) {
    // SAFETY: the chain takes over each sampler that is added to it.
    unsafe {
        let add = |sampler| sys::llama_sampler_chain_add(chain, sampler);
        if settings.greedy {
            return add(sys::llama_sampler_init_greedy());
        }
        if settings.min_p > 0.0 {
            add(sys::llama_sampler_init_min_p(settings.min_p, 1));
        }
        add(sys::llama_sampler_init_dist(dist_seed(settings.seed)));
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // SAFETY: the chain is ours and is freed once, with the samplers it holds.
        unsafe { sys::llama_sampler_free(self.chain) };
    }
}
