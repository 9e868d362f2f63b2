//! The samplers that few need, and the order of all.

use clap::Args;
use sda::llama::{SamplerKind, Sampling};

use super::escapes::EscapeArgs;
use crate::failure::{Failure, Outcome};

#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplerArgs {
    /// Locally typical sampling: keep the tokens whose information is nearest to the entropy, which hold this much
    /// probability together; 1 keeps all.
    #[arg(long, visible_alias = "typical-p", default_value_t = Sampling::default().typical_p, value_name = "P")]
    typical: f32,
    /// Drop tokens more than this many standard deviations below the best one; 0 or less keeps all.
    #[arg(long, alias = "top-nsigma", default_value_t = Sampling::default().top_n_sigma, value_name = "N", allow_negative_numbers = true)]
    top_n_sigma: f32,
    /// XTC: how often the most likely tokens are dropped, 0 to 1.
    #[arg(long, default_value_t = Sampling::default().xtc_probability, value_name = "P")]
    xtc_probability: f32,
    /// XTC drops all tokens of at least this probability but the least likely of them; above 0.5 it is off.
    #[arg(long, default_value_t = Sampling::default().xtc_threshold, value_name = "P")]
    xtc_threshold: f32,
    /// DRY, a penalty on tokens that continue a repetition of earlier ones; 0 is none.
    #[arg(long, default_value_t = Sampling::default().dry_multiplier, value_name = "X")]
    dry_multiplier: f32,
    /// DRY: what the penalty is multiplied by for each further token that is repeated.
    #[arg(long, default_value_t = Sampling::default().dry_base, value_name = "X")]
    dry_base: f32,
    /// DRY: shorter repetitions cost nothing.
    #[arg(long, default_value_t = Sampling::default().dry_allowed_length, value_name = "N")]
    dry_allowed_length: i32,
    /// DRY: tokens that are searched for repetitions; -1 is the whole context.
    #[arg(long, default_value_t = Sampling::default().dry_penalty_last_n, value_name = "N", allow_negative_numbers = true)]
    dry_penalty_last_n: i32,
    /// DRY: no repetition goes beyond this text; may be given several times, "none" is none.
    /// [default: \n, :, ", *]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    dry_sequence_breaker: Vec<String>,
    /// Let the temperature go from this much below the step's to this much above it, by the entropy of the candidates.
    #[arg(long, default_value_t = Sampling::default().dynatemp_range, value_name = "T")]
    dynatemp_range: f32,
    /// How the entropy becomes a place in that range: to this power.
    #[arg(long, default_value_t = Sampling::default().dynatemp_exponent, value_name = "X")]
    dynatemp_exp: f32,
    /// Mirostat 1 or 2 in place of all other samplers but the temperature; 0 is off.
    #[arg(long, default_value_t = Sampling::default().mirostat, value_name = "0|1|2")]
    mirostat: i32,
    /// Mirostat: how fast it adapts, eta.
    #[arg(long, default_value_t = Sampling::default().mirostat_eta, value_name = "X")]
    mirostat_lr: f32,
    /// Mirostat: the surprise in bits that it aims at, tau.
    #[arg(long, default_value_t = Sampling::default().mirostat_tau, value_name = "BITS")]
    mirostat_ent: f32,
    /// Which samplers, in which order; those left out are not applied.
    /// [default: temperature;penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc]
    #[arg(long, value_name = "NAME;...", value_parser = by_list, conflicts_with = "sampling_seq")]
    samplers: Option<Order>,
    /// The same by letters. [default: tedskypmx]
    #[arg(long, alias = "sampler-seq", value_name = "LETTERS", value_parser = by_letters)]
    sampling_seq: Option<Order>,
    /// Ban the tokens that end an answer, so that -n, -r or a full context ends it.
    #[arg(long)]
    pub ignore_eos: bool,
}

/// A type of its own, since clap takes a `Vec` for the values of several options.
#[derive(Clone)]
struct Order(Vec<SamplerKind>);

/// Parses names, for clap.
fn by_list(list: &str) -> sda::Result<Order> {
    SamplerKind::by_list(list).map(Order)
}

/// Parses letters, for clap.
fn by_letters(letters: &str) -> sda::Result<Order> {
    SamplerKind::by_letters(letters).map(Order)
}

