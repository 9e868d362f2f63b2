//! The checks beside those of lm-evaluation-harness, on texts that tests/python/ifeval_published.py has generated.

use serde::Deserialize;

use super::Instruction;
use super::python::strip;
use crate::input::{self, Fields};

#[derive(Deserialize)]
struct Case {
    id: String,
    kwargs: Fields,
    text: String,
    followed: bool,
}

#[test]
fn every_check_says_what_the_published_one_says() {
    // Another run of the generator can be compared without building again.
    let cases = match std::env::var_os("SDA_IFEVAL_PUBLISHED") {
        Some(path) => std::fs::read_to_string(path).unwrap(),
        None => include_str!("published.jsonl").to_owned(),
    };
    let mut wrong = Vec::new();
    for line in cases.lines() {
        let case: Case = input::object(line).unwrap();
        let instruction = Instruction::read(&case.id, &case.kwargs).unwrap();
        let followed = !strip(&case.text).is_empty() && instruction.is_followed(&case.text);
        if followed != case.followed {
            wrong.push(line);
        }
    }
    assert!(cases.lines().count() > 500);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}
