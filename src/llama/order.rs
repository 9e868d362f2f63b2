//! The order of the samplers behind the steering, and how much of it is done before llama.cpp sees a candidate.

use super::sampling::Sampling;
use crate::error::{Error, Result};
use crate::steer::Nucleus;

/// A sampler of llama.cpp's, as `--samplers` names it. One that is off, such as top-k of 0, does nothing wherever it
/// stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SamplerKind {
    /// The penalties on repeated tokens: `repeat_penalty`, `frequency_penalty`, `presence_penalty`.
    Penalties,
    /// DRY, the penalty on repeated sequences.
    Dry,
    /// Top-n-sigma: drops tokens too many standard deviations below the best.
    TopNSigma,
    /// Top-k.
    TopK,
    /// Locally typical sampling.
    TypicalP,
    /// Top-p.
    TopP,
    /// Min-p.
    MinP,
    /// XTC, which drops the most likely tokens.
    Xtc,
    /// The temperature: that of the step, which the divergence lowers, spread by `dynatemp_range`.
    Temperature,
}

use SamplerKind::{Dry, MinP, Penalties, Temperature, TopK, TopNSigma, TopP, TypicalP, Xtc};

/// llama.cpp's order, but with the temperature at the head: the steered distribution includes it, as in the paper.
const DEFAULT: [SamplerKind; 9] = [Temperature, Penalties, Dry, TopNSigma, TopK, TypicalP, TopP, MinP, Xtc];

const FIELD: &str = "samplers";

impl SamplerKind {
    /// The order where none is asked for.
    pub fn default_order() -> Vec<SamplerKind> {
        DEFAULT.to_vec()
    }

    /// llama.cpp's name.
    pub fn name(self) -> &'static str {
        match self {
            Penalties => "penalties",
            Dry => "dry",
            TopNSigma => "top_n_sigma",
            TopK => "top_k",
            TypicalP => "typ_p",
            TopP => "top_p",
            MinP => "min_p",
            Xtc => "xtc",
            Temperature => "temperature",
        }
    }

    /// llama.cpp's letter, for `--sampling-seq`.
    pub fn letter(self) -> char {
        match self {
            Penalties => 'e',
            Dry => 'd',
            TopNSigma => 's',
            TopK => 'k',
            TypicalP => 'y',
            TopP => 'p',
            MinP => 'm',
            Xtc => 'x',
            Temperature => 't',
        }
    }

    /// An order by names, with llama.cpp's other ways to write them. No names are no samplers: all tokens, at a
    /// temperature of 1.
    ///
    /// # Errors
    /// [`Error::Param`] with the field `samplers` for a name that is unknown or comes twice.
    pub fn by_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<SamplerKind>> {
        order(names.into_iter().map(|name| (name.to_owned(), SamplerKind::named(name))), || {
            DEFAULT.map(SamplerKind::name).join(", ")
        })
    }

    /// The same for names with semicolons between them, as of `--samplers`.
    ///
    /// # Errors
    /// As [`SamplerKind::by_names`].
    pub fn by_list(list: &str) -> Result<Vec<SamplerKind>> {
        SamplerKind::by_names(list.split(';').filter(|name| !name.is_empty()))
    }

    /// An order by letters, as `edskypmxt`.
    ///
    /// # Errors
    /// [`Error::Param`] with the field `samplers` for a letter that is unknown or comes twice.
    pub fn by_letters(letters: &str) -> Result<Vec<SamplerKind>> {
        let kind = |letter| DEFAULT.into_iter().find(|kind| kind.letter() == letter);
        order(letters.chars().map(|letter| (letter.to_string(), kind(letter))), || {
            DEFAULT.map(|kind| kind.letter().to_string()).join(", ")
        })
    }

    fn named(name: &str) -> Option<SamplerKind> {
        let plain = |text: &str| text.to_ascii_lowercase().replace(['_', '-'], "");
        let wanted = match &*plain(name) {
            "nucleus" => "topp".to_owned(),
            "temp" => "temperature".to_owned(),
            "typ" => "typp".to_owned(),
            other => other.to_owned(),
        };
        DEFAULT.into_iter().find(|kind| plain(kind.name()) == wanted)
    }
}

