//! `eval/judge_pairs.py`, which measures judges, and its pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use sda::Quality;
use sda_test_kit::fault_server::{FaultServer, chat};
use serde_json::Value;

use crate::command::{records, stdout};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../eval");

fn pairs() -> Vec<Value> {
    records(&std::fs::read_to_string(format!("{FOLDER}/judge_pairs.jsonl")).unwrap())
}

fn text<'a>(pair: &'a Value, field: &str) -> &'a str {
    pair[field].as_str().unwrap_or_else(|| panic!("no {field} in {pair}"))
}

#[test]
fn both_halves_of_the_pairs_have_the_same_mix_and_length_does_not_tell_which_answer_is_good() {
    let pairs = pairs();
    let (mut ids, mut queries) = (BTreeSet::new(), BTreeSet::new());
    let mut counts = BTreeMap::<&str, [usize; 2]>::new();
    let mut longer = 0;
    for (n, pair) in pairs.iter().enumerate() {
        assert!(ids.insert(text(pair, "id")) && queries.insert(text(pair, "query")), "{pair}");
        counts.entry(text(pair, "dimension")).or_default()[n % 2] += 1;
        longer += usize::from(text(pair, "good").len() > text(pair, "bad").len());
    }
    let dimensions: Vec<&str> = Quality::ALL.iter().map(|quality| quality.name()).collect();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), dimensions);
    for [first, second] in counts.values() {
        assert!(first == second && *first >= 12, "{counts:?}");
    }
    assert!((0.4..0.6).contains(&(longer as f64 / pairs.len() as f64)), "{longer} of {}", pairs.len());
}

#[test]
fn the_measure_of_a_judge_counts_pairs_in_the_right_order_by_dimension_and_half() {
    let good: Vec<Value> = pairs();
    let server = FaultServer::start(move |request, _| {
        let prompt = request.prompt();
        let pair = good.iter().find(|pair| prompt.contains(text(pair, "query"))).unwrap();
        let is_good = prompt.contains(text(pair, "good"));
        match (text(pair, "dimension"), text(pair, "id")) {
            // The good one wins, the bad one, nobody; there is no score; and half of the pairs.
            ("empathy", _) => chat(if is_good { "SCORE: 80" } else { "SCORE: 20" }),
            ("harmlessness", _) => chat(if is_good { "SCORE: 20" } else { "SCORE: 80" }),
            ("helpfulness", _) => chat("SCORE: 50"),
            ("reasoning", _) => chat(if is_good { "none" } else { "SCORE: 20" }),
            (_, id) => {
                let is_first = id.rsplit('-').next().unwrap().parse::<usize>().unwrap() % 2 == 1;
                chat(if is_good == is_first { "SCORE: 80" } else { "SCORE: 20" })
            }
        }
    });
    let output = Command::new("python3")
        .arg(format!("{FOLDER}/judge_pairs.py"))
        .arg(env!("CARGO_BIN_EXE_sda"))
        .arg(format!("{FOLDER}/judge_pairs.jsonl"))
        .args(["--judge", &server.url(), "--no-judge-cache", "--judge-retries", "0", "--parallel", "8"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let table = stdout(&output);
    let row = |name: &str| {
        let row = table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{table}"));
        row.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    let (none, all) = ("0 of 13 [0.00, 0.23]", "13 of 13 [0.77, 1.00]");
    assert_eq!(row("empathy"), format!("{all} {all} 26 of 26 [0.87, 1.00]"));
    for name in ["harmlessness", "helpfulness", "reasoning"] {
        assert_eq!(row(name), format!("{none} {none} 0 of 26 [0.00, 0.13]"));
    }
    assert_eq!(row("truthfulness"), format!("{all} {none} 13 of 26 [0.32, 0.68]"));
    assert!(row("all").ends_with("39 of 130 [0.23, 0.38]"), "{table}");
    assert!(table.contains("good answers without a score: 26"), "{table}");
}
