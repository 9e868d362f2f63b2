//! Traces: a record for every token, for what a judge said, and for every answer.

use sda::Params;
use sda::engine::{self, Arm, RankedToken, StepRecord};
use sda::text::Instruction;
use serde::{Deserialize, Serialize};

use super::maybe::{Maybe, present};
use crate::input;

/// One line of a trace. Each record says itself what `type` it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Record {
    /// A token that was generated.
    Token(Token),
    /// What a judge said of the draft, whose tokens stand before it.
    Judge(Judge),
    /// The end of an answer.
    Answer(Answer),
}

impl Record {
    /// The record on a line; None if it is of a type that this version does not know.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn read(line: &str) -> Result<Option<Record>, String> {
        #[derive(Deserialize)]
        struct Head {
            r#type: String,
        }
        let head: Head = input::object(line)?;
        Ok(Some(match head.r#type.as_str() {
            "token" => Record::Token(input::object(line)?),
            "judge" => Record::Judge(input::object(line)?),
            "answer" => Record::Answer(input::object(line)?),
            _ => return Ok(None),
        }))
    }
}

/// A token among the most likely ones of a distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranked(
    /// Token.
    pub sda::host::Token,
    /// Its text.
    pub String,
    /// Its log-probability in nats, untempered.
    pub f64,
);

/// One generated token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "token")]
pub struct Token {
    #[serde(with = "arm")]
    pub arm: Arm,
    /// Place in the answer, from 0.
    pub step: usize,
    pub token: sda::host::Token,
    /// Text that is complete with this token; may be empty.
    pub text: String,
    /// Divergence of the branches in nats; null where the plain branch was not computed.
    #[serde(rename = "js", deserialize_with = "Option::deserialize")]
    pub divergence: Option<f64>,
    /// Temperature that it was drawn at.
    pub temperature: f64,
    /// Guidance scale that was in force; null where nothing is steered.
    #[serde(deserialize_with = "Option::deserialize")]
    pub guidance: Option<f64>,
    /// Log-probabilities of the token in nats; null for a branch that was not run.
    #[serde(deserialize_with = "Option::deserialize")]
    pub logprob_plain: Option<f64>,
    #[serde(deserialize_with = "Option::deserialize")]
    pub logprob_instructed: Option<f64>,
    /// The most likely tokens of each distribution: absent if not asked for, null for a branch that was not run.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub top_plain: Maybe<Vec<Ranked>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub top_instructed: Maybe<Vec<Ranked>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub top_steered: Maybe<Vec<Ranked>>,
}

impl Token {
    pub fn new(arm: Arm, step: &StepRecord) -> Token {
        let ranked = |list: &Option<Vec<RankedToken>>| -> Option<Vec<Ranked>> {
            let ranked = |it: &RankedToken| Ranked(it.token, it.text.clone(), it.logprob);
            list.as_ref().map(|list| list.iter().map(ranked).collect())
        };
        let top = step.top.as_ref();
        Token {
            arm,
            step: step.step,
            token: step.token,
            text: step.text.clone(),
            divergence: step.divergence,
            temperature: step.temperature,
            guidance: step.guidance,
            logprob_plain: step.logprob_plain,
            logprob_instructed: step.logprob_instructed,
            top_plain: top.map(|top| ranked(&top.plain)),
            top_instructed: top.map(|top| ranked(&top.instructed)),
            top_steered: top.map(|top| ranked(&top.steered)),
        }
    }
}

/// Who scored a draft, and how it came to the score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub name: String,
    /// Time that it took.
    pub ms: f64,
    /// Requests that it took; 0 for a score from the cache, absent without a score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<bool>,
    /// Standard deviation of the samples, or of the distribution over the scores, in points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
}

/// What became of asking a judge: a score, or nulls and an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessed {
    pub score: Option<f64>,
    pub samples: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub judge: Judgement,
}

/// The judge's record, between the draft's tokens and the answer's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "judge")]
pub struct Judge {
    #[serde(flatten)]
    pub assessed: Assessed,
    /// What the user chose for a judge that fails; only where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
}

