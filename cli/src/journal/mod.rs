//! Many records in, many out: JSON Lines files that a killed run can go on with.
//!
//! [`read`] takes the input. Each piece of work has a key: the record's `id` or else its line number, and a
//! fingerprint of the record and of the settings that its result depends on. [`Journal`] writes the results, one line
//! for each key, and knows which ones its file holds already:
//!
//! 1. `let records = journal::read(&path)?`, and for each `let input = record.input(query, arm, &settings)`
//! 2. `let mut journal = Journal::open(output, &inputs, restart)?`
//! 3. for every input for which `journal.result(&input.key)` is `None`: work, then
//!    `journal.append(&input, result)?`, which writes the result's fields, and the record as it was in one of its own.
//!
//! A result with a field `error` has failed: the next run drops it and does the work again. Every line is
//! written by one call, so a killed process leaves at most one torn line at the end, which the next run
//! cuts off. While a journal is open, no other process can open its file.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod given;
mod locked;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::failure::{Failure, Outcome};
use crate::fingerprint;
use crate::input::{self, Fields};
use crate::verbatim::Verbatim;

use locked::Locked;

pub use given::{Given, read};

/// What a result's line begins with, which tells a torn one from somebody else's text.
const KEY: &str = "{\"key\":\"";

/// Fields of a result that hold somebody's record, as it was.
pub const RECORD: &str = "record";
/// As [`RECORD`], in evaluations.
pub const ITEM: &str = "item";

/// One piece of work.
#[derive(Clone, Debug)]
pub struct Input {
    /// Line of the file, from 1, for messages.
    pub line: usize,
    /// Its `id`, or "line N".
    pub name: String,
    /// What its result is found by.
    pub key: String,
    /// What stands beside the result's fields.
    fields: BTreeMap<&'static str, Verbatim>,
}

impl Input {
    /// `hashed` is everything that its result depends on: a journal with results of anything else is refused.
    pub fn new(
        line: usize,
        name: String,
        fields: impl IntoIterator<Item = (&'static str, Verbatim)>,
        hashed: &impl Serialize,
    ) -> Input {
        let key = format!("{name}#{}", fingerprint::of(hashed));
        Input { line, name, key, fields: fields.into_iter().collect() }
    }
}

/// Where results go.
#[derive(Debug)]
pub struct Journal<R> {
    to: To,
    results: HashMap<String, R>,
    failed: HashMap<String, Fields>,
}

#[derive(Debug)]
enum To {
    Stdout,
    File {
        path: PathBuf,
        file: Locked,
        /// The file that was replaced when failed results were dropped. It stays locked, so that a process
        /// that opened it before the exchange cannot write to what is no longer there.
        _replaced: Option<Locked>,
    },
}

impl<R: Serialize + DeserializeOwned> Journal<R> {
    /// Opens a file to go on with it, or makes it; `None` is standard output, which holds nothing.
    ///
    /// The file may only hold results of `inputs`; otherwise it is left as it is. With `restart`, results
    /// that are there are dropped.
    pub fn open(path: Option<&Path>, inputs: &[Input], restart: bool) -> Outcome<Journal<R>> {
        let Some(path) = path else {
            return Ok(Journal { to: To::Stdout, results: HashMap::new(), failed: HashMap::new() });
        };
        Journal::open_file(path, inputs, restart)
            .map_err(|why| Failure::Failed(format!("{}: {why}", path.display())))
    }

    fn open_file(path: &Path, inputs: &[Input], restart: bool) -> Result<Journal<R>, String> {
        let mut file = Locked::open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        let Held { results, whole, needs_newline, failed } = held(&bytes, inputs, restart)?;
        let mut replaced = None;
        if restart {
            file.set_len(0).map_err(|e| e.to_string())?;
        } else if !failed.is_empty() {
            // Written beside and exchanged, so that a kill at this moment loses nothing.
            let beside = beside(path);
            let mut new = Locked::open(&beside)?;
            new.set_len(0).map_err(|e| e.to_string())?;
            for line in bytes[..whole].split_inclusive(|&b| b == b'\n') {
                if !has_failed(&result(line)?.1) {
                    let end: &[u8] = if line.ends_with(b"\n") { b"" } else { b"\n" };
                    new.write_all(&[line, end].concat()).map_err(|e| e.to_string())?;
                }
            }
            new.sync_data().and_then(|()| std::fs::rename(&beside, path)).map_err(|e| e.to_string())?;
            replaced = Some(std::mem::replace(&mut file, new));
        } else {
            file.set_len(whole as u64).map_err(|e| e.to_string())?;
            if needs_newline {
                file.write_all(b"\n").map_err(|e| e.to_string())?;
            }
        }
        file.seek(SeekFrom::End(0)).map_err(|e| e.to_string())?;
        let to = To::File { path: path.to_owned(), file, _replaced: replaced };
        Ok(Journal { to, results, failed })
    }

    /// The result of an earlier run, or one that was appended by this one and has not failed.
    pub fn result(&self, key: &str) -> Option<&R> {
        self.results.get(key)
    }

