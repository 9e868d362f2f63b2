//! The records that are measured on.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::args::{EvalArgs, Half};
use crate::failure::{Failure, Outcome};
use crate::input::{self, Source};
use crate::verbatim::Verbatim;

/// One record.
pub struct Item {
    /// Its `key` or `id`, or its place in the file.
    pub id: String,
    /// Place in the file, from 1.
    pub line: usize,
    /// The record as it was written.
    pub record: Verbatim,
    /// Score of a plain answer, if the record has one.
    pub score: Option<f64>,
}

/// All records of a run, in order.
pub struct Data {
    pub items: Vec<Item>,
}

impl Data {
    pub fn read(args: &EvalArgs) -> Outcome<Data> {
        let source = input::read(&args.data)?;
        let mut items = parse(&source)?;
        if let Some(half) = args.half {
            let skip = usize::from(half == Half::Second);
            items = items.into_iter().skip(skip).step_by(2).collect();
        }
        items.truncate(args.limit.unwrap_or(usize::MAX));
        if items.is_empty() {
            return Err(Failure::Failed(format!("{}: no record is left to measure on", source.name)));
        }
        Ok(Data { items })
    }
}

/// What is known of every record beside its name.
#[derive(Deserialize)]
struct Known {
    score: Option<f64>,
}

fn parse(source: &Source) -> Outcome<Vec<Item>> {
    let list: Vec<Box<RawValue>>;
    let records: Vec<(usize, &str)> = if source.text.trim_start().starts_with('[') {
        list = serde_json::from_str(&source.text)
            .map_err(|e| Failure::Failed(format!("{}: not a JSON list of records ({e})", source.name)))?;
        list.iter().enumerate().map(|(i, record)| (i + 1, record.get())).collect()
    } else {
        source.lines().collect()
    };
    let item = |(line, text): (usize, &str)| {
        let wrong = |why| source.wrong(line, why);
        let record = Verbatim::object(text).map_err(wrong)?;
        let Known { score } = input::object(text).map_err(wrong)?;
        // Other values are of no use as a name.
        let name = |field| record.fields().get(field).and_then(|value| value.name().ok().flatten());
        let id = name("id").or_else(|| name("key"));
        Ok(Item { id: id.unwrap_or_else(|| format!("line {line}")), line, record, score })
    };
    records.into_iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::message;

    fn parsed(text: &str) -> Outcome<Vec<Item>> {
        parse(&Source::new("d.jsonl", text))
    }

    #[test]
    fn lines_and_lists_are_the_same_records() {
        let lines =
            parsed("{\"key\": 7, \"score\": 40}\n\n{\"id\": \"x\", \"key\": 8}\n{\"id\":[]}").unwrap();
        let list = parsed(" [{\"key\": 7, \"score\": 40}, {\"id\": \"x\"}, {}]").unwrap();
        let ids = |items: &[Item]| items.iter().map(|item| item.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&lines), ["7", "x", "line 4"]);
        assert_eq!(ids(&list), ["7", "x", "line 3"]);
        assert_eq!((lines[0].score, lines[1].score), (Some(40.0), None));
    }

    #[test]
    fn bad_records_are_named_by_their_line() {
        let refused = |text| message(&parsed(text).err().unwrap()).to_owned();
        assert!(refused("{}\n{").starts_with("d.jsonl: line 2: not a JSON object"));
        assert!(refused("{}\n3").starts_with("d.jsonl: line 2: not a JSON object"));
        assert!(refused("[3").contains("list"));
        assert!(
            refused("{\"score\":\"high\"}")
                .starts_with("d.jsonl: line 1: score is \"high\", must be a number")
        );
    }
}
