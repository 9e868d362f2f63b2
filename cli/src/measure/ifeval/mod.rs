//! Verifiable instructions: what IFEval asks for, checked by a program (arXiv 2311.07911).
//!
//! All 25 kinds of instructions, with the four numbers that are reported for them: the share of prompts all
//! of whose instructions were followed and the share of instructions, each strictly and loosely. Loosely,
//! an instruction also counts if it is followed once asterisks, the first line, the last line or several of
//! these are taken away.
//!
//! Checks do what the published ones do, Python's notions of words, white space and JSON included, with these
//! differences: sentences end where Unicode's rules and
//! a list of abbreviations say (there: a trained model), languages are detected by `whatlang` (there:
//! `langdetect`, whose answers differ from call to call), and a letter to count may be any character (there:
//! one that is not a letter is replaced by a random letter).

mod check;
mod instruction;
#[cfg(test)]
mod published;
mod python;
mod text;
mod treebank;

pub use instruction::Instruction;

use serde::Deserialize;

use super::Part;
use crate::input::{self, Fields};
use python::strip;

/// One prompt with its instructions, in IFEval's own field names.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The prompt, which contains the instructions in words.
    pub prompt: String,
    /// Their ids, such as `punctuation:no_comma`.
    pub ids: Vec<String>,
    /// What they ask for.
    pub instructions: Vec<Instruction>,
    /// Words one of which an answer to the query is bound to hold, in the singular; empty where the record
    /// names none. Not a field of IFEval's: it distinguishes answers that follow an instruction from answers
    /// that do so because they say nothing else.
    pub topic: Vec<String>,
}

/// A record as it is published.
#[derive(Deserialize)]
struct Published {
    prompt: String,
    #[serde(rename = "instruction_id_list")]
    ids: Vec<String>,
    kwargs: Vec<Option<Fields>>,
    topic: Option<Vec<String>>,
}

impl Record {
    /// Reads a record with `prompt`, `instruction_id_list`, `kwargs` and perhaps `topic`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn read(record: &str) -> Result<Record, String> {
        let Published { prompt, ids, kwargs, topic } = input::object(record)?;
        if prompt.trim().is_empty() {
            return Err("\"prompt\" is empty".into());
        }
        if ids.is_empty() || kwargs.len() != ids.len() {
            return Err(format!("{} instructions with {} kwargs", ids.len(), kwargs.len()));
        }
        let arguments = kwargs.into_iter().map(Option::unwrap_or_default);
        let instructions: Result<Vec<Instruction>, String> =
            ids.iter().zip(arguments).map(|(id, arguments)| Instruction::read(id, &arguments)).collect();
        Ok(Record { prompt, instructions: instructions?, ids, topic: topic.unwrap_or_default() })
    }

    /// The instructions again, in words: what the instructed branch gets besides the prompt.
    pub fn instruction(&self) -> String {
        self.parts().collect::<Vec<String>>().join(" ")
    }

    /// Each instruction in words.
    pub fn parts(&self) -> impl Iterator<Item = String> {
        self.instructions.iter().map(Instruction::describe)
    }

    /// Checks a response, as it is after any reasoning is cut and otherwise verbatim.
    pub fn check(&self, response: &str) -> Verdict {
        let loose = loosened(response);
        let followed =
            |instruction: &Instruction, text: &str| !strip(text).is_empty() && instruction.is_followed(text);
        Verdict {
            strict: self.instructions.iter().map(|i| followed(i, response)).collect(),
            loose: self.instructions.iter().map(|i| loose.iter().any(|text| followed(i, text))).collect(),
            on_topic: self.keeps_to_topic(response),
        }
    }

    fn keeps_to_topic(&self, response: &str) -> Option<bool> {
        let names = |word: &String| {
            let whole = format!(r"\b{}(s|es)?\b", fancy_regex::escape(word));
            python::is_match(&check::pattern(&whole), response)
        };
        (!self.topic.is_empty()).then(|| self.topic.iter().any(names))
    }
}

/// Which instructions of a record were followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// By the response as it is.
    pub strict: Vec<bool>,
    /// By one of its loosened variants.
    pub loose: Vec<bool>,
    /// Whether the response holds a word of the topic, if the record names one.
    pub on_topic: Option<bool>,
}

impl Verdict {
    /// All instructions are followed, strictly.
    pub fn is_followed(&self) -> bool {
        self.strict.iter().all(|&followed| followed)
    }

