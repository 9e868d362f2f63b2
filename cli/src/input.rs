//! What the command reads: text files, and JSON Lines.
//!
//! All text comes through [`read`], so that a byte order mark, text that is not UTF-8 and `-` for standard input mean
//! the same everywhere. Errors name the file and the line.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::string::FromUtf8Error;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::failure::{Failure, Outcome};

/// A JSON object as it was read, with all its fields. Numbers beyond f64 cannot be read: see [`crate::verbatim`].
pub type Fields = serde_json::Map<String, serde_json::Value>;

/// A whole text file.
#[derive(Debug)]
pub struct Source {
    /// As messages call it: its path, or "standard input".
    pub name: String,
    /// Without a byte order mark.
    pub text: String,
}

/// Reads a file; `-` is standard input.
pub fn read(path: &Path) -> Outcome<Source> {
    let mut bytes = Vec::new();
    let (name, read) = if path.as_os_str() == "-" {
        ("standard input".to_owned(), io::stdin().read_to_end(&mut bytes).map(drop))
    } else {
        (path.display().to_string(), std::fs::read(path).map(|read| bytes = read))
    };
    match read {
        Ok(()) => Source::of(name, bytes),
        Err(error) => Err(Failure::Failed(format!("{name}: {error}"))),
    }
}

/// A whole text file without its last line end.
pub fn read_text(path: &Path) -> Outcome<String> {
    let mut text = read(path)?.text;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The next line of what the user types, without its end; None at the end of input.
pub fn read_line(from: &mut impl BufRead, is_first: bool) -> Outcome<Option<String>> {
    let fail = |why: &dyn Display| Failure::Failed(format!("standard input: {why}"));
    let mut bytes = Vec::new();
    if from.read_until(b'\n', &mut bytes).map_err(|e| fail(&e))? == 0 {
        return Ok(None);
    }
    let mut text = String::from_utf8(bytes).map_err(|e| fail(&not_utf8(&e)))?;
    if is_first {
        drop_mark(&mut text);
    }
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}

fn not_utf8(error: &FromUtf8Error) -> String {
    format!("not UTF-8 ({error})")
}

/// Drops a byte order mark.
fn drop_mark(text: &mut String) {
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
}

impl Source {
    /// What is in a file of this name.
    pub fn of(name: String, bytes: Vec<u8>) -> Outcome<Source> {
        match String::from_utf8(bytes) {
            Ok(mut text) => {
                drop_mark(&mut text);
                Ok(Source { name, text })
            }
            Err(error) => Err(Failure::Failed(format!("{name}: {}", not_utf8(&error)))),
        }
    }

    #[cfg(test)]
    pub fn new(name: &str, text: impl Into<String>) -> Source {
        Source { name: name.into(), text: text.into() }
    }

    /// The lines that are not blank, with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        lines.filter(|(_, line)| !line.trim().is_empty())
    }

    /// A line of it, as messages call it.
    pub fn place(&self, line: usize) -> String {
        format!("{}: line {line}", self.name)
    }

    /// A failure on a line.
    pub fn wrong(&self, line: usize, why: impl Display) -> Failure {
        Failure::Failed(format!("{}: {why}", self.place(line)))
    }
}

/// What is wrong with JSON, and in which field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Path of the field, such as `messages[0].role`; empty for the whole.
    pub field: String,
    /// A sentence that names the field.
    pub why: String,
}

/// Reads a JSON object.
///
/// # Errors
/// A sentence that says what is wrong, and in which field.
pub fn object<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    object_at(text).map_err(|misfit| misfit.why)
}

/// The same, with the field by itself.
pub fn object_at<T: DeserializeOwned>(text: &str) -> Result<T, Misfit> {
    // What nobody asks for is not read, so that no number is too large.
    let _: BTreeMap<String, IgnoredAny> = serde_json::from_str(text)
        .map_err(|e| Misfit { field: String::new(), why: format!("not a JSON object ({e})") })?;
    typed_at(&mut serde_json::Deserializer::from_str(text))
}

/// The type that JSON which is already parsed stands for.
///
/// # Errors
/// A sentence that names the field.
pub fn typed<'de, T, D>(json: D) -> Result<T, String>
where
    T: Deserialize<'de>,
    D: Deserializer<'de, Error = serde_json::Error>,
{
    typed_at(json).map_err(|misfit| misfit.why)
}

