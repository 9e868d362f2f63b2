//! The records that are measured on.

use serde_json::Value;

use super::args::{EvalArgs, Half};
use crate::failure::{Failure, Outcome};

/// One record.
pub struct Item {
    /// Its `key` or `id`, or its place in the file.
    pub id: String,
    /// Place in the file, from 1.
    pub line: usize,
    /// The record as it is.
    pub record: Value,
    /// Score of a plain answer, if the record has one.
    pub score: Option<f64>,
}

/// All records of a run, in order.
pub struct Data {
    pub items: Vec<Item>,
}

impl Data {
    pub fn read(args: &EvalArgs) -> Outcome<Data> {
        let shown = args.data.display();
        let fail = |why: String| Failure::Failed(format!("{shown}: {why}"));
        let text = std::fs::read_to_string(&args.data).map_err(|e| fail(e.to_string()))?;
        let mut items = parse(&text).map_err(fail)?;
        if let Some(half) = args.half {
            let skip = usize::from(half == Half::Second);
            items = items.into_iter().skip(skip).step_by(2).collect();
        }
        items.truncate(args.limit.unwrap_or(usize::MAX));
        match items.is_empty() {
            true => Err(Failure::Failed(format!("{shown}: no record is left to measure on"))),
            false => Ok(Data { items }),
        }
    }
}

fn parse(text: &str) -> Result<Vec<Item>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let records: Vec<(usize, Value)> = match text.trim_start().starts_with('[') {
        true => {
            let list: Vec<Value> =
                serde_json::from_str(text).map_err(|e| format!("not a JSON list of records ({e})"))?;
            list.into_iter().enumerate().map(|(i, record)| (i + 1, record)).collect()
        }
        false => {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let parsed = lines.map(|(i, line)| {
                let record = serde_json::from_str(line).map_err(|e| format!("line {}: {e}", i + 1))?;
                Ok((i + 1, record))
            });
            parsed.collect::<Result<_, String>>()?
        }
    };
    records
        .into_iter()
        .map(|(line, record)| {
            if !record.is_object() {
                return Err(format!("record {line} is no JSON object"));
            }
            let id = ["id", "key"].iter().find_map(|name| match &record[*name] {
                Value::String(id) => Some(id.clone()),
                Value::Number(id) => Some(id.to_string()),
                _ => None,
            });
            let score = record["score"].as_f64();
            Ok(Item { id: id.unwrap_or_else(|| format!("line {line}")), line, record, score })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_lists_are_the_same_records() {
        let lines = parse("{\"key\": 7, \"score\": 40}\n\n{\"id\": \"x\"}\n{}").unwrap();
        let list = parse(" [{\"key\": 7, \"score\": 40}, {\"id\": \"x\"}, {}]").unwrap();
        let ids = |items: &[Item]| items.iter().map(|item| item.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&lines), ["7", "x", "line 4"]);
        assert_eq!(ids(&list), ["7", "x", "line 3"]);
        assert_eq!((lines[0].score, lines[1].score), (Some(40.0), None));
    }

    #[test]
    fn bad_records_are_named_by_their_line() {
        assert!(parse("{}\n{").err().unwrap().starts_with("line 2: "));
        assert!(parse("{}\n3").err().unwrap().contains("record 2"));
        assert!(parse("[3").err().unwrap().contains("list"));
    }
}
