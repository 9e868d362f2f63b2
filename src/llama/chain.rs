//! The sampler chain: steering first, then the samplers that every llama.cpp user knows.

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_cpp_sys_2 as sys;

use super::Model;
use super::order::{Plan, SamplerKind};
use super::sampling::Sampling;
use crate::error::{Error, Result};
use crate::host::Token;
use crate::sampler::SharedSampler;

/// What stands at the head of a chain.
pub enum Head {
    /// The steering, on the full vocabulary.
    Steering(SharedSampler),
    /// A plain temperature, for a generation that is not steered. 0 or less is greedy.
    Temperature(f32),
}

/// The samplers of an answer, in their order. May move between threads.
pub struct Chain {
    stages: Vec<Stage>,
    candidates: LlamaTokenDataArray,
    /// That of the step.
    temperature: f32,
    /// What became of it.
    drawn_at: Option<f32>,
    dynatemp: [f32; 2],
}

enum Stage {
    Sampler(LlamaSampler),
    /// A sampler of ours, as a host's chain has it.
    Steering(Wrapped),
    /// The temperature of the step, another one each time.
    Temperature,
    /// Drops what is too unlikely to count, and what is masked: typical-p and mirostat take logarithms of it.
    DropUnlikely,
}

// llama-cpp-2 promises it for no other version; Cargo.toml pins this one.
const _: () = assert!(size_of::<LlamaTokenData>() == size_of::<sys::llama_token_data>());

/// A `llama_sampler` of ours.
struct Wrapped(*mut sys::llama_sampler);

// SAFETY: samplers have no thread affinity and `&mut self` keeps two threads out.
unsafe impl Send for Wrapped {}

impl Wrapped {
    fn apply(&mut self, candidates: &mut LlamaTokenDataArray) {
        let mut array = sys::llama_token_data_array {
            data: candidates.data.as_mut_ptr().cast(),
            size: candidates.data.len(),
            selected: -1,
            sorted: candidates.sorted,
        };
        // SAFETY: the sampler is alive; `LlamaTokenData` has the layout of `llama_token_data`, over a live vector. Ours
        // keeps the array where it is.
        unsafe { sys::llama_sampler_apply(self.0, &raw mut array) };
        candidates.data.truncate(array.size);
        candidates.sorted = array.sorted;
    }

    fn accept(&mut self, token: Token) {
        // SAFETY: the sampler is alive.
        unsafe { sys::llama_sampler_accept(self.0, token) };
    }
}

impl Drop for Wrapped {
    fn drop(&mut self) {
        // SAFETY: the sampler is ours and is freed once.
        unsafe { sys::llama_sampler_free(self.0) };
    }
}

impl Chain {
    /// A chain of the head and the samplers that the settings ask for, for an answer of at most `n_ctx` tokens. Without a
    /// head it is for rows as [`Plan::is_tempered`] says.
    ///
    /// # Errors
    /// [`Error::Param`] for a setting out of its range, and for a temperature elsewhere than at the head, if there is
    /// one.
    pub fn new(head: Option<&Head>, settings: &Sampling, model: &Model, n_ctx: usize) -> Result<Chain> {
        settings.validate()?;
        let plan = Plan::whole(settings);
        let head = match head {
            Some(_) if !plan.is_tempered() && !settings.greedy => {
                return Err(Error::param(
                    "samplers",
                    "with another head",
                    "with the temperature at the head",
                ));
            }
            Some(Head::Steering(sampler)) => Some(Stage::Steering(Wrapped(sampler.into_llama()?.cast()))),
            Some(Head::Temperature(t)) => Some(Stage::Sampler(LlamaSampler::temp(*t))),
            None => None,
        };
        let mut chain = Chain::of(&plan, settings, model, n_ctx, false);
        chain.stages.splice(..0, head);
        chain.candidates.data.reserve(model.n_vocab());
        Ok(chain)
    }