/// Tokens of both prompts: common ones, rows that were decoded, and those that the cache held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptTokens {
    pub shared: usize,
    pub decoded: usize,
    pub reused: usize,
}

/// Milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    pub prefill: f64,
    pub decode: f64,
    pub sample: f64,
}

/// What a user's command said of the instructed answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checked {
    /// It stands.
    Passed,
    /// The steered one took its place.
    Failed,
}

/// An answer. Traces written by other tools may leave out what a reader can do without. In a list it stands in the user's record, with what a judge said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "answer")]
pub struct Answer {
    #[serde(with = "arm")]
    pub arm: Arm,
    #[serde(default)]
    pub text: String,
    /// How many tokens it has.
    #[serde(default)]
    pub tokens: usize,
    /// Why it ended: `eog`, `length`, `stop`, `context_full` or `cancelled`.
    #[serde(default)]
    pub finish: String,
    pub mean_js: Option<f64>,
    #[serde(default)]
    pub prompt: PromptTokens,
    #[serde(default)]
    pub ms: Times,
    /// The score of the draft. This and the next three are null without a score to steer by, and absent in answers
    /// that only stand beside the steered one, for comparison.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub score: Maybe<f64>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub amplification: Maybe<f32>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub guidance: Maybe<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k: Option<f32>,
    /// The KL budget of a step in nats, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_kl: Option<f32>,
    /// The KL budget of the answer in nats a token, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_kl: Option<f32>,
    /// The weights of the instructions, where they are not all 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// In a list: the judge of the draft, and why there is no score, if another answer stands in for the steered one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Judgement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge_error: Option<String>,
    /// With `--check`: what became of the instructed answer. It is this one if it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Checked>,
}

impl Answer {
    pub fn new(arm: Arm, answer: &engine::Answer) -> Answer {
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let (prefill, timings) = (&answer.prefill, &answer.timings);
        Answer {
            arm,
            text: answer.text.clone(),
            tokens: answer.tokens.len(),
            finish: answer.finish.name().to_owned(),
            mean_js: answer.mean_divergence,
            prompt: PromptTokens { shared: prefill.shared, decoded: prefill.decoded, reused: prefill.reused },
            ms: Times {
                prefill: ms(timings.prefill),
                decode: ms(timings.decode),
                sample: ms(timings.sample),
            },
            score: None,
            amplification: None,
            guidance: None,
            k: None,
            max_kl: None,
            mean_kl: None,
            weights: None,
            seed: None,
            judge: None,
            judge_error: None,
            check: None,
        }
    }

    /// With the weights of the instructions that it was steered by.
    pub fn weighted(self, instructions: &[Instruction]) -> Answer {
        let is_weighted = self.arm == Arm::Steered && instructions.iter().any(|one| one.weight != 1.0);
        Answer { weights: is_weighted.then(|| instructions.iter().map(|one| one.weight).collect()), ..self }
    }

    /// With what it was steered by.
    pub fn steered_by(self, score: Option<f64>, params: &Params, seed: u32) -> Answer {
        let is_steered = self.arm == Arm::Steered;
        Answer {
            score: Some(score.filter(|_| is_steered)),
            amplification: Some(is_steered.then_some(params.amplification)),
            guidance: Some(is_steered.then(|| params.guidance())),
            k: is_steered.then_some(params.k),
            max_kl: (is_steered && params.max_kl.is_finite()).then_some(params.max_kl),
            mean_kl: (is_steered && params.mean_kl.is_finite()).then_some(params.mean_kl),
            seed: Some(seed),
            ..self
        }
    }
}

