//! Settings of the samplers after the steering.

use super::order::{Plan, SamplerKind};
use crate::error::{Error, Result};

/// Most texts in [`Sampling::dry_sequence_breakers`], and most bytes of one: llama.cpp cuts longer ones.
const MOST_BREAKERS: usize = 64;
const LONGEST_BREAKER: usize = 40;

/// Settings of the samplers after the steering, all of them llama.cpp's own. Temperature is not among them: it belongs
/// to the steering ([`crate::Params`]).
///
/// A draw from few tokens is cheap. It is one where top-k or top-p is on, and no sampler before these needs all tokens:
/// no `typical_p` without `top_k`, no `top_n_sigma`, `dry_multiplier`, `dynatemp_range`, unless `samplers` puts it behind;
/// and neither penalties nor mirostat anywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Seed of the draw.
    pub seed: u32,
    /// Keep the most likely tokens only, this many; 0 keeps all.
    pub top_k: i32,
    /// Nucleus: keep the fewest tokens that hold this much of the probability; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this share of the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Locally typical sampling: keep the tokens whose information is nearest to the entropy, which hold this much of the
    /// probability; 1 keeps all.
    pub typical_p: f32,
    /// Drop tokens whose logits are more than this many standard deviations below the highest; 0 or less keeps all.
    pub top_n_sigma: f32,
    /// XTC: how often the most likely tokens are dropped, from 0, never, to 1.
    pub xtc_probability: f32,
    /// XTC drops all tokens of at least this probability but the least likely of them; above 0.5 it is off.
    pub xtc_threshold: f32,
    /// Tokens that the penalties look back on; 0 turns them off, -1 is the whole context.
    pub repeat_last_n: i32,
    /// Penalty on repeated tokens; 1 is none.
    pub repeat_penalty: f32,
    /// Penalty for each earlier use of a token; 0 is none.
    pub frequency_penalty: f32,
    /// Penalty for any earlier use of a token; 0 is none.
    pub presence_penalty: f32,
    /// DRY: a token that would continue a repetition of `n` tokens loses this much times `dry_base` to the power of `n -
    /// dry_allowed_length`; 0 is off.
    pub dry_multiplier: f32,
    /// DRY's base, at least 1.
    pub dry_base: f32,
    /// DRY: repetitions shorter than this cost nothing.
    pub dry_allowed_length: i32,
    /// DRY: tokens that are searched for repetitions; 0 turns it off, -1 is the whole context.
    pub dry_penalty_last_n: i32,
    /// DRY: no repetition goes beyond one of these texts.
    pub dry_sequence_breakers: Vec<String>,
    /// The temperature goes from this much below the step's to this much above it, by the entropy of the candidates; 0 is
    /// off.
    pub dynatemp_range: f32,
    /// How the entropy, as a share of the largest possible, becomes a place in that range: to this power.
    pub dynatemp_exponent: f32,
    /// Mirostat 1 or 2 in place of all other samplers but the temperature; 0 is off.
    pub mirostat: i32,
    /// The surprise in bits that mirostat aims at.
    pub mirostat_tau: f32,
    /// How fast mirostat adapts.
    pub mirostat_eta: f32,
    /// Which samplers, in which order. Those that are left out are not applied, the temperature neither: it is 1 then.
    pub samplers: Vec<SamplerKind>,
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
            typical_p: 1.0,
            top_n_sigma: -1.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            repeat_last_n: 64,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_penalty_last_n: 64,
            dry_sequence_breakers: ["\n", ":", "\"", "*"].map(str::to_owned).to_vec(),
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            mirostat: 0,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            samplers: SamplerKind::default_order(),
            greedy: false,
        }
    }
}

