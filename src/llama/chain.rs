//! The sampler chain: steering first, then the samplers that every llama.cpp user knows.

use llama_cpp_sys_2 as sys;

use crate::error::{Error, Result};
use crate::host::{Token, TokenData, TokenDataArray};
use crate::sampler::SharedSampler;
use crate::steer::Nucleus;

/// Settings of the samplers after the steering. Temperature is not among them: it belongs to the
/// steering ([`crate::Params`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Seed of the draw.
    pub seed: u32,
    /// Keep the most likely tokens only, this many; 0 keeps all.
    pub top_k: i32,
    /// Nucleus: keep the fewest tokens that hold this much of the probability; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this share of the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Tokens that the penalties look back on; 0 turns them off, -1 is the whole context.
    pub repeat_last_n: i32,
    /// Penalty on repeated tokens; 1 is none.
    pub repeat_penalty: f32,
    /// Penalty for each earlier use of a token; 0 is none.
    pub frequency_penalty: f32,
    /// Penalty for any earlier use of a token; 0 is none.
    pub presence_penalty: f32,
    /// Choose the most likely token instead of drawing.
    pub greedy: bool,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            seed: 0,
            top_k: 0,
            top_p: 0.95,
            min_p: 0.0,
            repeat_last_n: 64,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            greedy: false,
        }
    }
}

impl Sampling {
    /// Checks every field's range.
    pub fn validate(&self) -> Result<()> {
        let unit = [("top_p", self.top_p), ("min_p", self.min_p)];
        for (field, value) in unit {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::param(field, value, "at least 0 and at most 1"));
            }
        }
        if self.top_k < 0 {
            return Err(Error::param("top_k", self.top_k, "at least 0"));
        }
        if self.repeat_last_n < -1 {
            return Err(Error::param("repeat_last_n", self.repeat_last_n, "at least -1"));
        }
        if !(self.repeat_penalty > 0.0 && self.repeat_penalty.is_finite()) {
            return Err(Error::param("repeat_penalty", self.repeat_penalty, "finite and greater than 0"));
        }
        for (field, value) in
            [("frequency_penalty", self.frequency_penalty), ("presence_penalty", self.presence_penalty)]
        {
            if !value.is_finite() {
                return Err(Error::param(field, value, "finite"));
            }
        }
        Ok(())
    }

    fn has_penalties(&self) -> bool {
        self.repeat_last_n != 0
            && (self.repeat_penalty != 1.0 || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0)
    }

    /// True if the draw depends on nothing but the most likely tokens, those that [`Sampling::best`] keeps.
    pub fn needs_only_the_best(&self) -> bool {
        !self.has_penalties() && (self.greedy || self.top_k > 0 || self.top_p < 1.0)
    }

    /// What top-k and top-p keep of a row of log-probabilities, as [`Nucleus::select`] gives it.
    pub fn best<'n>(
        &self,
        nucleus: &'n mut Nucleus,
        logprobs: &[f32],
    ) -> impl ExactSizeIterator<Item = (usize, f32)> + 'n {
        let (top_k, top_p) = match self.greedy {
            true => (1, 1.0),
            false => (self.top_k as usize, self.top_p),
        };
        nucleus.select(logprobs, top_k, top_p)
    }
}

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
    /// A chain of the head and the samplers that the settings ask for.
    pub fn new(head: &Head, settings: &Sampling, n_vocab: usize, n_ctx: usize) -> Result<Chain> {
        settings.validate()?;
        let head: *mut sys::llama_sampler = match head {
            Head::Steering(sampler) => sampler.into_llama()?.cast(),
            // SAFETY: a plain constructor.
            Head::Temperature(t) => unsafe { sys::llama_sampler_init_temp(*t) },
        };
        // SAFETY: plain constructors; the chain takes over each sampler that is added to it.
        unsafe {
            let chain = sys::llama_sampler_chain_init(sys::llama_sampler_chain_default_params());
            let add = |sampler| sys::llama_sampler_chain_add(chain, sampler);
            add(head);
            if settings.has_penalties() {
                let last_n = if settings.repeat_last_n < 0 { n_ctx as i32 } else { settings.repeat_last_n };
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
        let mut array = match self.sorted {
            true => TokenDataArray::sorted(&mut self.candidates),
            false => TokenDataArray::new(&mut self.candidates),
        };
        // SAFETY: `TokenDataArray` has the layout of `llama_token_data_array`, over a live slice.
        unsafe { sys::llama_sampler_apply(self.chain, (&raw mut array).cast()) };
        let chosen = usize::try_from(array.selected()).ok().and_then(|i| self.candidates.get(i));
        let token = chosen.ok_or(Error::Host { call: "llama_sampler_apply", code: -1 })?.id;
        self.accept(token);
        Ok(token)
    }

    /// Tells the samplers of a token that was not drawn by them.
    pub fn accept(&mut self, token: Token) {
        // SAFETY: the chain is alive.
        unsafe { sys::llama_sampler_accept(self.chain, token) };
    }
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
        add(sys::llama_sampler_init_dist(settings.seed));
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // SAFETY: the chain is ours and is freed once, with the samplers it holds.
        unsafe { sys::llama_sampler_free(self.chain) };
    }
}
