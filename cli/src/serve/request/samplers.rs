//! The samplers of a request, by llama-server's names.

use sda::engine::Generation;
use sda::llama::SamplerKind;
use serde::Deserialize;

use crate::serve::error::ApiError;

/// Samplers that clients name in their default order, and that this server does not have. What would turn them on is
/// refused ([`super::foreign`]), so in an order they say nothing.
const FOREIGN: [&str; 2] = ["adaptive_p", "tfs_z"];

#[derive(Debug, Default, Deserialize)]
pub struct Samplers {
    typical_p: Option<f32>,
    top_n_sigma: Option<f32>,
    xtc_probability: Option<f32>,
    xtc_threshold: Option<f32>,
    dry_multiplier: Option<f32>,
    dry_base: Option<f32>,
    dry_allowed_length: Option<i32>,
    dry_penalty_last_n: Option<i32>,
    dry_sequence_breakers: Option<Vec<String>>,
    dynatemp_range: Option<f32>,
    dynatemp_exponent: Option<f32>,
    mirostat: Option<i32>,
    mirostat_tau: Option<f32>,
    mirostat_eta: Option<f32>,
    samplers: Option<Order>,
    ignore_eos: Option<bool>,
}

/// Names, or letters in one text.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "must be a list of names or a text of letters")]
enum Order {
    Names(Vec<String>),
    Letters(String),
}

impl Samplers {
    /// Puts what the request asks for in place of what `settings` say.
    pub fn apply(&self, settings: &mut Generation) -> Result<(), ApiError> {
        let sampling = &mut settings.sampling;
        for (to, from) in [
            (&mut sampling.typical_p, self.typical_p),
            (&mut sampling.top_n_sigma, self.top_n_sigma),
            (&mut sampling.xtc_probability, self.xtc_probability),
            (&mut sampling.xtc_threshold, self.xtc_threshold),
            (&mut sampling.dry_multiplier, self.dry_multiplier),
            (&mut sampling.dry_base, self.dry_base),
            (&mut sampling.dynatemp_range, self.dynatemp_range),
            (&mut sampling.dynatemp_exponent, self.dynatemp_exponent),
            (&mut sampling.mirostat_tau, self.mirostat_tau),
            (&mut sampling.mirostat_eta, self.mirostat_eta),
        ] {
            *to = from.unwrap_or(*to);
        }
        for (to, from) in [
            (&mut sampling.dry_allowed_length, self.dry_allowed_length),
            (&mut sampling.dry_penalty_last_n, self.dry_penalty_last_n),
            (&mut sampling.mirostat, self.mirostat),
        ] {
            *to = from.unwrap_or(*to);
        }
        if let Some(breakers) = &self.dry_sequence_breakers {
            sampling.dry_sequence_breakers.clone_from(breakers);
        }
        match &self.samplers {
            Some(Order::Names(names)) => {
                let known = names.iter().map(String::as_str).filter(|name| !FOREIGN.contains(name));
                sampling.samplers = SamplerKind::by_names(known)?;
            }
            Some(Order::Letters(letters)) => sampling.samplers = SamplerKind::by_letters(letters)?,
            None => {}
        }
        settings.ignore_eos = self.ignore_eos.unwrap_or(settings.ignore_eos);
        Ok(())
    }
}