impl Sampling {
    /// Checks every field's range, and that mirostat stands alone.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [
            ("top_p", self.top_p),
            ("min_p", self.min_p),
            ("typical_p", self.typical_p),
            ("xtc_probability", self.xtc_probability),
            ("xtc_threshold", self.xtc_threshold),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::param(field, value, "at least 0 and at most 1"));
            }
        }
        for (field, value, least) in [
            ("top_k", self.top_k, 0),
            ("repeat_last_n", self.repeat_last_n, -1),
            ("dry_allowed_length", self.dry_allowed_length, 0),
            ("dry_penalty_last_n", self.dry_penalty_last_n, -1),
        ] {
            if value < least {
                return Err(Error::param(field, value, format!("at least {least}")));
            }
        }
        if !(self.repeat_penalty > 0.0 && self.repeat_penalty.is_finite()) {
            return Err(Error::param("repeat_penalty", self.repeat_penalty, "finite and greater than 0"));
        }
        for (field, value) in [
            ("frequency_penalty", self.frequency_penalty),
            ("presence_penalty", self.presence_penalty),
            ("top_n_sigma", self.top_n_sigma),
        ] {
            if !value.is_finite() {
                return Err(Error::param(field, value, "finite"));
            }
        }
        for (field, value, least) in [
            ("dry_multiplier", self.dry_multiplier, 0.0),
            ("dry_base", self.dry_base, 1.0),
            ("dynatemp_range", self.dynatemp_range, 0.0),
            ("dynatemp_exponent", self.dynatemp_exponent, 0.0),
            ("mirostat_tau", self.mirostat_tau, 0.0),
            ("mirostat_eta", self.mirostat_eta, 0.0),
        ] {
            if !(value.is_finite() && value >= least) {
                return Err(Error::param(field, value, format!("finite and at least {least}")));
            }
        }
        self.check_breakers()?;
        self.check_mirostat()
    }

    fn check_breakers(&self) -> Result<()> {
        let (field, texts) = ("dry_sequence_breakers", &self.dry_sequence_breakers);
        if texts.len() > MOST_BREAKERS {
            let allowed = format!("at most {MOST_BREAKERS}");
            return Err(Error::param(field, format!("{} texts", texts.len()), allowed));
        }
        let is_wrong =
            |text: &&String| text.is_empty() || text.len() > LONGEST_BREAKER || text.contains('\0');
        match texts.iter().find(is_wrong) {
            Some(text) => {
                let allowed =
                    format!("texts of at least 1 and at most {LONGEST_BREAKER} bytes, none of them 0");
                Err(Error::param(field, format!("a list with {text:?}"), allowed))
            }
            None => Ok(()),
        }
    }

    /// Refuses what mirostat would pass over without a word. It stands in place of top-k, top-p, min-p and typical-p too,
    /// as llama.cpp's help says.
    fn check_mirostat(&self) -> Result<()> {
        if !(0..=2).contains(&self.mirostat) {
            return Err(Error::param("mirostat", self.mirostat, "0, 1 or 2"));
        }
        let off = Sampling::default();
        let others = [
            ("repeat_penalty", self.repeat_penalty, off.repeat_penalty),
            ("frequency_penalty", self.frequency_penalty, off.frequency_penalty),
            ("presence_penalty", self.presence_penalty, off.presence_penalty),
            ("dry_multiplier", self.dry_multiplier, off.dry_multiplier),
            ("xtc_probability", self.xtc_probability, off.xtc_probability),
            ("dynatemp_range", self.dynatemp_range, off.dynatemp_range),
            ("top_n_sigma", self.top_n_sigma.max(0.0), 0.0),
        ];
        match others.into_iter().find(|(_, value, off)| self.mirostat != 0 && value != off) {
            Some((field, value, off)) => Err(Error::param(
                field,
                value,
                format!("{off} where mirostat is not 0, which takes its place"),
            )),
            None => Ok(()),
        }
    }

    /// False for a sampler that does nothing.
    pub(super) fn is_on(&self, kind: SamplerKind) -> bool {
        match kind {
            SamplerKind::Penalties => {
                self.repeat_last_n != 0
                    && (self.repeat_penalty != 1.0
                        || self.frequency_penalty != 0.0
                        || self.presence_penalty != 0.0)
            }
            SamplerKind::Dry => self.dry_multiplier != 0.0 && self.dry_penalty_last_n != 0,
            SamplerKind::TopNSigma => self.top_n_sigma > 0.0,
            SamplerKind::TopK => self.top_k > 0,
            SamplerKind::TypicalP => self.typical_p < 1.0,
            SamplerKind::TopP => self.top_p < 1.0,
            SamplerKind::MinP => self.min_p > 0.0,
            SamplerKind::Xtc => self.xtc_probability > 0.0 && self.xtc_threshold <= 0.5,
            SamplerKind::Temperature => true,
        }
    }

    /// True if the temperature is among the samplers.
    pub fn has_temperature(&self) -> bool {
        self.mirostat != 0 || self.samplers.contains(&SamplerKind::Temperature)
    }

    /// How draws with these settings are made.
    pub fn plan(&self) -> Plan {
        Plan::new(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_setting_is_refused_by_its_name_and_range() {
        type Change = fn(&mut Sampling);
        let wrong: [(&str, Change); 20] = [
            ("typical_p is 1.5, must be at least 0 and at most 1", |s| s.typical_p = 1.5),
            ("xtc_probability is -0.1, must be at least 0 and at most 1", |s| s.xtc_probability = -0.1),
            ("xtc_threshold is NaN, must be at least 0 and at most 1", |s| s.xtc_threshold = f32::NAN),
            ("top_n_sigma is inf, must be finite", |s| s.top_n_sigma = f32::INFINITY),
            ("dry_multiplier is -1, must be finite and at least 0", |s| s.dry_multiplier = -1.0),
            ("dry_base is 0.5, must be finite and at least 1", |s| s.dry_base = 0.5),
            ("dry_allowed_length is -1, must be at least 0", |s| s.dry_allowed_length = -1),
            ("dry_penalty_last_n is -2, must be at least -1", |s| s.dry_penalty_last_n = -2),
            ("dynatemp_range is -1, must be finite and at least 0", |s| s.dynatemp_range = -1.0),
            ("dynatemp_exponent is NaN, must be finite and at least 0", |s| s.dynatemp_exponent = f32::NAN),
            ("mirostat is 3, must be 0, 1 or 2", |s| s.mirostat = 3),
            ("mirostat_tau is -5, must be finite and at least 0", |s| s.mirostat_tau = -5.0),
            ("mirostat_eta is inf, must be finite and at least 0", |s| s.mirostat_eta = f32::INFINITY),
            (
                "dry_sequence_breakers is a list with \"\", must be texts of at least 1 and at most 40 bytes",
                |s| {
                    s.dry_sequence_breakers = vec![String::new()];
                },
            ),
            ("dry_sequence_breakers is a list with \"a\\0\", must be", |s| {
                s.dry_sequence_breakers = vec!["a\0".into()];
            }),
            ("dry_sequence_breakers is 65 texts, must be at most 64", |s| {
                s.dry_sequence_breakers = vec!["a".into(); 65];
            }),
            ("dry_multiplier is 0.8, must be 0 where mirostat is not 0", |s| {
                (s.mirostat, s.dry_multiplier) = (1, 0.8);
            }),
            ("repeat_penalty is 1.1, must be 1 where mirostat is not 0", |s| {
                (s.mirostat, s.repeat_penalty) = (2, 1.1);
            }),
            ("dynatemp_range is 0.5, must be 0 where mirostat is not 0", |s| {
                (s.mirostat, s.dynatemp_range) = (2, 0.5);
            }),
            ("xtc_probability is 0.5, must be 0 where mirostat is not 0", |s| {
                (s.mirostat, s.xtc_probability) = (2, 0.5);
            }),
        ];
        Sampling::default().validate().unwrap();
        for (expected, change) in wrong {
            let mut sampling = Sampling::default();
            change(&mut sampling);
            let error = sampling.validate().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error} for {expected}");
        }
    }
}
