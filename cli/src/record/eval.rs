//! Results of single items in `sda eval`, and the report that is made of them.

use serde::{Deserialize, Serialize};

use crate::input;

/// A result of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EvalResult {
    Answer(EvalAnswer),
    Likelihoods(Likelihoods),
    Comparison(Comparison),
    Recognition(Recognition),
}

/// An answer of an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalAnswer {
    pub answer: String,
    /// Why it ended.
    pub finish: String,
    /// How many tokens it has.
    pub tokens: usize,
    pub mean_js: Option<f64>,
    pub seed: u32,
    /// The score that it was steered by, if it was.
    pub score: Option<f64>,
    /// None where nothing is steered.
    pub guidance: Option<f64>,
}

/// Log-likelihoods of given answers in nats; null where one is not finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likelihoods {
    pub answers: Vec<String>,
    /// At temperature 1.
    pub untempered: Vec<Option<f64>>,
    /// At the temperature that tokens are drawn at.
    pub tempered: Vec<Option<f64>>,
    pub guidance: f64,
    pub score: Option<f64>,
}

/// What a judge said of two answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// 1 won, -1 lost, 0 tied.
    pub outcome: f64,
    pub score_as_first: f64,
    pub score_as_second: f64,
    pub judge: String,
    /// The arm whose answer it was compared with.
    pub against: String,
}

/// Which of some queries a model takes an answer for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recognition {
    /// The query that was answered is the likeliest one.
    pub query_found: bool,
    /// How much more likely the answer makes each query, in nats: first the one that was answered.
    pub lifts: Vec<f64>,
    pub query_model: String,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "eval")]
pub struct EvalReport {
    pub task: String,
    pub model: Option<String>,
    #[serde(default)]
    pub items: usize,
    #[serde(default)]
    pub seed: u32,
    #[serde(default)]
    pub instruction: String,
    /// Share of the draws inside the intervals.
    pub confidence: Option<f64>,
    #[serde(default)]
    pub resamples: u32,
    pub metrics: Vec<EvalRow>,
}

impl EvalReport {
    /// Reads a report.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn read(text: &str) -> Result<EvalReport, String> {
        #[derive(Deserialize)]
        struct Head {
            r#type: String,
        }
        match input::object::<Head>(text)?.r#type.as_str() {
            "eval" => input::object(text),
            other => Err(format!("type is `{other}`, must be eval")),
        }
    }
}

/// A number of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalRow {
    pub metric: String,
    /// Which items; without it all of them.
    pub category: Option<String>,
    pub arm: String,
    /// Items behind the value.
    pub n: Option<u64>,
    /// Items without a verdict.
    pub failed: Option<u64>,
    /// The value and its interval; null if every item failed.
    pub value: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// The difference to another arm on the items that both have, with its interval.
    pub diff_to: Option<String>,
    pub diff: Option<f64>,
    pub diff_low: Option<f64>,
    pub diff_high: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::line;

    #[test]
    fn results_and_reports_are_written_as_they_were_read() {
        // As 0.1.0 wrote them, without key and item.
        for text in [
            r#"{"answer":"A","finish":"eog","guidance":null,"mean_js":null,"score":null,"seed":5,"tokens":1}"#,
            r#"{"answers":["a","b"],"guidance":1.5,"score":30.0,"tempered":[-1.5,null],"untempered":[-1.0,-2.0]}"#,
            r#"{"lifts":[2.5,-1.0],"query_found":true,"query_model":"m.gguf"}"#,
            r#"{"against":"plain","judge":"m at h","outcome":-1.0,"score_as_first":90.0,"score_as_second":10.0}"#,
        ] {
            let result: EvalResult = input::object(text).unwrap();
            assert_eq!(line(&result), text);
        }
        let report = r#"{"confidence":0.95,"instruction":"x","items":2,"metrics":[{"arm":"sda","category":"all","diff":0.5,"diff_high":1.0,"diff_low":0.0,"diff_to":"instructed","failed":0,"high":1.0,"low":0.5,"metric":"mc1","n":2,"value":0.75},{"arm":"plain","category":"all","diff":null,"diff_high":null,"diff_low":null,"diff_to":null,"failed":2,"high":null,"low":null,"metric":"mc1","n":0,"value":null}],"model":"m","resamples":2000,"seed":1,"task":"truthfulqa-mc","type":"eval"}"#;
        assert_eq!(line(&EvalReport::read(report).unwrap()), report);
    }

    #[test]
    fn what_is_no_report_is_refused_with_the_reason() {
        let cases = [
            ("[]", "not a JSON object"),
            (r#"{"task":"x"}"#, "type is missing"),
            (r#"{"type":"bench"}"#, "type is `bench`, must be eval"),
            (r#"{"type":"eval","task":"x"}"#, "metrics is missing"),
            (
                r#"{"type":"eval","task":"x","metrics":[{"metric":"m","arm":3}]}"#,
                "metrics[0].arm is 3, must be a text",
            ),
        ];
        for (text, why) in cases {
            let error = EvalReport::read(text).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