/// Checks samplers that go by some names.
fn order(
    named: impl Iterator<Item = (String, Option<SamplerKind>)>,
    known: impl Fn() -> String,
) -> Result<Vec<SamplerKind>> {
    let mut kinds = Vec::new();
    for (name, kind) in named {
        let allowed = || format!("of {}, each at most once", known());
        let kind = kind.ok_or_else(|| Error::param(FIELD, format!("{name:?}"), allowed()))?;
        if kinds.contains(&kind) {
            return Err(Error::param(FIELD, format!("{name:?} twice"), allowed()));
        }
        kinds.push(kind);
    }
    Ok(kinds)
}

/// How the draws with some settings are made: what becomes of the row first, and the samplers that are left.
///
/// Top-k and top-p that come first keep the best tokens of the row. They are found without a sort of the
/// vocabulary, and all that follows works on these few.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `top_k` and `top_p` that choose the candidates; None if all tokens are.
    best: Option<(usize, f32)>,
    tempered: bool,
    pub(super) rest: Vec<SamplerKind>,
}

impl Plan {
    /// The plan for settings that are valid.
    pub fn new(settings: &Sampling) -> Plan {
        let mut plan = Plan::whole(settings);
        let rest = &mut plan.rest;
        // llama.cpp's penalty on repeated tokens depends on the signs of logits, which a row of log-probabilities lacks.
        let keeps = if settings.mirostat != 0 || rest.contains(&Penalties) { &[][..] } else { &rest[..] };
        let (top_k, top_p) = (settings.top_k as usize, settings.top_p);
        let (best, taken) = match keeps {
            [] if settings.greedy && rest.is_empty() => (Some((1, 1.0)), 0),
            [TopK, TopP, ..] => (Some((top_k, top_p)), 2),
            [TopK, ..] => (Some((top_k, 1.0)), 1),
            [TopP, ..] => (Some((0, top_p)), 1),
            _ => (None, 0),
        };
        rest.drain(..taken);
        plan.best = best;
        plan
    }

    /// The same with all samplers left to llama.cpp.
    pub(super) fn whole(settings: &Sampling) -> Plan {
        let mut rest: Vec<SamplerKind> = match settings.mirostat {
            0 => settings.samplers.iter().copied().filter(|kind| settings.is_on(*kind)).collect(),
            _ => vec![Temperature],
        };
        let at = rest.iter().position(|kind| *kind == Temperature);
        let mut tempered = false;
        match at {
            // Then the most likely token is taken: what comes behind could only drop others, but for the penalties.
            Some(at) if settings.greedy => {
                let behind = rest.split_off(at);
                rest.extend(behind.into_iter().filter(|kind| matches!(kind, Penalties | Dry)));
                tempered = rest.is_empty();
            }
            Some(0) if settings.dynatemp_range <= 0.0 => {
                rest.remove(0);
                tempered = true;
            }
            _ => {}
        }
        Plan { best: None, tempered, rest }
    }

    /// True if the draw depends on nothing but the most likely tokens, those that [`Plan::best`] keeps.
    pub fn needs_only_the_best(&self) -> bool {
        self.best.is_some()
    }

    /// True if the row has the step's temperature, false if the samplers want one of temperature 1. Where nothing but the
    /// most likely token counts, both will do.
    pub fn is_tempered(&self) -> bool {
        self.tempered
    }