    /// What an earlier run wrote beside the `error` of work that has failed and is to be done again.
    pub fn failed(&self, key: &str) -> Option<&Fields> {
        self.failed.get(key)
    }

    /// True if results are kept in a file, for a run that is continued.
    pub fn is_kept(&self) -> bool {
        matches!(self.to, To::File { .. })
    }

    /// How many results there are, those not counted that have failed.
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// Writes the result of an input.
    pub fn append(&mut self, input: &Input, result: R) -> Outcome {
        self.write(input, &result)?;
        self.results.insert(input.key.clone(), result);
        Ok(())
    }

    /// Writes that an input failed. `failed` has a field `error`, and may keep what the next try can use.
    pub fn append_failure(&mut self, input: &Input, failed: &impl Serialize) -> Outcome {
        self.write(input, failed)
    }

    fn write(&mut self, input: &Input, result: &impl Serialize) -> Outcome {
        let line = line(input, result);
        let failed = |to: &str, e: io::Error| Failure::Failed(format!("{to}: {e}"));
        match &mut self.to {
            To::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(line.as_bytes())
                    .and_then(|()| out.flush())
                    .map_err(|e| failed("standard output", e))
            }
            To::File { path, file, .. } => {
                file.write_all(line.as_bytes()).map_err(|e| failed(&path.display().to_string(), e))
            }
        }
    }
}

/// The result of an input as a line of a file.
fn line(input: &Input, result: &impl Serialize) -> String {
    let result = Verbatim::of(result).fields();
    let mut named: BTreeMap<&str, &Verbatim> =
        input.fields.iter().map(|(name, value)| (*name, value)).collect();
    named.extend(result.iter().map(|(name, value)| (name.as_str(), value)));
    let fields = named.iter().map(|(name, value)| format!(",{}:{}", Value::from(*name), value.as_str()));
    format!("{{\"key\":{}{}}}\n", Value::from(input.key.as_str()), fields.collect::<String>())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// What a file holds.
struct Held<R> {
    results: HashMap<String, R>,
    /// Bytes that are whole lines.
    whole: usize,
    /// The last line is whole but for its end.
    needs_newline: bool,
    /// Results that have failed.
    failed: HashMap<String, Fields>,
}

fn held<R: DeserializeOwned>(bytes: &[u8], inputs: &[Input], restart: bool) -> Result<Held<R>, String> {
    let known: HashSet<&str> = inputs.iter().map(|input| input.key.as_str()).collect();
    let mut held = Held { results: HashMap::new(), whole: 0, needs_newline: false, failed: HashMap::new() };
    let mut seen = HashSet::new();
    for (n, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
        let at = |why: String| format!("line {}: {why}", n + 1);
        let (key, fields) = match result(line) {
            Ok(result) => result,
            // Cut off by a kill or a full disk: the beginning of a result at the end of the file.
            Err(_) if !line.ends_with(b"\n") && is_torn(line) => break,
            Err(why) => return Err(at(format!("{why}, so the file is left as it is"))),
        };
        held.whole += line.len();
        held.needs_newline = !line.ends_with(b"\n");
        if restart {
            continue;
        }
        if !known.contains(key.as_str()) {
            return Err(at(unknown(&key)));
        }
        if !seen.insert(key.clone()) {
            return Err(at(format!("the result \"{key}\" is there twice")));
        }
        if has_failed(&fields) {
            held.failed.insert(key, fields);
        } else {
            let result = input::typed(&fields).map_err(|why| {
                at(format!("not a result of this command ({why}), so the file is left as it is"))
            })?;
            held.results.insert(key, result);
        }
    }
    Ok(held)
}

/// Why a result cannot be taken for one of this run.
fn unknown(key: &str) -> String {
    let print = key.rsplit_once('#').map_or(key, |(_, print)| print);
    if fingerprint::is_of_first_version(print) {
        return format!(
            "the result \"{key}\" was written by sda 0.1.0, and this version cannot tell whether input and settings \
             are the same: finish it with 0.1.0, name another file, or start over"
        );
    }
    format!("the result \"{key}\" belongs to other input or settings: name another file, or start over")
}

fn has_failed(fields: &Fields) -> bool {
    fields.get("error").is_some_and(|error| !error.is_null())
}

/// The key of a line, and its fields but for what was somebody's: the record, and an `id` that may be a number beyond
/// f64.
fn result(line: &[u8]) -> Result<(String, Fields), String> {
    let read = || {
        let mut texts: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(line).ok()?;
        let key = texts.remove("key").filter(|_| line.starts_with(KEY.as_bytes()))?;
        texts.retain(|name, _| ![RECORD, ITEM, "id"].contains(&name.as_str()));
        let field =
            |(name, text): (String, Box<RawValue>)| Some((name, serde_json::from_str(text.get()).ok()?));
        let fields: Option<Fields> = texts.into_iter().map(field).collect();
        Some((serde_json::from_str(key.get()).ok()?, fields?))
    };
    read().ok_or_else(|| "not a result of this command".to_owned())
}

fn is_torn(line: &[u8]) -> bool {
    let length = line.len().min(KEY.len());
    line[..length] == KEY.as_bytes()[..length]
}

#[cfg(test)]
mod tests;