    /// The samplers behind those of [`Plan::best`], for [`Chain::load_best`]. The settings must need no other candidates
    /// ([`Plan::needs_only_the_best`]).
    ///
    /// # Errors
    /// [`Error::Param`] for a setting out of its range.
    pub fn of_best(settings: &Sampling, model: &Model, n_ctx: usize) -> Result<Chain> {
        settings.validate()?;
        let plan = settings.plan();
        debug_assert!(plan.needs_only_the_best());
        Ok(Chain::of(&plan, settings, model, n_ctx, true))
    }

    fn of(plan: &Plan, settings: &Sampling, model: &Model, n_ctx: usize, sorted: bool) -> Chain {
        let mut stages = Vec::new();
        for kind in &plan.rest {
            if *kind == SamplerKind::TypicalP {
                stages.push(Stage::DropUnlikely);
            }
            stages.push(stage(*kind, settings, model, n_ctx));
        }
        let seed = llama_seed(settings.seed);
        let (tau, eta) = (settings.mirostat_tau, settings.mirostat_eta);
        stages.extend(match (settings.greedy, settings.mirostat) {
            (true, _) => vec![Stage::Sampler(LlamaSampler::greedy())],
            (_, 0) => vec![Stage::Sampler(LlamaSampler::dist(seed))],
            (_, 1) => {
                let sampler = LlamaSampler::mirostat(model.n_vocab() as i32, seed, tau, eta, MIROSTAT_M);
                vec![Stage::DropUnlikely, Stage::Sampler(sampler)]
            }
            _ => vec![Stage::DropUnlikely, Stage::Sampler(LlamaSampler::mirostat_v2(seed, tau, eta))],
        });
        Chain {
            stages,
            candidates: LlamaTokenDataArray::new(Vec::new(), sorted),
            temperature: 1.0,
            drawn_at: None,
            dynatemp: [settings.dynatemp_range, settings.dynatemp_exponent],
        }
    }

    /// Sets the temperature of the next draws, for rows that have none yet. 0 or less takes the most likely token.
    pub fn set_temperature(&mut self, temperature: f32) {
        self.temperature = temperature;
    }

    /// The temperature of the last draw, if it was this chain that applied it.
    pub fn drawn_at(&self) -> Option<f32> {
        self.drawn_at
    }

    /// Takes over a row of logits as the candidates of the next [`Chain::sample`].
    pub fn load(&mut self, logits: &[f32]) {
        self.fill(false, logits.iter().copied().enumerate());
    }

    /// Takes over tokens and their log-probabilities, the most likely first, as the candidates of the next
    /// [`Chain::sample`].
    pub fn load_best(&mut self, best: impl Iterator<Item = (usize, f32)>) {
        self.fill(true, best);
    }

    fn fill(&mut self, sorted: bool, logits: impl Iterator<Item = (usize, f32)>) {
        self.candidates.sorted = sorted;
        self.candidates.selected = None;
        self.candidates.data.clear();
        let candidate = |(id, logit)| LlamaTokenData::new(LlamaToken(id as Token), logit, 0.0);
        self.candidates.data.extend(logits.map(candidate));
    }

    /// Chooses one of the loaded candidates and accepts it.
    pub fn sample(&mut self) -> Result<Token> {
        let token = self.choose()?;
        self.accept(token);
        Ok(token)
    }

    /// Chooses one of the loaded candidates.
    pub fn choose(&mut self) -> Result<Token> {
        self.drawn_at = None;
        for stage in &mut self.stages {
            match stage {
                Stage::Sampler(sampler) => sampler.apply(&mut self.candidates),
                Stage::Steering(sampler) => sampler.apply(&mut self.candidates),
                Stage::Temperature => {
                    let [range, exponent] = self.dynatemp;
                    let drawn_at = temper(&mut self.candidates, self.temperature, range, exponent);
                    self.drawn_at = Some(drawn_at);
                }
                Stage::DropUnlikely => drop_unlikely(&mut self.candidates),
            }
        }
        let chosen = self.candidates.selected_token();
        Ok(chosen.ok_or(Error::Host { call: "llama_sampler_apply", code: -1 })?.0)
    }

