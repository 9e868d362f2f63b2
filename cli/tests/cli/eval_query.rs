//! Several answers to a record, answers that the records hold, and a model that finds their queries.

use serde_json::{Value, json};

use crate::command::model;
use crate::lab::{Lab, report, row};

/// Two queries with answers of their own: one that answers, one that would do for anything.
fn answered() -> Vec<Value> {
    let record = |key: u32, prompt: &str, on: &str| {
        json!({ "key": key, "prompt": prompt, "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}],
                "on": on, "off": "Sure, here you are, as you wished." })
    };
    vec![
        record(1, "Describe bread.", "Bread is baked from flour and water."),
        record(2, "What is special about chess?", "Chess is a game for two players on a board."),
        record(3, "Tell me something about the moon.", "The moon circles the Earth once a month."),
    ]
}

#[test]
fn a_record_is_answered_as_often_as_asked_and_counts_once() {
    let lab = Lab::new(&answered());
    let args = ["--arms", "plain,guidance=2", "--repeat", "2", "-n", "6", "--parallel", "1", "--json"];
    let once = report(&lab.run("ifeval", &args));
    assert_eq!(row(&once, "prompt_strict", "all", "guidance=2")["n"], 3);
    let results = lab.results("out.jsonl");
    assert_eq!(results.len(), 12);
    let seeds = |arm: &str| -> Vec<u64> {
        let of_arm = results.iter().filter(|result| result["arm"] == arm && result["item"]["key"] == 1);
        of_arm.map(|result| result["seed"].as_u64().unwrap()).collect()
    };
    assert_eq!(seeds("plain").len(), 2);
    assert_ne!(seeds("plain")[0], seeds("plain")[1]);
    assert_eq!(seeds("plain"), seeds("guidance=2"), "the same in all arms");
    // Nothing is left to do, and further answers join those that are there.
    let more = [&args[..3], &["3"], &args[4..]].concat();
    report(&lab.run("ifeval", &more));
    assert_eq!(lab.results("out.jsonl")[..12], results);
    assert_eq!(lab.results("out.jsonl").len(), 18);
}

#[test]
fn a_model_finds_the_query_of_an_answer_that_keeps_to_it() {
    let lab = Lab::new(&answered());
    let model = model();
    let args = ["--arms", "given=on,given=off", "--query-model", &model, "--json"];
    let report = report(&lab.run("ifeval", &args));
    let value = |metric: &str, arm: &str| row(&report, metric, "all", arm)["value"].as_f64().unwrap();
    assert_eq!(value("query_found", "given=on"), 1.0);
    assert_eq!(value("strict_query_found", "given=on"), 1.0);
    assert!(value("query_found", "given=off") <= 1.0 / 3.0, "one text cannot be the answer to each query");
    assert_eq!(value("strict_query_found", "given=off"), 0.0, "it has commas");
    let found: Vec<Value> =
        lab.results("out.jsonl").into_iter().filter(|result| !result["lifts"].is_null()).collect();
    assert_eq!(found.len(), 6);
    assert!(found.iter().all(|result| result["lifts"].as_array().unwrap().len() == 3));
}

#[test]
fn a_record_without_the_given_field_has_failed() {
    let mut records = answered();
    records[1].as_object_mut().unwrap().remove("on");
    let lab = Lab::new(&records);
    let output = lab.run("ifeval", &["--arms", "given=on", "--json"]);
    let report = report(&output);
    let row = row(&report, "prompt_strict", "all", "given=on");
    assert_eq!((row["n"].as_u64(), row["failed"].as_u64()), (Some(2), Some(1)));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no text \"on\""));
}

#[test]
fn options_of_ifeval_alone_are_refused_elsewhere() {
    let lab = Lab::new(&answered());
    for (option, value) in [("--repeat", "2"), ("--query-model", "x.gguf")] {
        let output = lab.run("truthfulqa-mc", &[option, value]);
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(option));
    }
}