impl SamplerArgs {
    /// Adds them to the other settings. `escapes` says how the texts are to be read.
    pub fn apply(&self, escapes: &EscapeArgs, sampling: &mut Sampling) -> Outcome {
        sampling.typical_p = self.typical;
        sampling.top_n_sigma = self.top_n_sigma;
        sampling.xtc_probability = self.xtc_probability;
        sampling.xtc_threshold = self.xtc_threshold;
        sampling.dry_multiplier = self.dry_multiplier;
        sampling.dry_base = self.dry_base;
        sampling.dry_allowed_length = self.dry_allowed_length;
        sampling.dry_penalty_last_n = self.dry_penalty_last_n;
        sampling.dynatemp_range = self.dynatemp_range;
        sampling.dynatemp_exponent = self.dynatemp_exp;
        sampling.mirostat = self.mirostat;
        sampling.mirostat_eta = self.mirostat_lr;
        sampling.mirostat_tau = self.mirostat_ent;
        if let Some(Order(samplers)) = self.samplers.as_ref().or(self.sampling_seq.as_ref()) {
            sampling.samplers.clone_from(samplers);
        }
        match &self.dry_sequence_breaker[..] {
            [] => {}
            [none] if none == "none" => sampling.dry_sequence_breakers.clear(),
            texts if texts.iter().any(|text| text == "none") => {
                return Err(Failure::Usage(
                    "--dry-sequence-breaker is none beside others, must be none alone or texts".into(),
                ));
            }
            texts => {
                sampling.dry_sequence_breakers = escapes.read_all("--dry-sequence-breaker", texts)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sda::llama::SamplerKind::{Temperature, TopK};

    use super::*;
    use crate::args::SamplingArgs;
    use crate::failure::message;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        sampling: SamplingArgs,
        #[command(flatten)]
        escapes: EscapeArgs,
    }

    fn read(args: &[&str]) -> Outcome<Sampling> {
        let line =
            Line::try_parse_from([&["sda"], args].concat()).map_err(|e| Failure::Usage(e.to_string()))?;
        line.sampling.sampling(0, &line.escapes)
    }

    #[test]
    fn every_option_sets_its_field_and_no_other() {
        let usual = Sampling::default();
        assert_eq!(read(&[]).unwrap(), usual);
        let breakers = |texts: &[&str]| {
            let dry_sequence_breakers = texts.iter().map(|&text| text.to_owned()).collect();
            Sampling { dry_sequence_breakers, ..Sampling::default() }
        };
        let order = Sampling { samplers: vec![TopK, Temperature], ..usual.clone() };
        for (args, expected) in [
            (&["--typical", "0.5"][..], Sampling { typical_p: 0.5, ..usual.clone() }),
            (&["--typical-p", "0.5"], Sampling { typical_p: 0.5, ..usual.clone() }),
            (&["--top-n-sigma", "-1.5"], Sampling { top_n_sigma: -1.5, ..usual.clone() }),
            (&["--top-nsigma", "1.5"], Sampling { top_n_sigma: 1.5, ..usual.clone() }),
            (&["--xtc-probability", "0.5"], Sampling { xtc_probability: 0.5, ..usual.clone() }),
            (&["--xtc-threshold", "0.2"], Sampling { xtc_threshold: 0.2, ..usual.clone() }),
            (&["--dry-multiplier", "0.8"], Sampling { dry_multiplier: 0.8, ..usual.clone() }),
            (&["--dry-base", "2"], Sampling { dry_base: 2.0, ..usual.clone() }),
            (&["--dry-allowed-length", "3"], Sampling { dry_allowed_length: 3, ..usual.clone() }),
            (&["--dry-penalty-last-n", "-1"], Sampling { dry_penalty_last_n: -1, ..usual.clone() }),
            (&["--dry-sequence-breaker", "none"], breakers(&[])),
            (&["--dry-sequence-breaker", r"\n", "--dry-sequence-breaker", "-"], breakers(&["\n", "-"])),
            (&["--dry-sequence-breaker", r"\n", "--no-escape"], breakers(&[r"\n"])),
            (&["--dynatemp-range", "0.3"], Sampling { dynatemp_range: 0.3, ..usual.clone() }),
            (&["--dynatemp-exp", "2"], Sampling { dynatemp_exponent: 2.0, ..usual.clone() }),
            (&["--mirostat", "2"], Sampling { mirostat: 2, ..usual.clone() }),
            (&["--mirostat-lr", "0.2"], Sampling { mirostat_eta: 0.2, ..usual.clone() }),
            (&["--mirostat-ent", "3"], Sampling { mirostat_tau: 3.0, ..usual.clone() }),
            (&["--samplers", "top_k;temperature"], order.clone()),
            (&["--sampling-seq", "kt"], order.clone()),
            (&["--sampler-seq", "kt"], order),
            (&["--samplers", ""], Sampling { samplers: vec![], ..usual.clone() }),
        ] {
            assert_eq!(read(args).unwrap(), expected, "{args:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (args, says) in [
            (&["--samplers", "top_k;greedy"][..], "samplers is \"greedy\", must be of temperature, "),
            (&["--sampling-seq", "kk"], "samplers is \"k\" twice, must be of t, "),
            (&["--samplers", "top_k", "--sampling-seq", "k"], "cannot be used with"),
            (
                &["--dry-sequence-breaker", "none", "--dry-sequence-breaker", "a"],
                "--dry-sequence-breaker is none beside others",
            ),
        ] {
            let failure = read(args).unwrap_err();
            assert!(message(&failure).contains(says), "{args:?}: {}", message(&failure));
        }
    }
}
