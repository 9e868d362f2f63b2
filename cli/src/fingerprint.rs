//! Fingerprints: what a result depends on, as values that are written out one by one and hashed.
//!
//! A result is found again by the fingerprint of everything that decides it. The types here are that list. They
//! name each value, so that a field that is renamed or added elsewhere voids no file.

use std::path::Path;

use sda::Quality;
use sda::engine::Generation;
use sda::host::Token;
use sda::llama::{Adapter, Grammar, ModelOptions, Rope, RopeScaling, SamplerKind, Sampling};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::args::judge::LOCAL;
use crate::args::{AdaptArgs, LoadArgs, ModelArgs};
use crate::assess::{Assessor, Who};
use crate::judge_file::FileJudge;
use crate::record;

/// Begins a fingerprint and changes when the way to make one changes. 0.1.0 wrote 16 digits and nothing before them.
const VERSION: &str = "2:";

/// Digits of the hash. 64 bits: they tell records apart, they keep nobody out.
const DIGITS: usize = 16;

/// The fingerprint of some values: a hash of their JSON, whose fields are sorted.
pub fn of(values: &impl Serialize) -> String {
    let hash = Sha256::digest(record::line(values));
    let digits: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    format!("{VERSION}{}", &digits[..DIGITS])
}

/// True for a fingerprint as 0.1.0 made them, of other text for the same values.
pub fn is_of_first_version(fingerprint: &str) -> bool {
    fingerprint.len() == DIGITS && fingerprint.bytes().all(|b| b.is_ascii_hexdigit())
}

/// True for a fingerprint as [`of`] makes them.
pub fn is_of_this_version(fingerprint: &str) -> bool {
    fingerprint.strip_prefix(VERSION).is_some_and(is_of_first_version)
}

