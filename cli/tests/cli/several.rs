//! Several instructions at once, each with a weight of its own.

use std::process::Output;

use sda_test_kit::fault_server::{FaultServer, chat};
use serde_json::{Value, json};

use crate::command::{model, one_thread, records, run, stderr, stdout};
use crate::lab::Lab;

const PIRATE: &str = "Answer like a pirate.";
const SHORT: &str = "Use one short sentence.";

fn generate(args: &[&str]) -> Output {
    let model = model();
    let own = ["generate", "-m", &model, "-p", "What is rain?", "-n", "12", "-s", "5"];
    one_thread(&[&own, args].concat()).output().unwrap()
}

/// The answer's record, without its times.
fn answer(args: &[&str]) -> Value {
    let output = generate(&[args, &["--json", "--guidance", "2"]].concat());
    let mut answer = records(&stdout(&output)).pop().unwrap();
    answer.as_object_mut().unwrap().remove("ms");
    answer
}

#[test]
fn weights_of_one_change_nothing_and_others_stand_in_the_record() {
    let both = answer(&["-i", PIRATE, "-i", SHORT]);
    assert_eq!(both, answer(&["-i", PIRATE, "-i", SHORT, "--instruction-weights", "1,1"]));
    assert_eq!((both.get("weights"), &both["guidance"]), (None, &json!(2.0)));
    assert_ne!(both["text"], answer(&["-i", PIRATE])["text"]);
    let away = answer(&["-i", PIRATE, "-i", SHORT, "-iw", "1,-0.5"]);
    assert_eq!(away["weights"], json!([1.0, -0.5]));
    assert_ne!(away["text"], both["text"]);
    // The prompt of all holds what is asked for, and so does that of the only one that is.
    assert_eq!(answer(&["-i", PIRATE, "-iw=1"]), answer(&["-i", PIRATE]));
    let only = answer(&["-i", PIRATE, "-iw", "0"]);
    assert_eq!(only["weights"], json!([0.0]));
}

#[test]
fn instructions_are_read_from_files_as_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<String> = [("a.txt", PIRATE), ("b.txt", SHORT)]
        .iter()
        .map(|(name, text)| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{text}\n")).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect();
    let weights = ["-iw", "0.5,1"];
    let files = answer(&[&["-if", &paths[0], "-if", &paths[1]], &weights[..]].concat());
    assert_eq!(files, answer(&[&["-i", PIRATE, "-i", SHORT], &weights[..]].concat()));
}

#[test]
fn a_traced_token_tells_of_the_branch_with_all_instructions() {
    let args = ["-i", PIRATE, "-i", SHORT, "--temp", "0", "--json"];
    let tokens = |strength: &str| -> Vec<Value> {
        let output = generate(&[&args[..], &["--paper", "--guidance", strength]].concat());
        records(&stdout(&output)).into_iter().filter(|record| record["type"] == "token").collect()
    };
    // Without steering the instructed branch decides, and the instruction is both texts in one prompt.
    let joined = format!("{PIRATE} {SHORT}");
    let output = generate(&["-i", &joined, "--temp", "0", "--json", "--guidance", "1"]);
    let one = records(&stdout(&output));
    let none = tokens("1");
    for (token, expected) in none.iter().zip(&one) {
        assert_eq!(token["token"], expected["token"]);
        for field in ["logprob_instructed", "logprob_plain", "js"] {
            let (a, b) = (token[field].as_f64().unwrap(), expected[field].as_f64().unwrap());
            assert!((a - b).abs() < 0.3, "{field}: {a} {b}");
        }
    }
    assert!(none.len() > 3);
    assert!(tokens("2").iter().all(|token| token["guidance"] == 2.0 && !token["top_steered"].is_null()));
}