/// An arm by its name.
mod arm {
    use sda::engine::Arm;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(arm: &Arm, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(arm.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arm, D::Error> {
        let name = String::deserialize(from)?;
        let arms = [Arm::Plain, Arm::Instructed, Arm::Steered];
        arms.into_iter()
            .find(|arm| arm.name() == name)
            .ok_or_else(|| D::Error::custom(format!("`{name}`, must be plain, instructed or steered")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::line;

    /// Lines as 0.1.0 wrote them.
    const LINES: [&str; 7] = [
        r#"{"arm":"steered","guidance":1.5,"js":0.09103322173681011,"logprob_instructed":-1.3011401857482054,"logprob_plain":-1.9843233834553753,"step":0,"temperature":0.6000000238418579,"text":"Hello","token":19556,"top_instructed":[[19556,"Hello",-1.3011401891708374]],"top_plain":null,"top_steered":[],"type":"token"}"#,
        r#"{"arm":"plain","guidance":null,"js":null,"logprob_instructed":null,"logprob_plain":-1.9843233834553753,"step":1,"temperature":0.0,"text":"","token":2,"type":"token"}"#,
        r#"{"judge":{"attempts":1,"cached":false,"ms":52.0,"name":"local","spread":28.9},"samples":[51.5],"score":51.5,"type":"judge"}"#,
        r#"{"error":"judge gave no score: no","judge":{"ms":0.0,"name":"m at h"},"on_failure":"plain","samples":null,"score":null,"type":"judge"}"#,
        r#"{"amplification":0.25,"arm":"steered","finish":"length","guidance":1.5,"k":2.0,"mean_js":0.09284969792118532,"ms":{"decode":633.63621,"prefill":2884.09743,"sample":0.29107500000000003},"prompt":{"decoded":44,"reused":0,"shared":27},"score":null,"seed":2988417527,"text":"Hello.","tokens":4,"type":"answer"}"#,
        r#"{"amplification":null,"arm":"plain","finish":"eog","guidance":null,"mean_js":null,"ms":{"decode":1.0,"prefill":2.0,"sample":0.5},"prompt":{"decoded":44,"reused":0,"shared":27},"score":null,"seed":1,"text":"","tokens":0,"type":"answer"}"#,
        r#"{"arm":"instructed","finish":"stop","mean_js":null,"ms":{"decode":1.0,"prefill":2.0,"sample":0.5},"prompt":{"decoded":44,"reused":0,"shared":27},"text":"a\nb","tokens":2,"type":"answer"}"#,
    ];

    #[test]
    fn what_was_written_is_read_and_written_again_byte_for_byte() {
        for text in LINES {
            let record = Record::read(text).unwrap().unwrap();
            assert_eq!(line(&record), text);
        }
    }

    #[test]
    fn unknown_fields_are_passed_over_and_unknown_types_are_told() {
        let more = LINES[0].replacen('{', r#"{"later":[1],"#, 1);
        assert_eq!(Record::read(&more), Record::read(LINES[0]));
        assert_eq!(Record::read(r#"{"type":"later","arm":3}"#), Ok(None));
    }

    #[test]
    fn a_wrong_field_is_named() {
        let cases = [
            (r#""js":0.09103322173681011,"#, "", "js is missing"),
            (r#""js":0.09103322173681011"#, r#""js":"x""#, "js is \"x\", must be a number"),
            (r#""step":0"#, r#""step":0.5"#, "step is 0.5, must be a whole number of at least 0"),
            (r#""arm":"steered""#, r#""arm":"left""#, "arm: `left`, must be plain, instructed or steered"),
            (r#""arm":"steered""#, r#""arm":3"#, "arm is 3, must be a text"),
            (
                r#""temperature":0.6000000238418579"#,
                r#""temperature":null"#,
                "temperature is null, must be a number",
            ),
            (r#"[19556,"Hello",-1.3011401891708374]"#, "[5]", "top_instructed[0]: invalid length 1"),
            (r#","type":"token""#, "", "type is missing"),
        ];
        for (from, to, why) in cases {
            assert!(LINES[0].contains(from), "{from}");
            let error = Record::read(&LINES[0].replace(from, to)).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
        assert!(Record::read("[1]").unwrap_err().starts_with("not a JSON object"));
    }
}
