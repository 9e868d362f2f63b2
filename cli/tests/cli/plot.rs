//! `sda plot` as its users meet it, from a trace of a real model to pictures.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const PIRATE: [&str; 4] = ["-p", "What is the capital of France?", "-i", "Answer like a pirate."];

fn sda(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sda"));
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

/// One thread: other tests run at the same time.
fn generate(args: &[&str]) -> Vec<Value> {
    let model = std::env::var("SDA_TEST_MODEL").expect("SDA_TEST_MODEL is not set: run `make test`");
    let output = sda(&[&["generate", "-m", &model, "-t", "1", "--json"], &PIRATE[..], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `(token, log-probability)` of a list in a record.
fn list(record: &Value, name: &str) -> Vec<(i64, f64)> {
    let items = record[name].as_array().unwrap_or_else(|| panic!("{name}: {record}"));
    items.iter().map(|item| (item[0].as_i64().unwrap(), item[2].as_f64().unwrap())).collect()
}

#[test]
fn records_hold_the_most_likely_tokens_of_each_distribution() {
    let records = generate(&["-n", "6", "--temp", "0", "--guidance", "2", "--trace-top", "20"]);
    let (_, tokens) = records.split_last().unwrap();
    assert!(!tokens.is_empty());
    for record in tokens {
        let lists = ["top_plain", "top_instructed", "top_steered"].map(|name| list(record, name));
        for list in &lists {
            assert_eq!(list.len(), 20);
            assert!(list.windows(2).all(|pair| pair[0].1 >= pair[1].1), "{list:?}");
            assert!(list.iter().map(|(_, logprob)| logprob.exp()).sum::<f64>() < 1.0 + 1e-6);
        }
        let [plain, instructed, steered] = &lists;
        assert_eq!(steered[0].0, record["token"].as_i64().unwrap(), "greedy takes the first");
        let of = |list: &[(i64, f64)], token| list.iter().find(|(id, _)| *id == token).map(|(_, lp)| *lp);
        for (list, field) in [(plain, "logprob_plain"), (instructed, "logprob_instructed")] {
            if let Some(logprob) = of(list, steered[0].0) {
                assert!((logprob - record[field].as_f64().unwrap()).abs() < 1e-4);
            }
        }
        // log P = log p + (log p - log q) + constant: differences of two tokens know no constant.
        let common: Vec<[f64; 3]> = steered
            .iter()
            .filter_map(|&(token, s)| Some([of(plain, token)?, of(instructed, token)?, s]))
            .collect();
        for pair in common.windows(2) {
            let [plain, instructed, steered] = [0, 1, 2].map(|i| pair[0][i] - pair[1][i]);
            assert!((steered - (2.0 * instructed - plain)).abs() < 1e-3, "{record}");
        }
    }
}

#[test]
fn a_branch_that_is_not_run_has_no_list_and_zero_turns_all_off() {
    let records = generate(&["-n", "1", "--temp", "0", "--compare"]);
    let of = |arm: &str| records.iter().find(|r| r["type"] == "token" && r["arm"] == arm).unwrap();
    assert_eq!(list(of("plain"), "top_plain").len(), 5);
    assert!(of("plain")["top_instructed"].is_null() && of("plain")["top_steered"].is_null());
    assert_eq!(list(of("instructed"), "top_instructed").len(), 5);
    assert!(of("instructed")["top_plain"].is_null());
    let without = generate(&["-n", "1", "--temp", "0", "--trace-top", "0"]);
    assert!(without[0].get("top_steered").is_none() && without[0]["logprob_plain"].is_number());
}

#[test]
fn every_picture_of_a_trace_is_made_from_what_generate_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let trace = path("trace.jsonl");
    let records = generate(&["-n", "5", "-s", "1", "--trace", &trace]);
    let read = |name: &str| std::fs::read(Path::new(&path(name))).unwrap();
    let plot = |args: &[&str], name: &str| {
        let output = sda(&[&["plot"], args, &["-o", &path(name)]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
        read(name)
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert!(text(plot(&["step", "--trace", &trace, "--step", "0"], "step.svg")).contains("steered"));
    assert!(plot(&["trace", &trace], "trace.png").starts_with(b"\x89PNG"));
    let page = text(plot(&["viewer", &trace], "viewer.html"));
    assert!(page.contains(&format!("\"token\":{}", records[0]["token"])));
}

#[test]
fn what_cannot_be_drawn_is_an_error_with_the_right_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("t.jsonl");
    std::fs::write(&trace, "{\"type\":\"token\",\"arm\":\"steered\"}\n").unwrap();
    let trace = trace.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["trace", trace, "-o", "x.gif"], 2, "x.gif: the file must end in .svg"),
        (&["trace", trace, "-o", "x.svg"], 1, "t.jsonl:1: step is missing, must be"),
        (&["trace", "no-such.jsonl", "-o", "x.svg"], 1, "no-such.jsonl: "),
        (&["temperature", "--sigma", "0", "-o", "x.svg"], 2, "sigma is 0, must be greater than 0"),
    ];
    for (args, status, message) in cases {
        let output = sda(&[&["plot"], args].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {text}");
        assert!(text.contains(message), "{args:?}: {text}");
    }
}
