//! `sda generate --check COMMAND`: the instructed answer stands if the user's command says so, else the query is answered
//! again, steered.

#![cfg(unix)]

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::command::{model, one_thread, records, run, sda, stderr, stdout};
use serde_json::{Value, json};

const PIRATE: &str = "Answer like a pirate.";
const FRANCE: &str = "What is the capital of France?";
const STEERED: &str = "the instructed answer fails the check: steered";

fn generate(more: &[&str]) -> Output {
    let model = model();
    let args = ["generate", "-m", &model, "-p", FRANCE, "-i", PIRATE, "-n", "12", "--temp", "0", "-c", "256"];
    one_thread(&[&args, more].concat()).output().unwrap()
}

/// The instructed answer as `--compare` shows it.
fn instructed() -> String {
    let text = stdout(&generate(&["--compare"]));
    let (_, rest) = text.split_once("=== instruction only ===\n").unwrap();
    rest.split_once("=== steered").unwrap().0.to_owned()
}

#[test]
fn an_instructed_answer_that_passes_is_the_one_that_is_printed() {
    let instructed = instructed();
    // The second one reads it, and finds in it what --compare shows.
    for check in ["true", "grep -q Paris"] {
        let output = generate(&["--check", check]);
        assert_eq!(stdout(&output), instructed, "{check}");
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn an_answer_that_fails_is_replaced_by_a_steered_one_of_the_strength_of_the_options() {
    let instructed = instructed();
    for (check, options, guidance) in [
        ("false", &[][..], 2.0),
        ("! grep -q Paris", &["--guidance", "3", "--mean-kl", "inf"], 3.0),
        // What it prints goes nowhere.
        ("echo printed; exit 125", &["--score", "100"], 1.0),
    ] {
        let options = [&["--check", check], options].concat();
        let output = generate(&options);
        assert_eq!(stderr(&output), format!("sda: {STEERED}\n"));
        let records = records(&stdout(&generate(&[&options[..], &["--json"]].concat())));
        let last = records.last().unwrap();
        assert_eq!(stdout(&output), format!("{}\n", last["text"].as_str().unwrap()), "{check}");
        assert_eq!((&last["arm"], &last["check"]), (&json!("steered"), &json!("failed")));
        assert_eq!(last["guidance"], guidance);
        assert_eq!(stdout(&output) == instructed, guidance == 1.0, "{check}");
    }
}

#[test]
fn records_hold_the_tokens_of_both_answers_and_the_last_one_says_what_the_check_did() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.jsonl");
    for (check, arms) in [("true", &["instructed"][..]), ("false", &["instructed", "steered"])] {
        let json = stdout(&generate(&["--check", check, "--json"]));
        let text = stdout(&generate(&["--check", check, "--trace", trace.to_str().unwrap()]));
        let written = records(&std::fs::read_to_string(&trace).unwrap());
        let records = records(&json);
        let is_answer = |record: &&Value| record["type"] == "answer";
        let answers: Vec<&Value> = records.iter().filter(is_answer).collect();
        assert_eq!(answers.iter().map(|answer| &answer["arm"]).collect::<Vec<_>>(), arms);
        for answer in &answers {
            let tokens =
                records.iter().filter(|token| token["type"] == "token" && token["arm"] == answer["arm"]);
            let text: String = tokens.map(|token| token["text"].as_str().unwrap()).collect();
            assert_eq!(answer["text"], text);
        }
        let (last, others) = answers.split_last().unwrap();
        assert_eq!(last["check"], if check == "true" { "passed" } else { "failed" });
        assert!(last["seed"].is_u64() && others.iter().all(|other| other.get("check").is_none()));
        // The trace has the same lines but for their times, and beside it the text is printed.
        let fields = |record: &Value| (record["type"].clone(), record["arm"].clone(), record["text"].clone());
        assert!(written.iter().map(fields).eq(records.iter().map(fields)));
        assert_eq!(text, format!("{}\n", last["text"].as_str().unwrap()));
    }
}

#[test]
fn a_check_that_cannot_run_is_an_error_with_its_command_and_status() {
    for (check, why) in [
        ("no-such-program-at-all", "--check 'no-such-program-at-all': exit status: 127"),
        ("kill -9 $$", "--check 'kill -9 $$': signal: 9"),
    ] {
        let output = generate(&["--check", check]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    // Its own words are shown on request.
    let shown = |more: &[&str]| {
        let output = generate(&[&["--check", "echo its-words >&2; exit 1"], more].concat());
        stderr(&output).lines().any(|line| line == "its-words")
    };
    assert_eq!((shown(&[]), shown(&["-v"])), (false, true));
}

#[test]
fn a_check_takes_the_place_of_judge_and_arms() {
    let refused = |args: &[&str], message: &str| {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
    };
    let check = ["generate", "-m", "x", "-f", "x.jsonl", "--check", "true"];
    for other in [&["--judge", "local"][..], &["--compare"], &["--arms", "plain"]] {
        refused(&[&check, other].concat(), "'--check <COMMAND>' cannot be used with");
    }
    refused(
        &["generate", "-m", "x", "-p", "x", "--check", ""],
        "a value is required for '--check <COMMAND>'",
    );
    refused(&["chat", "-m", "x", "--check", "true"], "unexpected argument '--check'");
}

#[test]
fn ctrl_c_ends_a_check_that_does_not_end() {
    let model = model();
    let folder = tempfile::tempdir().unwrap();
    let began = folder.path().join("began");
    let check = format!("touch '{}'; exec sleep 300", began.display());
    let args =
        ["generate", "-m", &model, "-p", FRANCE, "-i", PIRATE, "-n", "2", "-c", "256", "--check", &check];
    let mut child = one_thread(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !began.exists() {
        assert!(start.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(130), &b""[..]), "{}", stderr(&output));
}

/// A list in a folder of its own, with the answers beside it.
struct List(tempfile::TempDir);

impl List {
    fn new() -> List {
        let folder = tempfile::tempdir().unwrap();
        let queries = [
            json!({ "id": "france", "query": FRANCE }),
            json!({ "id": "hello", "query": "Say hello.", "guidance": 3 }),
            json!({ "id": "animals", "query": "Name three animals.", "topic": "animals" }),
        ];
        let lines: Vec<String> = queries.iter().map(|record| format!("{record}\n")).collect();
        std::fs::write(folder.path().join("list.jsonl"), lines.concat()).unwrap();
        List(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, more: &[&str]) -> Output {
        let (model, list, out) = (model(), self.path("list.jsonl"), self.path("out.jsonl"));
        let files = ["-f", list.to_str().unwrap(), "-o", out.to_str().unwrap()];
        let args = [
            "generate", "-m", &model, "-i", PIRATE, "-n", "12", "--temp", "0", "-s", "1", "-np", "1", "-t",
            "1",
        ];
        sda(&[&args[..], &files, more].concat()).output().unwrap()
    }

    /// The answers by the names of their records.
    fn answers(&self) -> Vec<Value> {
        let mut answers = records(&std::fs::read_to_string(self.path("out.jsonl")).unwrap());
        answers.sort_by_key(|answer| answer["id"].to_string());
        answers
    }
}

/// Some fields of each answer.
fn fields<'a>(answers: &'a [Value], names: &[&str]) -> Vec<Vec<&'a Value>> {
    answers.iter().map(|answer| names.iter().map(|name| &answer[*name]).collect()).collect()
}

#[test]
fn a_list_has_an_answer_for_each_record_instructed_where_it_passes_and_steered_where_it_fails() {
    let list = List::new();
    let answers = |more: &[&str]| {
        let output = list.run(&[more, &["--restart"]].concat());
        stdout(&output);
        (list.answers(), stderr(&output))
    };
    let instructed = answers(&["--arms", "instructed"]).0;
    let steered = answers(&[]).0;
    let (checked, said) = answers(&["--check", "grep -q Paris"]);
    assert!(said.contains("2 of 3 instructed answers fail the check: steered"), "{said}");
    let expected = [
        json!(["animals", "steered", "failed", 2.0, "animals", steered[0]["text"]]),
        json!(["france", "instructed", "passed", null, null, instructed[1]["text"]]),
        json!(["hello", "steered", "failed", 3.0, null, steered[2]["text"]]),
    ];
    let found = checked.iter().map(|answer| {
        let [id, arm, check, guidance, text] =
            ["id", "arm", "check", "guidance", "text"].map(|name| &answer[name]);
        json!([id, arm, check, guidance, answer["record"]["topic"], text])
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
    // Each by itself, as well.
    let all = |check| answers(&["--check", check]).0;
    assert_eq!(fields(&all("true"), &["text", "seed"]), fields(&instructed, &["text", "seed"]));
    assert_eq!(fields(&all("false"), &["text", "seed"]), fields(&steered, &["text", "seed"]));
}

#[test]
fn a_stopped_list_continues_and_another_check_is_another_run() {
    let list = List::new();
    let out = list.path("out.jsonl");
    let check = ["--check", "grep -q Paris"];
    stdout(&list.run(&check));
    let whole = list.answers();
    // As a kill leaves it in the second round: what passed, and a part of what did not.
    let kept = std::fs::read_to_string(&out).unwrap();
    let first = kept.split_inclusive('\n').next().unwrap();
    assert!(first.contains("\"passed\""), "{first}");
    std::fs::write(&out, first).unwrap();
    let output = list.run(&check);
    assert!(stderr(&output).contains("2 of 2 instructed answers fail"), "{}", stderr(&output));
    let names = ["key", "text", "arm", "check"];
    assert_eq!(fields(&list.answers(), &names), fields(&whole, &names));
    let output = list.run(&check);
    assert!(stderr(&output).contains("all 3 answers are there already"), "{}", stderr(&output));
    for other in [&["--check", "grep -q paris"][..], &[]] {
        let output = list.run(other);
        assert!(stderr(&output).contains("belongs to other input or settings"), "{}", stderr(&output));
    }
}

#[test]
fn a_record_whose_check_cannot_run_fails_and_is_tried_again() {
    let list = List::new();
    let program = list.path("check.sh");
    let command = format!("'{}'", program.display());
    let check = ["--check", &command];
    let output = list.run(&check);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("3 of 3 answers failed"), "{}", stderr(&output));
    for answer in list.answers() {
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains("--check") && error.contains("check.sh") && error.contains("127"), "{error}");
        assert_eq!(answer.get("text"), None);
    }
    std::fs::write(&program, "#!/bin/sh\ngrep -q Paris\n").unwrap();
    let executable = std::process::Command::new("chmod").arg("+x").arg(&program).status();
    assert!(executable.unwrap().success());
    stdout(&list.run(&check));
    let checked = list.answers();
    let found: Vec<&Value> = checked.iter().map(|answer| &answer["check"]).collect();
    assert_eq!(found, ["failed", "passed", "failed"]);
    assert!(checked.iter().all(|answer| answer.get("error").is_none()));
}