#[test]
fn wrong_weights_are_usage_errors_before_a_model_is_loaded() {
    let refused = |args: &[&str], why: &str| {
        let output = run(&[&["generate", "-m", "no-such.gguf", "-p", "x"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(why), "{args:?}: {}", stderr(&output));
    };
    let count = "must have one for each instruction, of which there are";
    refused(&["-i", "A", "-i", "B", "-iw", "1"], &format!("--instruction-weights has 1 numbers, {count} 2"));
    refused(&["-iw", "1"], &format!("{count} 0"));
    refused(&["-i", "A", "-iw", "inf"], "--instruction-weights is inf, must be finite");
    refused(&["-i", "A", "-iw", "much"], "invalid value 'much' for '--instruction-weights");
    refused(&["-i", "A", "-i", " "], "instruction 2 of 2 is empty");
    refused(&["-i", "A", "--preset", "empathy"], "cannot be used with");
    let nine: Vec<&str> = ["-i", "A"].repeat(9);
    refused(&nine, "instructions is 9, must be at most 8");
}

#[test]
fn a_judge_scores_by_all_instructions_that_are_asked_for() {
    let server = FaultServer::start(|_, _| chat("SCORE: 40"));
    let url = server.url();
    let args = ["-i", PIRATE, "-i", "Use lists.", "-i", SHORT, "-iw", "1,-1,0.5", "--judge", &url];
    let output = generate(&[&args[..], &["--judge-model", "m"]].concat());
    stdout(&output);
    let asked = server.requests()[0].prompt();
    assert!(asked.contains(&format!("{PIRATE} {SHORT}")), "{asked}");
    assert!(!asked.contains("Use lists."), "{asked}");
}

#[test]
fn a_list_may_bring_several_instructions_and_is_continued_by_their_weights() {
    let lab = Lab::new(&[
        json!({"query": "What is rain?", "instruction": [PIRATE, {"text": SHORT, "weight": 0.5}]}),
        json!({"query": "What is rain?", "instruction": PIRATE, "id": "one"}),
        json!({"query": "What is rain?", "id": "all"}),
    ]);
    let paths = ["data.jsonl", "out.jsonl"].map(|name| lab.path(name).to_str().unwrap().to_owned());
    let list = |args: &[&str]| {
        let model = model();
        let own = ["generate", "-m", &model, "-f", &paths[0], "-o", &paths[1], "-n", "6", "-s", "5"];
        one_thread(&[&own, args].concat()).output().unwrap()
    };
    let args = ["-i", SHORT, "-i", PIRATE, "-iw", "1,-1", "--arms", "instructed,steered"];
    let output = list(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let out = lab.results("out.jsonl");
    let of = |id: &str, arm: &str| {
        let found = out.iter().find(|record| {
            record["arm"] == arm && record.get("id").map_or(id.is_empty(), |found| found == id)
        });
        found.unwrap_or_else(|| panic!("{id} {arm}")).clone()
    };
    assert_eq!(out.len(), 6);
    assert_eq!(of("", "steered")["weights"], json!([1.0, 0.5]));
    assert_eq!(of("", "steered")["record"]["instruction"], json!([PIRATE, {"text": SHORT, "weight": 0.5}]));
    assert_eq!(of("all", "steered")["weights"], json!([1.0, -1.0]));
    assert_eq!((of("one", "steered").get("weights"), of("all", "instructed").get("weights")), (None, None));
    assert!(stderr(&list(&args)).contains("all 6 answers are there already"));
    // Another weight is another answer.
    let other = list(&["-i", SHORT, "-i", PIRATE, "-iw", "1,-0.5", "--arms", "instructed,steered"]);
    assert!(stderr(&other).contains("the result \"all#2:"), "{}", stderr(&other));
    assert!(stderr(&other).contains("belongs to other input or settings"));
}

#[test]
fn a_list_with_a_wrong_instruction_names_line_and_field() {
    let lab = Lab::new(&[json!({"query": "x"}), json!({"query": "x", "instruction": ["A", 7]})]);
    let list = lab.path("data.jsonl");
    let output = run(&["generate", "-m", &model(), "-f", list.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(
        error.contains("line 2: instruction[1] is 7, must be a text or {\"text\", \"weight\"}"),
        "{error}"
    );
}

#[test]
fn drafts_are_scored_by_all_instructions_of_their_record() {
    let server = FaultServer::start(|_, _| chat("SCORE: 40"));
    let lab =
        Lab::new(&[json!({"query": "q", "draft": "d", "instruction": ["A.", {"text": "B.", "weight": 2}]})]);
    let list = lab.path("data.jsonl");
    let url = server.url();
    let judge = ["--judge", &url, "--judge-model", "m"];
    let output = run(&[&["score", "-f", list.to_str().unwrap()], &judge[..]].concat());
    stdout(&output);
    let asked = server.requests()[0].prompt();
    assert!(asked.contains("A. B."), "{asked}");
}

#[test]
fn an_arm_that_is_split_is_steered_by_each_instruction_of_a_record() {
    let ids = ["change_case:english_lowercase", "punctuation:no_comma"];
    let lab = Lab::new(&[
        json!({"key": 1, "prompt": "What is rain?", "instruction_id_list": ids, "kwargs": [{}, {}]}),
        json!({"key": 2, "prompt": "What is rain?", "instruction_id_list": ids[..1], "kwargs": [{}]}),
    ]);
    let arms =
        ["--arms", "instructed,guidance=4,guidance=4:split=1", "--parallel", "1", "-n", "16", "--temp", "0"];
    let output = lab.run("ifeval", &arms);
    assert!(output.status.success(), "{}", stderr(&output));
    let results = lab.results("out.jsonl");
    let text = |key: u32, arm: &str| {
        let found = results.iter().find(|record| record["item"]["key"] == key && record["arm"] == arm);
        found.unwrap_or_else(|| panic!("{key} {arm}"))["answer"].clone()
    };
    assert_eq!(results.len(), 6);
    assert_ne!(text(1, "guidance=4"), text(1, "guidance=4:split=1"));
    assert_eq!(text(2, "guidance=4"), text(2, "guidance=4:split=1"), "one instruction cannot be split");
    let refused = lab.run("winrate", &["--pair-judge", "x", "--arms", "plain,guidance=2:split=1"]);
    assert!(stderr(&refused).contains("split=1 is for ifeval"), "{}", stderr(&refused));
    let refused = lab.run("truthfulqa-mc", &["-i", "A", "-i", "B"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("knows a single instruction"), "{}", stderr(&refused));
}

#[test]
fn a_chat_keeps_the_instructions_in_every_turn() {
    use std::io::Write;
    let model = model();
    let args = ["chat", "-m", &model, "-i", PIRATE, "-i", SHORT, "-iw", "1,0.5", "-n", "6", "-s", "5"];
    let mut chat = one_thread(&args);
    let mut chat = chat
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    chat.stdin.take().unwrap().write_all(b"What is rain?\nAnd snow?\n").unwrap();
    let output = chat.wait_with_output().unwrap();
    assert_eq!(stdout(&output).lines().filter(|line| !line.is_empty()).count(), 2, "{}", stderr(&output));
}
