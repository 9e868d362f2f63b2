//! `--judge FILE`: another GGUF model scores the drafts, in every command that asks a judge.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{model, one_thread, records, stderr, stdout};

const QUERY: &str = "What is the capital of France?";
const PIRATE: &str = "Answer like a pirate.";

/// A base model without a chat template.
fn gemma() -> String {
    std::env::var("SDA_TEST_MODEL_GEMMA").expect("SDA_TEST_MODEL_GEMMA is not set: run `make test`")
}

fn file_name(path: &str) -> &str {
    Path::new(path).file_name().unwrap().to_str().unwrap()
}

/// One answer of a few tokens.
fn generate(model: &str, more: &[&str]) -> Output {
    let args =
        ["generate", "-m", model, "-p", QUERY, "-i", PIRATE, "-n", "6", "--temp", "0", "-c", "256", "--json"];
    one_thread(&[&args, more].concat()).output().unwrap()
}

fn of_type(output: &Output, name: &str) -> Vec<Value> {
    let found = records(std::str::from_utf8(&output.stdout).unwrap());
    found.into_iter().filter(|record| record["type"] == name).collect()
}

fn write(folder: &TempDir, name: &str, lines: &[Value]) -> PathBuf {
    let path = folder.path().join(name);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).unwrap();
    path
}

/// What `sda score` says of a draft, without a model but the judge.
fn score_alone(judge: &str, draft: &str) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder, "in.jsonl", &[json!({ "query": QUERY, "draft": draft })]);
    let args = ["score", "--judge", judge, "-i", PIRATE, "-f", input.to_str().unwrap()];
    let scored = records(&stdout(&one_thread(&args).output().unwrap())).remove(0);
    assert_eq!(scored["judge"]["name"], file_name(judge));
    scored["score"].as_f64().unwrap()
}

#[test]
fn another_model_scores_the_draft_as_sda_score_does_and_decides_the_strength() {
    let (smollm2, gemma) = (model(), gemma());
    for (writer, judge) in [(&smollm2, &gemma), (&gemma, &smollm2)] {
        let trace = tempfile::NamedTempFile::new().unwrap();
        let output = generate(writer, &["--judge", judge, "--trace", trace.path().to_str().unwrap()]);
        stdout(&output);
        let (judged, answer) = (&of_type(&output, "judge")[0], &of_type(&output, "answer")[0]);
        let score = judged["score"].as_f64().unwrap();
        assert_eq!((&judged["judge"]["name"], &answer["arm"]), (&json!(file_name(judge)), &json!("steered")));
        let a = ((100.0 - score) / (2.0 * score)).tanh();
        assert!((answer["amplification"].as_f64().unwrap() - a).abs() < 1e-4, "{judged} {answer}");
        assert!(stderr(&output).contains(&format!("{} gives the draft", file_name(judge))));

        let traced = records(&std::fs::read_to_string(trace.path()).unwrap());
        let tokens = traced.iter().filter(|record| record["type"] == "token" && record["arm"] == "plain");
        let draft: String = tokens.map(|token| token["text"].as_str().unwrap()).collect();
        let alone = score_alone(judge, &draft);
        assert!((score - alone).abs() < 1e-3, "{score} for {draft:?}, {alone} by sda score");
        let own = score_alone(writer, &draft);
        assert!((score - own).abs() > 1.0, "{score} could be the answering model's, {own}");
    }
}

#[test]
fn the_file_of_the_answering_model_is_loaded_once() {
    let (smollm2, gemma) = (model(), gemma());
    for (judge, times) in [(&smollm2, 1), (&gemma, 2)] {
        let output = generate(&smollm2, &["-v", "--judge", judge]);
        assert_eq!(stderr(&output).matches("loaded meta data with").count(), times, "{}", stderr(&output));
    }
}

#[test]
fn a_file_that_is_missing_or_no_model_is_named_before_anything_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let text = write(&folder, "text.gguf", &[json!("no model")]);
    let empty = write(&folder, "empty.gguf", &[]);
    let missing = folder.path().join("missing.gguf");
    let data = write(&folder, "data.jsonl", &[json!({ "query": "q", "draft": "d", "prompt": "p" })]);
    let (data, out) = (data.to_str().unwrap(), folder.path().join("out.jsonl"));
    let out = out.to_str().unwrap();
    let commands: [(&[&str], &str); 6] = [
        (&["generate", "-m", "none", "-i", "x", "-p", "y"], "--judge"),
        (&["generate", "-m", "none", "-i", "x", "-f", data, "-o", out], "--judge"),
        (&["chat", "-m", "none", "-i", "x"], "--judge"),
        (&["score", "-i", "x", "-f", data, "-o", out], "--judge"),
        (&["eval", "winrate", "-m", "none", "-f", data, "-o", out, "--pair-judge", "http://h/v1"], "--judge"),
        (&["eval", "winrate", "-m", "none", "-f", data, "-o", out], "--pair-judge"),
    ];
    for path in [&missing, &text, &empty, &folder.path().to_owned()] {
        let path = path.to_str().unwrap();
        for (command, option) in commands {
            let output = one_thread(&[command, &[option, path]].concat()).output().unwrap();
            let error = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {error}");
            assert!(error.contains(&format!("{option} is {path}, must be local, a URL")), "{error}");
        }
    }
    assert!(!Path::new(out).exists());
}