    /// Tells the samplers of the token that the answer continues with.
    pub fn accept(&mut self, token: Token) {
        for stage in &mut self.stages {
            match stage {
                Stage::Sampler(sampler) => sampler.accept(LlamaToken(token)),
                Stage::Steering(sampler) => sampler.accept(token),
                Stage::Temperature | Stage::DropUnlikely => {}
            }
        }
    }
}

/// Tokens that mirostat 1 estimates from, as in llama.cpp's programs.
const MIROSTAT_M: i32 = 100;

/// What is this far below the best, in nats, holds no probability that an `f32` knows.
const UNLIKELY: f32 = 80.0;

/// The sampler of a kind, which is on.
fn stage(kind: SamplerKind, settings: &Sampling, model: &Model, n_ctx: usize) -> Stage {
    // There are never more tokens than the context holds, and llama.cpp makes room for all at once.
    let last_n = |n: i32| usize::try_from(n).map_or(n_ctx, |n| n.min(n_ctx)) as i32;
    Stage::Sampler(match kind {
        SamplerKind::Penalties => LlamaSampler::penalties(
            model.n_vocab() as i32,
            last_n(settings.repeat_last_n),
            settings.repeat_penalty,
            settings.frequency_penalty,
            settings.presence_penalty,
        ),
        SamplerKind::Dry => {
            model.last_dry().sampler(model.inner(), settings, last_n(settings.dry_penalty_last_n))
        }
        SamplerKind::TopNSigma => LlamaSampler::top_n_sigma(settings.top_n_sigma),
        SamplerKind::TopK => LlamaSampler::top_k(settings.top_k),
        SamplerKind::TypicalP => LlamaSampler::typical(settings.typical_p, 1),
        SamplerKind::TopP => LlamaSampler::top_p(settings.top_p, 1),
        SamplerKind::MinP => LlamaSampler::min_p(settings.min_p, 1),
        SamplerKind::Xtc => {
            LlamaSampler::xtc(settings.xtc_probability, settings.xtc_threshold, 1, llama_seed(settings.seed))
        }
        SamplerKind::Temperature => return Stage::Temperature,
    })
}

/// Applies llama.cpp's dynamic temperature around that of the step, and returns what it came to.
fn temper(candidates: &mut LlamaTokenDataArray, temperature: f32, range: f32, exponent: f32) -> f32 {
    let lowest = |candidates: &LlamaTokenDataArray| {
        let finite = candidates.data.iter().map(LlamaTokenData::logit).filter(|logit| logit.is_finite());
        let count = finite.clone().count();
        (finite.fold(f32::INFINITY, f32::min), count)
    };
    let (before, n_before) = if range > 0.0 { lowest(candidates) } else { (0.0, 0) };
    LlamaSampler::temp_ext(temperature, range, exponent).apply(candidates);
    if range <= 0.0 {
        return temperature;
    }
    // llama.cpp does not tell; but a logit is divided by it, or all but the best are masked.
    let (after, n_after) = lowest(candidates);
    match before / after {
        // There was nothing to choose.
        _ if n_before <= 1 => temperature,
        _ if n_after < n_before => 0.0,
        ratio if ratio.is_finite() && ratio > 0.0 => ratio,
        _ => temperature,
    }
}

fn drop_unlikely(candidates: &mut LlamaTokenDataArray) {
    let data = &mut candidates.data;
    let best = data.iter().map(LlamaTokenData::logit).fold(f32::NEG_INFINITY, f32::max);
    data.retain(|candidate| candidate.logit() >= best - UNLIKELY);
}

/// The seed for llama.cpp, which takes `LLAMA_DEFAULT_SEED` for a wish for a new seed each time. It draws as another
/// one does instead, and so the same each time.
fn llama_seed(seed: u32) -> u32 {
    const LLAMA_DEFAULT_SEED: u32 = u32::MAX;
    if seed == LLAMA_DEFAULT_SEED { 0x5eed_5eed } else { seed }
}
