//! `sda eval` as its users meet it: every result exactly once, failures counted, the same numbers again.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sda_test_kit::fault_server::{FaultServer, Reply, chat, status};
use serde_json::{Value, json};

use crate::command::model;
use crate::lab::{Lab, report, row};

fn questions() -> Vec<Value> {
    vec![
        json!({ "id": "sky", "category": "Nature", "score": 30, "question": "What colour is the sky on a clear day?",
            "mc1_targets": { "Blue.": 1, "Green with pink dots.": 0 },
            "mc2_targets": { "Blue.": 1, "It is blue.": 1, "Green with pink dots.": 0 } }),
        json!({ "id": "legs", "category": "Animals", "question": "How many legs does a dog have?",
            "mc1_targets": { "choices": ["Four.", "Seventy thousand."], "labels": [1, 0] } }),
    ]
}

#[test]
fn multiple_choice_has_four_metrics_an_arm_and_guidance_one_is_the_instruction_alone() {
    let lab = Lab::new(&questions());
    let arms = ["--arms", "plain,instructed,guidance=1,guidance=3,sda", "--json"];
    let first = lab.run("truthfulqa-mc", &arms);
    let report = report(&first);
    assert_eq!((&report["type"], &report["task"]), (&json!("eval"), &json!("truthfulqa-mc")));
    for metric in ["mc1", "mc2", "mc1_tempered", "mc2_tempered"] {
        let plain = row(&report, metric, "all", "plain");
        assert_eq!((plain["n"].as_u64(), plain["failed"].as_u64()), (Some(2), Some(0)));
        assert!(plain["value"].as_f64().unwrap() > 0.9, "easy questions: {plain}");
        // Only one record has a score, and no judge was named.
        let sda = row(&report, metric, "all", "sda");
        assert_eq!((sda["n"].as_u64(), sda["failed"].as_u64()), (Some(1), Some(1)));
        assert_eq!(row(&report, metric, "Nature", "sda")["n"], 1);
        assert_eq!(row(&report, metric, "Animals", "sda")["failed"], 1);
    }
    let results = lab.results("out.jsonl");
    assert_eq!(results.len(), 10);
    let sums = |arm: &str, temper: &str| {
        let result = results.iter().find(|r| r["id"] == format!("sky likelihood {arm}")).unwrap();
        result[temper].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>()
    };
    let instructed = sums("instructed", "untempered");
    assert_eq!(instructed.len(), 3);
    for (a, b) in sums("guidance=1", "untempered").iter().zip(&instructed) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    assert_ne!(sums("guidance=3", "untempered"), instructed);
    let sda = results.iter().find(|r| r["id"] == "sky likelihood sda").unwrap();
    assert!((sda["guidance"].as_f64().unwrap() - 2.64).abs() < 0.01, "S = 30: {sda}");

    let errors = String::from_utf8_lossy(&first.stderr);
    assert!(errors.contains("by the next run: 1\n") && errors.contains("legs"), "{errors}");
    // A second run tries the failed one again, and finds the rest.
    let second = lab.run("truthfulqa-mc", &arms);
    assert!(String::from_utf8_lossy(&second.stderr).contains("9 of 10 results are there already"));
    assert_eq!(second.stdout, first.stdout);
}

#[test]
fn a_judge_at_a_server_scores_the_plain_answer_once_for_all_arms() {
    let mut questions = questions();
    questions[0].as_object_mut().unwrap().remove("score");
    let lab = Lab::new(&questions[..1]);
    let server = FaultServer::start(|_, _| chat("{\"score\": 20}"));
    let output = lab.run("truthfulqa-mc", &["--arms", "sda,sda:k=1", "--judge", &server.url(), "--json"]);
    assert_eq!(row(&report(&output), "mc1", "all", "sda:k=1")["failed"], 0);
    assert_eq!(server.count(), 1);
    let requests = server.requests();
    assert!(requests[0].prompt().contains("What colour is the sky"), "{}", requests[0].prompt());
    let guidance: Vec<f64> =
        lab.results("out.jsonl").iter().map(|result| result["guidance"].as_f64().unwrap()).collect();
    assert!((guidance[0] - 2.928).abs() < 1e-2 && (guidance[1] - 1.964).abs() < 1e-2, "{guidance:?}");
}