    /// The candidates in a row of log-probabilities, as [`Nucleus::select`] gives them.
    pub fn best<'n>(
        &self,
        nucleus: &'n mut Nucleus,
        logprobs: &[f32],
    ) -> impl ExactSizeIterator<Item = (usize, f32)> + 'n {
        let (top_k, top_p) = self.best.unwrap_or((0, 1.0));
        nucleus.select(logprobs, top_k, top_p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(settings: Sampling) -> (Option<(usize, f32)>, bool, Vec<SamplerKind>) {
        settings.validate().unwrap();
        let Plan { best, tempered, rest } = Plan::new(&settings);
        (best, tempered, rest)
    }

    fn by(names: &str) -> Sampling {
        let samplers = SamplerKind::by_list(names).unwrap();
        Sampling {
            samplers,
            top_k: 40,
            typical_p: 0.9,
            min_p: 0.05,
            xtc_probability: 0.5,
            ..Sampling::default()
        }
    }

    #[test]
    fn an_order_is_written_as_for_llama_cpp() {
        let names = "temp;Top-K;nucleus;minp;typ;typ_p";
        let error = SamplerKind::by_list(names).unwrap_err().to_string();
        assert!(error.starts_with("samplers is \"typ_p\" twice, must be of temperature, "), "{error}");
        let order = SamplerKind::by_names(["temp", "Top-K", "nucleus", "minp", "typ", "top_n_sigma"]);
        assert_eq!(order, Ok(vec![Temperature, TopK, TopP, MinP, TypicalP, TopNSigma]));
        assert_eq!(
            SamplerKind::by_letters("edskypmxt"),
            Ok(vec![Penalties, Dry, TopNSigma, TopK, TypicalP, TopP, MinP, Xtc, Temperature])
        );
        assert_eq!(SamplerKind::by_letters(""), Ok(vec![]));
        for kind in DEFAULT {
            assert_eq!(SamplerKind::by_names([kind.name()]), Ok(vec![kind]));
        }
        let error = SamplerKind::by_letters("kz").unwrap_err().to_string();
        assert!(error.starts_with("samplers is \"z\", must be of t, e, "), "{error}");
    }

    #[test]
    fn truncation_at_the_head_is_done_before_llama_cpp_sees_a_candidate() {
        // Top-p of 0.95 alone.
        assert_eq!(plan(Sampling::default()), (Some((0, 0.95)), true, vec![]));
        assert_eq!(plan(by("temperature;top_k;top_p;min_p;xtc")), (Some((40, 0.95)), true, vec![MinP, Xtc]));
        assert_eq!(
            plan(by("top_k;typ_p;top_p;temperature")),
            (Some((40, 1.0)), false, vec![TypicalP, TopP, Temperature])
        );
        assert_eq!(plan(by("top_p;top_k")), (Some((0, 0.95)), false, vec![TopK]));
        assert_eq!(plan(by("min_p;top_k")), (None, false, vec![MinP, TopK]));
        assert_eq!(plan(Sampling { top_p: 1.0, ..Sampling::default() }), (None, true, vec![]));
        // These need all tokens.
        let dynatemp = Sampling { dynatemp_range: 0.5, ..Sampling::default() };
        assert_eq!(plan(dynatemp), (None, false, vec![Temperature, TopP]));
        let penalties = Sampling { presence_penalty: 0.5, ..by("top_k;penalties;temperature") };
        assert_eq!(plan(penalties), (None, false, vec![TopK, Penalties, Temperature]));
        let dry = Sampling { dry_multiplier: 0.8, ..by("top_k;dry;temperature") };
        assert_eq!(plan(dry), (Some((40, 1.0)), false, vec![Dry, Temperature]));
        assert_eq!(plan(Sampling { mirostat: 2, ..Sampling::default() }), (None, true, vec![]));
    }

    #[test]
    fn at_temperature_0_what_could_change_the_best_token_is_left() {
        let greedy = |settings| plan(Sampling { greedy: true, ..settings });
        assert_eq!(greedy(Sampling::default()), (Some((1, 1.0)), true, vec![]));
        assert_eq!(greedy(Sampling { mirostat: 1, ..Sampling::default() }), (Some((1, 1.0)), true, vec![]));
        assert_eq!(
            greedy(Sampling { repeat_penalty: 1.1, dry_multiplier: 1.0, ..Sampling::default() }),
            (None, false, vec![Penalties, Dry])
        );
        assert_eq!(greedy(by("top_k;xtc;temperature;min_p")), (Some((40, 1.0)), false, vec![Xtc]));
        assert_eq!(greedy(by("min_p")), (None, false, vec![MinP]), "no temperature, but greedy all the same");
    }
}