#[cfg(unix)]
#[test]
fn a_file_that_llama_cpp_cannot_load_stops_the_command_before_a_draft_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.gguf");
    std::fs::write(&broken, [&b"GGUF"[..], &[0xff; 64]].concat()).unwrap();
    let output = generate(&model(), &["--judge", broken.to_str().unwrap(), "--on-judge-failure", "plain"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{}", stderr(&output));
    let error = stderr(&output);
    assert!(error.contains("--judge: ") && error.contains("could not load") && error.contains("broken.gguf"));
}

#[test]
fn a_prompt_that_the_judge_has_no_room_for_follows_the_policy_and_names_the_option() {
    let (smollm2, gemma) = (model(), gemma());
    let options = ["--judge", &gemma, "--judge-ctx-size", "32"];
    let output = generate(&smollm2, &options);
    let error = of_type(&output, "judge")[0]["error"].as_str().unwrap().to_owned();
    assert_eq!((output.status.code(), of_type(&output, "answer").len()), (Some(1), 0));
    assert!(error.contains("its context 32: a larger --judge-ctx-size"), "{error}");

    let unsteered = |policy| generate(&smollm2, &[&options[..], &["--on-judge-failure", policy]].concat());
    for policy in ["plain", "instructed"] {
        let output = unsteered(policy);
        stdout(&output);
        let answer = &of_type(&output, "answer")[0];
        assert_eq!((&answer["arm"], &answer["score"]), (&json!(policy), &Value::Null));
    }
    let needed: usize = error.split(" tokens").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let room = |n: usize| generate(&smollm2, &["--judge", &gemma, "--judge-ctx-size", &n.to_string()]);
    stdout(&room(needed));
    assert_eq!(room(needed - 1).status.code(), Some(1), "{needed} tokens are needed");
}

#[test]
fn a_list_keeps_its_judge_for_all_records_and_another_judge_is_another_setting() {
    let folder = tempfile::tempdir().unwrap();
    let list = write(&folder, "list.jsonl", &[json!({ "query": "Say hello." }), json!({ "query": QUERY })]);
    let (list, out) = (list.to_str().unwrap(), folder.path().join("out.jsonl"));
    let (smollm2, gemma, out) = (model(), gemma(), out.to_str().unwrap());
    let run = |judge: &str| {
        let args =
            ["generate", "-v", "-m", &smollm2, "-i", PIRATE, "-n", "6", "-s", "1", "-f", list, "-o", out];
        one_thread(&[&args[..], &["--judge", judge]].concat()).output().unwrap()
    };
    let first = run(&gemma);
    stdout(&first);
    assert_eq!(stderr(&first).matches("loaded meta data with").count(), 2, "{}", stderr(&first));
    let answers = records(&std::fs::read_to_string(out).unwrap());
    let steered: Vec<&Value> = answers.iter().filter(|answer| answer["arm"] == "steered").collect();
    assert_eq!((answers.len(), steered.len()), (4, 2));
    for answer in steered {
        assert_eq!(answer["judge"]["name"], file_name(&gemma), "{answer}");
        let score = answer["score"].as_f64().unwrap();
        assert!((1.0..=100.0).contains(&score), "{answer}");
    }
    let again = run(&gemma);
    assert!(stderr(&again).contains("all 4 answers are there already"), "{}", stderr(&again));
    assert_eq!(stderr(&again).matches("loaded meta data with").count(), 1, "no judge for nothing");
    for other in [&*smollm2, "local"] {
        let output = run(other);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("belongs to other input or settings"), "{}", stderr(&output));
    }
}

#[test]
fn a_chat_asks_the_file_at_every_turn() {
    let (smollm2, gemma, trace) = (model(), gemma(), tempfile::NamedTempFile::new().unwrap());
    let args = ["chat", "-m", &smollm2, "-i", PIRATE, "-n", "6", "--temp", "0", "--judge", &gemma, "--trace"];
    let mut child = one_thread(&[&args[..], &[trace.path().to_str().unwrap()]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"One.\nTwo.\n").unwrap();
    stdout(&child.wait_with_output().unwrap());
    let found = records(&std::fs::read_to_string(trace.path()).unwrap());
    let names: Vec<&Value> = found
        .iter()
        .filter(|record| record["type"] == "judge")
        .map(|judge| &judge["judge"]["name"])
        .collect();
    assert_eq!(names, [file_name(&gemma), file_name(&gemma)]);
}

#[test]
fn an_evaluation_scores_and_compares_by_files() {
    let folder = tempfile::tempdir().unwrap();
    let data = write(&folder, "data.jsonl", &[json!({ "id": "x", "prompt": QUERY })]);
    let (data, out) = (data.to_str().unwrap(), folder.path().join("out.jsonl"));
    let (smollm2, gemma) = (model(), gemma());
    let run = |judge: &str, pair_judge: &str| {
        let args = ["eval", "winrate", "-v", "-m", &smollm2, "-i", PIRATE, "-f", data, "-n", "6", "--json"];
        let judges = ["--arms", "plain,sda", "--judge", judge, "--pair-judge", pair_judge, "-o"];
        one_thread(&[&args[..], &judges[..], &[out.to_str().unwrap()]].concat()).output().unwrap()
    };
    let output = run(&gemma, "local");
    stdout(&output);
    assert_eq!(stderr(&output).matches("loaded meta data with").count(), 2, "{}", stderr(&output));
    let results = records(&std::fs::read_to_string(&out).unwrap());
    let find = |id: &str| results.iter().find(|result| result["id"] == id).unwrap();
    let alone = score_alone(&gemma, find("x answer plain")["answer"].as_str().unwrap());
    let score = find("x answer sda")["score"].as_f64().unwrap();
    assert!((score - alone).abs() < 1e-3, "{score} in eval, {alone} by sda score");
    assert_eq!(find("x comparison sda")["judge"], file_name(&smollm2));

    for (one, other) in [(&*gemma, &*gemma), (&smollm2, "local"), ("local", &smollm2), ("local", "local")] {
        let output = run(one, other);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("--allow-same-judge"), "{}", stderr(&output));
    }
}