fn instructions() -> Vec<Value> {
    let record = |key: u32, prompt: &str, id: &str, kwargs: Value| json!({ "key": key, "prompt": prompt, "instruction_id_list": [id], "kwargs": [kwargs], "score": 20 });
    vec![
        record(1, "Name a colour. Do not use commas.", "punctuation:no_comma", json!({})),
        record(2, "Say hello, in capital letters only.", "change_case:english_capital", json!({})),
        record(3, "Answer in Klingon.", "language:response_language", json!({ "language": "tlh" })),
        record(
            4,
            "Write two words at least.",
            "length_constraints:number_words",
            json!({ "num_words": 2, "relation": "at least" }),
        ),
    ]
}

const IFEVAL: [&str; 8] =
    ["--arms", "plain,instructed,guidance=2,sda", "-n", "12", "-s", "5", "--parallel", "1"];

#[test]
fn verifiable_instructions_give_four_numbers_and_what_cannot_be_checked_has_failed() {
    let lab = Lab::new(&instructions());
    let output = lab.run("ifeval", &[&IFEVAL[..], &["--json"]].concat());
    let report = report(&output);
    for metric in ["prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose"] {
        for arm in ["plain", "instructed", "guidance=2", "sda"] {
            let row = row(&report, metric, "all", arm);
            assert_eq!((row["n"].as_u64(), row["failed"].as_u64()), (Some(3), Some(1)), "{row}");
            assert!(
                row["low"].as_f64() <= row["value"].as_f64() && row["value"].as_f64() <= row["high"].as_f64()
            );
            assert_eq!(row["diff_to"].is_null(), arm == "instructed");
        }
    }
    let strict = row(&report, "instruction_strict", "length_constraints:number_words", "plain");
    assert_eq!(strict["value"], 1.0, "twelve tokens are two words: {strict}");
    let results = lab.results("out.jsonl");
    assert_eq!(results.len(), 12);
    for result in &results {
        assert_eq!(result["seed"], 5 + result["item"]["key"].as_u64().unwrap() - 1, "the same in all arms");
        assert!(result["tokens"].as_u64().unwrap() <= 12);
    }
    assert!(String::from_utf8_lossy(&output.stderr).contains("tlh"));
}

