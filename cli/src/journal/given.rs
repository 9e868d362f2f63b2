//! Somebody's records: what they ask for, and the words that they came in.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Input, RECORD};
use crate::failure::{Failure, Outcome};
use crate::fingerprint;
use crate::input::{self, Source};
use crate::verbatim::Verbatim;

/// A record of a file.
#[derive(Debug)]
pub struct Given {
    /// Line of the file, from 1.
    pub line: usize,
    /// Its `id`, or "line N".
    pub name: String,
    /// As it was written; of a result of `sda score`, the record that was scored.
    pub record: Verbatim,
    /// Score and error of that result, as they were written.
    result: BTreeMap<&'static str, Verbatim>,
    id: Option<Verbatim>,
}

/// Reads all records of a file; `-` is standard input. Blank lines are passed over.
pub fn read(path: &Path) -> Outcome<Vec<Given>> {
    parse(&input::read(path)?)
}

pub(super) fn parse(source: &Source) -> Outcome<Vec<Given>> {
    let mut all = Vec::new();
    let mut lines = HashMap::new();
    for (line, text) in source.lines() {
        let given = Given::new(line, text).map_err(|why| source.wrong(line, why))?;
        let same = (given.name.clone(), given.record.fields(), given.result.clone());
        if let Some(first) = lines.insert(format!("{same:?}"), line) {
            return Err(Failure::Failed(format!(
                "{}: lines {first} and {line} are the same record with the same \"id\"",
                source.name
            )));
        }
        all.push(given);
    }
    if all.is_empty() {
        return Err(Failure::Failed(format!("{}: holds no record, must hold at least 1", source.name)));
    }
    Ok(all)
}

impl Given {
    fn new(line: usize, text: &str) -> Result<Given, String> {
        let mut record = Verbatim::object(text)?;
        let mut result = BTreeMap::new();
        let mut fields = record.fields();
        if let Some(inner) = scored(&fields) {
            for name in ["score", "error"] {
                result.extend(fields.remove(name).map(|value| (name, value)));
            }
            record = inner;
            fields = record.fields();
        }
        let id = fields.remove("id");
        let name = id.as_ref().map_or(Ok(None), Verbatim::name)?;
        Ok(Given { line, name: name.unwrap_or_else(|| format!("line {line}")), record, result, id })
    }

    /// What the record says, without the fields that nobody here knows.
    ///
    /// # Errors
    /// A sentence that names the line and the field.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, String> {
        input::object(self.record.as_str()).map_err(|why| format!("line {}: {why}", self.line))
    }

    /// The score that `sda score` gave, or why there is none. None where the record is no such result.
    pub fn scored(&self) -> Option<Result<f64, String>> {
        let read = |name| self.result.get(name).map(Verbatim::as_str);
        match (read("error"), read("score")) {
            (Some(why), _) if why != "null" => {
                Some(Err(serde_json::from_str(why).unwrap_or_else(|_| why.to_owned())))
            }
            (_, score) => score.and_then(|score| serde_json::from_str(score).ok()).map(Ok),
        }
    }

    /// The work for it: one result, which says what was asked and holds the record. See [`Input::new`] for `settings`.
    pub fn input(&self, query: &str, arm: Option<&str>, settings: &impl Serialize) -> Input {
        let texts = self.record.fields();
        let fields = [
            ("arm", arm.map(|arm| Verbatim::of(&arm))),
            ("id", self.id.clone()),
            ("query", Some(Verbatim::of(&query))),
            (RECORD, Some(self.record.clone())),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let (line, name) = (self.line, self.name.clone());
        if self.result.is_empty() {
            Input::new(line, name, fields, &(settings, arm, texts))
        } else {
            // A list may hold a record with several scores.
            Input::new(line, name, fields, &(settings, arm, texts, &self.result))
        }
    }
}

/// The record in a result, which is told from a record with fields of these names by its key.
fn scored(fields: &BTreeMap<String, Verbatim>) -> Option<Verbatim> {
    let key: String = serde_json::from_str(fields.get("key")?.as_str()).ok()?;
    let (_, print) = key.rsplit_once('#')?;
    let record = fields.get(RECORD).filter(|_| fingerprint::is_of_this_version(print))?;
    Verbatim::object(record.as_str()).ok()
}