    /// What this response adds to the four numbers, with their names. Records with a topic have two more:
    /// whether the response keeps to it, and whether it does so and follows all instructions, strictly.
    pub fn parts(&self) -> Vec<(&'static str, Part)> {
        let prompt = |followed: &[bool]| Part::one(f64::from(followed.iter().all(|&f| f)));
        let instructions = |followed: &[bool]| Part {
            hits: followed.iter().filter(|&&f| f).count() as f64,
            count: followed.len() as f64,
        };
        let mut parts = vec![
            ("prompt_strict", prompt(&self.strict)),
            ("instruction_strict", instructions(&self.strict)),
            ("prompt_loose", prompt(&self.loose)),
            ("instruction_loose", instructions(&self.loose)),
        ];
        if let Some(on_topic) = self.on_topic {
            let both = on_topic && self.is_followed();
            parts.push(("on_topic", Part::one(f64::from(on_topic))));
            parts.push(("strict_on_topic", Part::one(f64::from(both))));
        }
        parts
    }
}

/// The response and what is left of it without asterisks, its first line, its last line, or several of
/// these.
fn loosened(response: &str) -> Vec<String> {
    let lines: Vec<&str> = response.split('\n').collect();
    let last = lines.len() - 1;
    let join = |from: usize, to: usize| lines.get(from..to).unwrap_or_default().join("\n");
    let join = |from, to| strip(&join(from, to)).to_owned();
    let cut = [response.to_owned(), join(1, lines.len()), join(0, last), join(1, last)];
    let bare = cut.clone().map(|text| text.replace('*', ""));
    cut.into_iter().chain(bare).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(record: &Value) -> Result<Record, String> {
        Record::read(&record.to_string())
    }

    fn record() -> Record {
        read(&json!({
            "key": 1, "prompt": "Write.",
            "instruction_id_list": ["punctuation:no_comma", "detectable_format:number_bullet_lists"],
            "kwargs": [{}, {"num_bullets": 2, "relation": null}],
        }))
        .unwrap()
    }

    #[test]
    fn the_four_numbers_count_prompts_and_instructions_strictly_and_loosely() {
        let verdict = record().check("Sure, here:\n- a\n- b");
        assert_eq!((verdict.strict.clone(), verdict.loose.clone()), (vec![false, true], vec![true, true]));
        let parts: Vec<_> =
            verdict.parts().into_iter().map(|(name, part)| (name, part.hits, part.count)).collect();
        assert_eq!(
            parts,
            [
                ("prompt_strict", 0.0, 1.0),
                ("instruction_strict", 1.0, 2.0),
                ("prompt_loose", 1.0, 1.0),
                ("instruction_loose", 2.0, 2.0),
            ]
        );
    }

    #[test]
    fn an_empty_response_follows_nothing() {
        for text in ["", " \n"] {
            let verdict = record().check(text);
            assert_eq!((verdict.strict, verdict.loose), (vec![false; 2], vec![false; 2]), "{text:?}");
        }
        assert_eq!(record().check("***").strict, [true, false], "asterisks have no comma");
    }

    #[test]
    fn an_answer_keeps_to_the_topic_if_it_names_it() {
        let with_topic = Record { topic: vec!["bread".into(), "oven".into()], ..record() };
        let both = |text: &str| {
            let parts = with_topic.check(text).parts();
            let of = |name| parts.iter().find(|(other, _)| *other == name).unwrap().1.hits;
            (of("on_topic"), of("strict_on_topic"))
        };
        assert_eq!(both("- Bread\n- butter"), (1.0, 1.0));
        assert_eq!(both("- Ovens\n- breadth"), (1.0, 1.0));
        assert_eq!(both("- Breadth\n- butter"), (0.0, 0.0), "a word of its own");
        assert_eq!(both("Bread, butter"), (1.0, 0.0));
        assert_eq!(record().check("Bread").parts().len(), 4, "a record without a topic");
    }

    #[test]
    fn loosened_variants_are_those_of_the_published_check() {
        assert_eq!(
            loosened("*a*\nb\nc"),
            ["*a*\nb\nc", "b\nc", "*a*\nb", "b", "a\nb\nc", "b\nc", "a\nb", "b"]
        );
        assert_eq!(loosened("a"), ["a", "", "", "", "a", "", "", ""]);
    }

    #[test]
    fn records_that_cannot_be_checked_are_refused_with_the_reason() {
        let with =
            |ids: Value, kwargs: Value| json!({"prompt": "p", "instruction_id_list": ids, "kwargs": kwargs});
        let cases = [
            (json!({}), "prompt"),
            (with(json!(["punctuation:no_comma"]), json!([])), "1 instructions with 0 kwargs"),
            (with(json!(["punctuation:no_dash"]), json!([{}])), "punctuation:no_dash"),
            (with(json!(["length_constraints:number_words"]), json!([{"num_words": 3}])), "relation"),
            (with(json!(["language:response_language"]), json!([{"language": "tlh"}])), "tlh"),
            (
                json!({"prompt": "p", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}], "topic": 3}),
                "topic",
            ),
        ];
        for (record, word) in cases {
            let why = read(&record).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn the_instruction_says_in_words_what_the_ids_ask_for() {
        let text = record().instruction();
        assert!(text.contains("comma") && text.contains("exactly 2 bullet points"), "{text}");
    }
}
