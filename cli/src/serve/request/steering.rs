//! The object `sda` of a request: the steering, by the names of the command's options.

use std::fmt;

use ::sda::amplify::Amplify;
use ::sda::{Params, Quality};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::args::Placement;
use crate::record::Instructions;
use crate::serve::error::ApiError;

/// The most tokens that a trace has of each distribution.
const MOST_TOP: u32 = 100;

#[derive(Debug, Default, Deserialize)]
pub struct Sda {
    pub instruction: Option<Instructions>,
    preset: Option<String>,
    placement: Option<String>,
    pub guidance: Option<f32>,
    pub amplification: Option<f32>,
    pub score: Option<f64>,
    pub judge: Option<JudgeWish>,
    amplify: Option<String>,
    k: Option<f32>,
    sigma: Option<Limit>,
    t_min: Option<f32>,
    max_kl: Option<Limit>,
    mean_kl: Option<Limit>,
    pub steer_after_think: Option<bool>,
    pub trace: Option<bool>,
    pub trace_top: Option<u32>,
}

impl Sda {
    /// Refuses what does not go together.
    pub fn check(&self) -> Result<(), ApiError> {
        if self.instruction.is_some() && self.preset.is_some() {
            return Err(ApiError::field("sda.preset", "given beside sda.instruction", "one of the two"));
        }
        let asks_a_judge = self.judge.is_some_and(|judge| judge != JudgeWish::No);
        let given = [
            ("sda.guidance", self.guidance.is_some()),
            ("sda.amplification", self.amplification.is_some()),
            ("sda.score", self.score.is_some()),
            ("sda.judge", asks_a_judge),
        ];
        let mut given = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            return Err(ApiError::field(second, format!("given beside {first}"), "the only strength"));
        }
        if let Some(top) = self.trace_top {
            super::within("sda.trace_top", top, 0..=MOST_TOP)?;
        }
        self.preset().and(self.placement().map(drop)).and(self.amplify().map(drop))?;
        Ok(())
    }

    pub fn preset(&self) -> Result<Option<Quality>, ApiError> {
        let named =
            |name: &String| Quality::named("preset", name).map_err(|e| ApiError::from(e).within("sda"));
        self.preset.as_ref().map(named).transpose()
    }

    pub fn placement(&self) -> Result<Option<Placement>, ApiError> {
        Ok(match self.placement.as_deref() {
            None => None,
            Some("after") => Some(Placement::After),
            Some("before") => Some(Placement::Before),
            Some("system") => Some(Placement::System),
            Some(name) => return Err(ApiError::field("sda.placement", name, "after, before or system")),
        })
    }

    pub fn amplify(&self) -> Result<Option<Amplify>, ApiError> {
        let named = |name: &String| {
            let known = Amplify::ALL.map(Amplify::name).join(", ");
            name.parse().map_err(|_| ApiError::field("sda.amplify", name, &format!("one of {known}")))
        };
        self.amplify.as_ref().map(named).transpose()
    }

    /// Settings of the steering but its strength. Errors name fields of this object.
    pub fn apply(&self, params: &mut Params) -> Result<(), ApiError> {
        let limit =
            |to: &mut f32, from: &Option<Limit>| *to = from.as_ref().map_or(*to, |Limit(value)| *value);
        params.k = self.k.unwrap_or(params.k);
        params.t_min = self.t_min.unwrap_or(params.t_min);
        limit(&mut params.sigma, &self.sigma);
        limit(&mut params.max_kl, &self.max_kl);
        limit(&mut params.mean_kl, &self.mean_kl);
        // The temperature is no field of this object.
        Params { temperature: 0.0, ..*params }.validate()?;
        Ok(())
    }
}

/// Who is to score a draft. A request names no address: the server would ask whatever it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgeWish {
    /// Nobody, even if the command line names one.
    No,
    /// The one of the command line.
    Yes,
    /// The loaded model.
    Local,
}

impl<'de> Deserialize<'de> for JudgeWish {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<JudgeWish, D::Error> {
        struct Wish;
        impl Visitor<'_> for Wish {
            type Value = JudgeWish;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("true, false or \"local\"")
            }

            fn visit_bool<E: Error>(self, wanted: bool) -> Result<JudgeWish, E> {
                Ok(if wanted { JudgeWish::Yes } else { JudgeWish::No })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<JudgeWish, E> {
                match text {
                    "local" => Ok(JudgeWish::Local),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        from.deserialize_any(Wish)
    }
}

/// A number, or "inf", which JSON has no number for.
#[derive(Debug)]
struct Limit(f32);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Limit, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Limit;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number or \"inf\"")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Limit, E> {
                Ok(Limit(value as f32))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Limit, E> {
                Ok(Limit(value as f32))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Limit, E> {
                Ok(Limit(value as f32))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Limit, E> {
                match text {
                    "inf" => Ok(Limit(f32::INFINITY)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        from.deserialize_any(Number)
    }
}