/// Which model it is. Its folder may change; hashing its gigabytes would take longer than many a run.
#[derive(Clone, Debug, Serialize)]
pub struct ModelIdentity {
    file: String,
    bytes: u64,
    /// Types of its KV cache, which change what it says.
    cache: [&'static str; 2],
    /// What it is changed by; absent without, as in files that are older than it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
}

/// Something that makes a model say something else than its file alone would: what it is, and its value.
#[derive(Clone, Debug, Serialize)]
pub struct Change(&'static str, String);

impl ModelIdentity {
    pub fn of(args: &ModelArgs) -> ModelIdentity {
        ModelIdentity { changes: changes(&args.adapt), ..ModelIdentity::of_file(&args.model, &args.load) }
    }

    pub fn of_judge(judge: &FileJudge) -> ModelIdentity {
        ModelIdentity::of_file(judge.path(), judge.load_args())
    }

    pub fn of_file(path: &Path, args: &LoadArgs) -> ModelIdentity {
        ModelIdentity {
            file: name(path),
            bytes: size(path),
            cache: [args.cache_type_k.name(), args.cache_type_v.name()],
            changes: Vec::new(),
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn changes(args: &AdaptArgs) -> Vec<Change> {
    let mut options = ModelOptions::default();
    args.apply(&mut options);
    let file = |what| {
        move |it: &Adapter| Change(what, format!("{} {} {}", name(&it.path), size(&it.path), it.scale))
    };
    let lora = options.lora.iter().map(file("lora"));
    let control = options.control_vectors.iter().map(file("control vector"));
    let layers = options.control_layers.filter(|_| !options.control_vectors.is_empty());
    let layers = layers.map(|(first, last)| Change("control vector layers", format!("{first} {last}")));
    let values = options.kv_overrides.iter().map(|it| Change("value", format!("{} {}", it.key, it.value)));
    let rope = (args.rope() != Rope::default()).then(|| {
        // Every field by its name: a new one is to be decided upon here.
        let Rope {
            scaling,
            freq_base,
            freq_scale,
            yarn_orig_ctx,
            yarn_ext_factor,
            yarn_attn_factor,
            yarn_beta_fast,
            yarn_beta_slow,
        } = args.rope();
        let scaling = scaling.map_or(-1, RopeScaling::number);
        let numbers =
            [freq_base, freq_scale, yarn_ext_factor, yarn_attn_factor, yarn_beta_fast, yarn_beta_slow];
        Change("rope", format!("{scaling} {yarn_orig_ctx} {numbers:?}"))
    });
    lora.chain(control).chain(layers).chain(values).chain(rope).collect()
}

/// How an answer is generated. Threads, batch sizes, and what is traced make no difference to it.
#[derive(Debug, Serialize)]
pub struct Settings<'a> {
    amplification: f32,
    k: f32,
    temperature: f32,
    sigma: f32,
    t_min: f32,
    /// These two are absent without a limit, as in files that are older than it.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_kl: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_kl: Option<f32>,
    seed: Option<u32>,
    top_k: i32,
    top_p: f32,
    min_p: f32,
    repeat_last_n: i32,
    repeat_penalty: f32,
    frequency_penalty: f32,
    presence_penalty: f32,
    #[serde(flatten)]
    samplers: Samplers<'a>,
    n_predict: Option<usize>,
    stop: &'a [String],
    steer_after_think: bool,
    /// These two are absent without one, as in files that are older than they are.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    logit_bias: &'a [(Token, f32)],
    #[serde(skip_serializing_if = "Option::is_none")]
    grammar: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    ignore_eos: bool,
    #[serde(skip_serializing_if = "is_false")]
    context_shift: bool,
}

/// The samplers that few need. Each is absent where it is off, as in files that are older than it is.
#[derive(Debug, Serialize)]
struct Samplers<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    typical_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_n_sigma: Option<f32>,
    /// Probability and threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    xtc: Option<[f32; 2]>,
    /// Multiplier and base, allowed length and number of tokens, breakers.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry: Option<([f32; 2], [i32; 2], &'a [String])>,
    /// Range and exponent.
    #[serde(skip_serializing_if = "Option::is_none")]
    dynatemp: Option<[f32; 2]>,
    /// Version, tau, eta.
    #[serde(skip_serializing_if = "Option::is_none")]
    mirostat: Option<(i32, f32, f32)>,
    /// In another order than the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    samplers: Option<Vec<&'static str>>,
}

impl<'a> Samplers<'a> {
    fn of(sampling: &'a Sampling) -> Samplers<'a> {
        let Sampling { xtc_probability, xtc_threshold, dry_multiplier, dry_base, .. } = *sampling;
        let Sampling { dynatemp_range, dynatemp_exponent, mirostat, .. } = *sampling;
        let lengths = [sampling.dry_allowed_length, sampling.dry_penalty_last_n];
        let usual = Sampling::default();
        let names = || sampling.samplers.iter().copied().map(SamplerKind::name).collect();
        Samplers {
            typical_p: (sampling.typical_p < 1.0).then_some(sampling.typical_p),
            top_n_sigma: (sampling.top_n_sigma > 0.0).then_some(sampling.top_n_sigma),
            xtc: (xtc_probability > 0.0).then_some([xtc_probability, xtc_threshold]),
            dry: (dry_multiplier > 0.0).then_some((
                [dry_multiplier, dry_base],
                lengths,
                &sampling.dry_sequence_breakers,
            )),
            dynatemp: (dynatemp_range > 0.0).then_some([dynatemp_range, dynatemp_exponent]),
            mirostat: (mirostat != 0).then_some((mirostat, sampling.mirostat_tau, sampling.mirostat_eta)),
            samplers: (sampling.samplers != usual.samplers).then(names),
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

impl<'a> Settings<'a> {
    /// `seed` is the one that was asked for: a new one each time is no reason to start over.
    pub fn of(settings: &'a Generation, seed: Option<u32>) -> Settings<'a> {
        // Every field by its name: a new one is to be decided upon here.
        let Generation {
            params,
            sampling,
            logit_bias,
            ignore_eos,
            grammar,
            n_predict,
            context_shift,
            stop,
            steer_after_think,
            trace: _,
            trace_top: _,
        } = settings;
        let sda::Params { amplification, k, temperature, sigma, t_min, max_kl, mean_kl } = *params;
        let Sampling {
            seed: _,
            top_k,
            top_p,
            min_p,
            repeat_last_n,
            repeat_penalty,
            frequency_penalty,
            presence_penalty,
            // Samplers::of
            typical_p: _,
            top_n_sigma: _,
            xtc_probability: _,
            xtc_threshold: _,
            dry_multiplier: _,
            dry_base: _,
            dry_allowed_length: _,
            dry_penalty_last_n: _,
            dry_sequence_breakers: _,
            dynatemp_range: _,
            dynatemp_exponent: _,
            mirostat: _,
            mirostat_tau: _,
            mirostat_eta: _,
            samplers: _,
            // Follows from the temperature.
            greedy: _,
        } = *sampling;
        Settings {
            amplification,
            k,
            temperature,
            sigma,
            t_min,
            max_kl: max_kl.is_finite().then_some(max_kl),
            mean_kl: mean_kl.is_finite().then_some(mean_kl),
            seed,
            top_k,
            top_p,
            min_p,
            repeat_last_n,
            repeat_penalty,
            frequency_penalty,
            presence_penalty,
            samplers: Samplers::of(sampling),
            n_predict: *n_predict,
            stop,
            steer_after_think: *steer_after_think,
            logit_bias,
            grammar: grammar.as_ref().map(Grammar::text),
            ignore_eos: *ignore_eos,
            context_shift: *context_shift,
        }
    }
}

/// Who scores, and what by when a record does not say.
#[derive(Debug, Serialize)]
pub struct JudgeIdentity {
    judge: JudgedBy,
    dimension: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum JudgedBy {
    Local(&'static str),
    Server(String),
    File(ModelIdentity),
}

impl JudgeIdentity {
    pub fn of(assessor: &Assessor) -> JudgeIdentity {
        let judge = match &assessor.who {
            Who::Local => JudgedBy::Local(LOCAL),
            Who::Server(client) => JudgedBy::Server(client.fingerprint()),
            Who::File(judge) => JudgedBy::File(ModelIdentity::of_judge(judge)),
        };
        JudgeIdentity { judge, dimension: assessor.dimension.map(Quality::name) }
    }
}

/// Which model file recognises queries, and which ones it is shown.
#[derive(Debug, Serialize)]
pub struct RecognitionIdentity<'a> {
    pub model: ModelIdentity,
    pub others: &'a [&'a str],
}

/// Who says which of two answers is better, and what by.
#[derive(Debug, Serialize)]
pub enum PairJudgeIdentity {
    Server { judge: String, dimension: Option<&'static str> },
    File { model: ModelIdentity, dimension: Option<&'static str> },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_values_and_stays_the_same_from_build_to_build() {
        let settings = Generation { stop: vec!["\n".into()], ..Generation::default() };
        let print = |settings: &Generation, seed| of(&Settings::of(settings, seed));
        // Whoever changes this number voids the files of every user, and raises VERSION.
        assert_eq!(print(&settings, Some(7)), "2:c3fef1dcca225655");
        assert_ne!(print(&settings, Some(7)), print(&settings, None));
        let mut other = settings.clone();
        other.params.sigma = f32::INFINITY;
        assert_ne!(print(&settings, None), print(&other, None));
        other.params.sigma = settings.params.sigma;
        other.logit_bias = vec![(3, f32::NEG_INFINITY)];
        assert_ne!(print(&settings, None), print(&other, None));
        other.logit_bias.clear();
        other.grammar = Some(Grammar::new("root ::= \"a\"").unwrap());
        assert_ne!(print(&settings, None), print(&other, None));
        other.grammar = None;
        let changes: [fn(&mut Generation); 19] = [
            |s| s.ignore_eos = true,
            |s| s.context_shift = true,
            |s| s.sampling.typical_p = 0.5,
            |s| s.sampling.top_n_sigma = 1.0,
            |s| s.sampling.xtc_probability = 0.5,
            |s| (s.sampling.xtc_probability, s.sampling.xtc_threshold) = (0.5, 0.2),
            |s| s.sampling.dry_multiplier = 0.8,
            |s| (s.sampling.dry_multiplier, s.sampling.dry_base) = (0.8, 2.0),
            |s| (s.sampling.dry_multiplier, s.sampling.dry_allowed_length) = (0.8, 3),
            |s| (s.sampling.dry_multiplier, s.sampling.dry_penalty_last_n) = (0.8, 7),
            |s| (s.sampling.dry_multiplier, s.sampling.dry_sequence_breakers) = (0.8, vec![]),
            |s| s.sampling.dynatemp_range = 0.3,
            |s| (s.sampling.dynatemp_range, s.sampling.dynatemp_exponent) = (0.3, 2.0),
            |s| s.sampling.mirostat = 1,
            |s| s.sampling.mirostat = 2,
            |s| (s.sampling.mirostat, s.sampling.mirostat_tau) = (2, 1.0),
            |s| (s.sampling.mirostat, s.sampling.mirostat_eta) = (2, 1.0),
            |s| s.sampling.samplers.clear(),
            |s| s.sampling.samplers.reverse(),
        ];
        let mut prints = vec![print(&settings, None)];
        for change in changes {
            let mut other = settings.clone();
            change(&mut other);
            prints.push(print(&other, None));
        }
        let distinct: std::collections::BTreeSet<_> = prints.iter().collect();
        assert_eq!(distinct.len(), prints.len(), "{prints:?}");
        (other.trace, other.trace_top, other.sampling.seed) = (true, 9, 3);
        assert_eq!(print(&settings, None), print(&other, None), "these decide nothing");
    }

    #[test]
    fn the_first_versions_fingerprints_are_known_by_their_form() {
        assert!(is_of_first_version("0f1e2d3c4b5a6978"));
        for other in [&*of(&1), "0f1e2d3c4b5a697", "0f1e2d3c4b5a697g"] {
            assert!(!is_of_first_version(other), "{other}");
        }
    }
}