fn typed_at<'de, T, D>(json: D) -> Result<T, Misfit>
where
    T: Deserialize<'de>,
    D: Deserializer<'de, Error = serde_json::Error>,
{
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "" } else { &path };
        let error = error.into_inner();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let why = error.to_string();
        let why = why.strip_suffix(&place).unwrap_or(&why);
        let at = if path.is_empty() { String::new() } else { format!("{path}: ") };
        for (words, is) in [("missing field `", "is missing"), ("duplicate field `", "is given twice")] {
            let Some(field) = why.strip_prefix(words).and_then(|rest| rest.strip_suffix('`')) else {
                continue;
            };
            let whole = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
            return Misfit { field: whole, why: format!("{at}{field} {is}") };
        }
        let why = match wrong_type(why) {
            Some((got, expected)) if !path.is_empty() => format!("{path} is {got}, must be {expected}"),
            _ => format!("{at}{why}"),
        };
        Misfit { field: path.to_owned(), why }
    })
}

/// The value and what it should be, out of serde's words for it.
fn wrong_type(why: &str) -> Option<(&str, &str)> {
    // A list that serde tries to take for a struct.
    if why.starts_with("invalid length ") && why.contains(", expected struct ") {
        return Some(("a list", "an object"));
    }
    let rest = why.strip_prefix("invalid type: ").or_else(|| why.strip_prefix("invalid value: "))?;
    let (got, expected) = rest.rsplit_once(", expected ")?;
    // "integer `3`" and "string \"x\"" tell the value; "map" and "null" have none.
    let value = got.find(['`', '"']).map_or(got, |at| got[at..].trim_matches('`'));
    let expected = match expected {
        "a string" => "a text",
        "f32" | "f64" => "a number",
        "u32" | "u64" | "usize" => "a whole number of at least 0",
        "i32" | "i64" => "a whole number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        // "struct Message", by a name that nobody outside knows.
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    Some((value, expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::message;

    #[test]
    fn a_byte_order_mark_is_no_text_and_lines_keep_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        std::fs::write(&path, b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n{\"a\":2}\n").unwrap();
        let source = read(&path).ok().unwrap();
        assert_eq!(source.lines().collect::<Vec<_>>(), [(1, "{\"a\":1}"), (4, "{\"a\":2}")]);
        std::fs::write(&path, b"\xef\xbb\xbftext\r\n\r\n").unwrap();
        assert_eq!(read_text(&path).ok().unwrap(), "text\r\n", "one line end");
    }

    #[test]
    fn an_error_names_file_line_and_field() {
        #[derive(Debug, Deserialize)]
        struct Record {
            #[allow(dead_code, reason = "only read")]
            seed: u32,
        }
        for (text, why) in [
            ("{\"seed\":1}\n[1]", "x.jsonl: line 2: not a JSON object (invalid type: sequence"),
            ("\n{\"seed\":1", "x.jsonl: line 2: not a JSON object (EOF"),
            ("{\"seed\":-1}", "x.jsonl: line 1: seed is -1, must be a whole number of at least 0"),
            (
                "{\"seed\":\"a, b\"}",
                "x.jsonl: line 1: seed is \"a, b\", must be a whole number of at least 0",
            ),
            ("{\"seed\":{}}", "x.jsonl: line 1: seed is map, must be"),
            ("{}", "x.jsonl: line 1: seed is missing"),
            ("{\"seed\":1,\"seed\":2}", "x.jsonl: line 1: seed is given twice"),
            ("{\"seed\":1}\n{\"seed\":1e999}", "x.jsonl: line 2: seed: number out of range"),
        ] {
            let source = Source::new("x.jsonl", text);
            let failures = source
                .lines()
                .filter_map(|(line, text)| object::<Record>(text).err().map(|why| source.wrong(line, why)));
            let failure = failures.take(1).last().unwrap();
            assert!(message(&failure).starts_with(why), "{}", message(&failure));
        }
        assert!(message(&read(Path::new("no-such.txt")).unwrap_err()).starts_with("no-such.txt: "));
        let binary = Source::of("x.jsonl".into(), vec![0xff]).unwrap_err();
        assert!(message(&binary).starts_with("x.jsonl: not UTF-8"));
    }
}