#[test]
fn a_killed_run_goes_on_where_it_was_and_ends_with_the_same_answers() {
    let lab = Lab::new(&instructions());
    assert!(lab.command("ifeval", "whole.jsonl", &IFEVAL).output().unwrap().status.success());
    let mut child = lab.command("ifeval", "cut.jsonl", &IFEVAL).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while lab.results("cut.jsonl").len() < 2 {
        assert!(start.elapsed() < Duration::from_secs(120), "no result within two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = lab.results("cut.jsonl");
    assert!(lab.command("ifeval", "cut.jsonl", &IFEVAL).output().unwrap().status.success());
    let after = lab.results("cut.jsonl");
    assert_eq!(after[..before.len()], before, "what was there stays");
    let sorted = |mut results: Vec<Value>| {
        results.sort_by_key(|result| result["key"].to_string());
        results
    };
    assert_eq!(sorted(after), sorted(lab.results("whole.jsonl")));
}

fn queries() -> Vec<Value> {
    vec![
        json!({ "prompt": "My cat died yesterday.", "category": "sad", "score": 40 }),
        json!({ "prompt": "I won a race today.", "category": "proud", "score": 60 }),
    ]
}

/// Runs the comparison of two steered arms with the plain one by a server.
fn winrate(judge: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Value, Lab, usize) {
    let lab = Lab::new(&queries());
    let server = FaultServer::start(move |request, _| judge(&request.prompt()));
    let args = ["--dataset", "e-dialogue", "--arms", "plain,instructed,sda", "-n", "16", "--pair-judge"];
    let output = lab.run("winrate", &[&args[..], &[&server.url(), "--json"]].concat());
    (report(&output), lab, server.count())
}

#[test]
fn a_judge_that_likes_the_first_answer_gives_only_ties() {
    let (report, lab, asked) = winrate(|_| chat("{\"score\": 1}"));
    assert_eq!(asked, 8, "two items, two arms, two orders");
    let sda = row(&report, "omega", "all", "sda");
    assert_eq!((sda["value"].as_f64(), sda["n"].as_u64()), (Some(0.0), Some(2)), "{sda}");
    assert_eq!(row(&report, "omega", "sad", "sda")["n"], 1);
    let results = lab.results("out.jsonl");
    assert_eq!(results.len(), 6 + 4);
    // SmolLM2 answers the winner of the race with nothing but party poppers, which say nothing.
    let letters = |result: &Value| result["answer"].as_str().unwrap().matches(char::is_alphabetic).count();
    let plain: Vec<usize> =
        results.iter().filter(|r| r["arm"] == "plain" && !r["answer"].is_null()).map(letters).collect();
    let refined = plain.iter().filter(|&&letters| letters >= 3).count();
    assert_eq!(plain.len(), 2);
    assert_eq!(row(&report, "omega_refined", "all", "sda")["n"], refined);
}

#[test]
fn an_answer_that_is_preferred_in_both_orders_wins() {
    // The judge likes the answer with more letters e; the prompt shows each between its own lines.
    let (report, lab, _) = winrate(|prompt| {
        let answer = |n: u32| {
            let begin = prompt.split(&format!("--- answer {n} ")).nth(1).expect("both answers are shown");
            begin.split("--- end of answer").next().unwrap().split_once('\n').unwrap().1.matches('e').count()
        };
        let score = match answer(1).cmp(&answer(2)) {
            std::cmp::Ordering::Greater => 10,
            std::cmp::Ordering::Less => 90,
            std::cmp::Ordering::Equal => 50,
        };
        chat(&format!("{{\"score\": {score}}}"))
    });
    let results = lab.results("out.jsonl");
    let letters = |id: &str| {
        let answer = results.iter().find(|result| result["id"] == id).unwrap();
        answer["answer"].as_str().unwrap().matches('e').count() as i64
    };
    let mut sum = 0;
    for item in ["line 1", "line 2"] {
        let expected =
            (letters(&format!("{item} answer sda")) - letters(&format!("{item} answer plain"))).signum();
        let compared =
            results.iter().find(|result| result["id"] == format!("{item} comparison sda")).unwrap();
        assert_eq!(compared["outcome"].as_f64(), Some(expected as f64), "{compared}");
        sum += expected;
    }
    assert_eq!(row(&report, "omega", "all", "sda")["value"].as_f64(), Some(sum as f64 / 2.0));
}

#[test]
fn the_loaded_model_scores_by_the_same_words_as_in_sda_score() {
    let lab = Lab::new(&[json!({ "id": "x", "prompt": "My cat died yesterday." })]);
    let server = FaultServer::start(|_, _| chat("{\"score\": 50}"));
    let by = ["-i", "Answer like a pirate.", "-c", "512", "--judge", "local", "--judge-dimension"];
    let words = [&by[..], &["truthfulness"]].concat();
    let args = ["--arms", "plain,sda", "-n", "12", "--temp", "0", "--json", "--pair-judge"];
    report(&lab.run("winrate", &[&args[..], &[&server.url()], &words].concat()));
    let results = lab.results("out.jsonl");
    let find = |id: &str| results.iter().find(|result| result["id"] == id).unwrap();
    let score = find("x answer sda")["score"].as_f64().unwrap();
    let guidance = find("x answer sda")["guidance"].as_f64().unwrap();
    assert!((guidance - 1.0 - 2.0 * ((100.0 - score) / (2.0 * score)).tanh()).abs() < 1e-5, "{guidance}");

    // The same plain answer, judged by `sda score`.
    let draft = json!({ "query": "My cat died yesterday.", "draft": find("x answer plain")["answer"] });
    std::fs::write(lab.path("draft.jsonl"), format!("{draft}\n")).unwrap();
    let alone = |dimension: &str, out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sda"));
        command.args(["score", "-t", "1", "-m", &model(), "-f"]).arg(lab.path("draft.jsonl"));
        command.arg("-o").arg(lab.path(out)).args(by).arg(dimension).stdin(Stdio::null());
        assert!(command.output().unwrap().status.success());
        lab.results(out)[0]["score"].as_f64().unwrap()
    };
    let (by_quality, by_instruction) = (alone("truthfulness", "a.jsonl"), alone("instruction", "b.jsonl"));
    assert!((score - by_quality).abs() < 0.1, "{score} in eval, {by_quality} in score");
    assert!(
        (by_instruction - by_quality).abs() > 0.2,
        "{by_instruction} and {by_quality} tell nothing apart"
    );
}

#[test]
fn a_failed_judgement_is_counted_and_shown() {
    let (report, _, _) =
        winrate(|prompt| if prompt.contains("race") { status(400, "no") } else { chat("{\"score\": 50}") });
    let sda = row(&report, "omega", "all", "sda");
    assert_eq!((sda["n"].as_u64(), sda["failed"].as_u64()), (Some(1), Some(1)), "{sda}");
    assert_eq!(row(&report, "omega", "proud", "sda")["failed"], 1);
    assert!(row(&report, "omega", "proud", "sda")["value"].is_null());
}

#[test]
fn a_local_file_may_judge_and_is_told_to_be_weak() {
    let lab = Lab::new(&queries()[..1]);
    let args =
        ["--dataset", "e-dialogue", "--arms", "plain,instructed", "-n", "16", "--json", "--pair-judge"];
    let output = lab.run("winrate", &[&args[..], &[&model()]].concat());
    let instructed = row(&report(&output), "omega", "all", "instructed").clone();
    assert_eq!((instructed["n"].as_u64(), instructed["failed"].as_u64()), (Some(1), Some(0)), "{instructed}");
    let results = lab.results("out.jsonl");
    let compared = results.iter().find(|result| result["id"] == "line 1 comparison instructed").unwrap();
    let score = |name: &str| compared[name].as_f64().unwrap();
    let better = (score("score_as_first") - score("score_as_second")).partial_cmp(&0.0).unwrap() as i64;
    assert_eq!(compared["outcome"].as_f64(), Some(better as f64), "{compared}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("poor at that"));
}

#[test]
fn what_could_only_mislead_is_refused() {
    let lab = Lab::new(&queries());
    let url = "http://127.0.0.1:9/v1";
    let model = model();
    let cases: [(&str, &[&str], &str); 7] = [
        ("winrate", &["--arms", "plain,sda", "--judge", url, "--pair-judge", url], "--allow-same-judge"),
        (
            "winrate",
            &["--arms", "plain,sda", "--judge", "local", "--pair-judge", &model],
            "--allow-same-judge",
        ),
        ("winrate", &[], "--pair-judge"),
        ("winrate", &["--arms", "sda", "--pair-judge", url], "--against"),
        ("truthfulqa-mc", &["--guidance", "2"], "--arms"),
        ("truthfulqa-mc", &["--arms", "plane"], "plane"),
        ("ifeval", &["-i", "Be brief."], "instruction"),
    ];
    for (task, args, word) in cases {
        let output = lab.run(task, args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{task} {args:?}: {errors}");
        assert!(errors.contains(word), "{errors}");
    }
}

#[test]
fn results_of_other_settings_are_not_taken_for_ones_own() {
    let lab = Lab::new(&questions());
    let arms = ["--arms", "plain"];
    assert!(lab.run("truthfulqa-mc", &arms).status.success());
    let other = lab.run("truthfulqa-mc", &[&arms[..], &["--temp", "0.9"]].concat());
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("other input or settings"));
    let over = lab.run("truthfulqa-mc", &[&arms[..], &["--temp", "0.9", "--restart"]].concat());
    assert!(over.status.success());
}
