//! `sda generate` and `sda chat` with a judge behind a URL: what the score decides, what a failure does, and
//! that no secret gets out.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::command::{model, records, run, sda, stderr, stdout};
use sda_test_kit::fault_server::faults::{FAULTS, fault, good, truth};
use sda_test_kit::fault_server::{FaultServer, Reply, chat, json_reply, status};
use serde_json::{Value, json};

pub const PIRATE: &str = "Answer like a pirate.";

/// One answer of a few tokens. One thread, since these tests run side by side.
pub fn generate(query: &str, more: &[&str]) -> Output {
    let model = model();
    let args = ["generate", "-m", &model, "-p", query, "-n", "6", "--temp", "0", "-t", "1", "-c", "256"];
    run(&[&args, more].concat())
}

fn json_of(output: &Output) -> Vec<Value> {
    records(std::str::from_utf8(&output.stdout).unwrap())
}

fn of_type(records: &[Value], name: &str) -> Vec<Value> {
    records.iter().filter(|record| record["type"] == name).cloned().collect()
}

#[test]
fn the_score_of_a_server_decides_the_strength_and_is_kept() {
    let cache = tempfile::tempdir().unwrap();
    let server = FaultServer::start(|_, n| match n {
        0 => status(503, "loading"),
        n => chat(&format!("{{\"score\": {}}}", 39 + n)),
    });
    let url = server.url();
    let judge = ["--judge", &url, "--judge-model", "m", "--judge-cache-dir", cache.path().to_str().unwrap()];
    let options = [&judge[..], &["-i", PIRATE, "--json"]].concat();
    for cached in [false, true] {
        let output = generate("What is the capital of France?", &options);
        let found = json_of(&output);
        let (judge, answer) = (&of_type(&found, "judge")[0], &of_type(&found, "answer")[0]);
        assert_eq!((&judge["score"], &judge["samples"]), (&json!(40.0), &json!([40.0])));
        assert_eq!(judge["judge"]["cached"], cached);
        assert_eq!(judge["judge"]["attempts"], if cached { 0 } else { 2 });
        assert_eq!((&answer["arm"], &answer["score"]), (&json!("steered"), &json!(40.0)));
        let a = (60.0_f64 / 80.0).tanh();
        assert!((answer["amplification"].as_f64().unwrap() - a).abs() < 1e-6);
        assert!(stderr(&output).contains("m at 127.0.0.1:"), "{}", stderr(&output));
    }
    assert_eq!(server.count(), 2);
    let asked = [&options[..], &["--judge-seed", "7"]].concat();
    stdout(&generate("What is the capital of France?", &asked));
    assert_eq!(server.count(), 3, "another seed is another question");
}

#[test]
fn several_samples_are_averaged_and_their_spread_is_told() {
    let server = FaultServer::start(|_, n| chat(&format!("SCORE: {}", 20 + 20 * n)));
    let options = ["-i", PIRATE, "--judge", &server.url(), "--judge-n", "3", "--judge-temperature", "0.7"];
    let trace = tempfile::NamedTempFile::new().unwrap();
    let traced = [&options[..], &["--trace", trace.path().to_str().unwrap()]].concat();
    stdout(&generate("Hi", &traced));
    let found = records(&std::fs::read_to_string(trace.path()).unwrap());
    let judge = &of_type(&found, "judge")[0];
    assert_eq!((&judge["score"], &judge["samples"]), (&json!(40.0), &json!([20.0, 40.0, 60.0])));
    assert!((judge["judge"]["spread"].as_f64().unwrap() - 16.3299).abs() < 1e-3);
    let seeds: Vec<Value> = server.requests().iter().map(|r| r.json()["seed"].clone()).collect();
    assert_eq!(seeds, [1, 2, 3]);
}

#[test]
fn without_a_score_the_user_gets_what_they_chose_and_never_a_steered_answer() {
    let server = FaultServer::start(|_, _| chat("I would say 40."));
    let url = server.url();
    let query = "What is the capital of France?";
    let compared = stdout(&generate(query, &["-i", PIRATE, "--compare", "-a", "1"]));
    let (plain, rest) = compared.split_once("=== instruction only ===\n").unwrap();
    let plain = plain.strip_prefix("=== plain ===\n").unwrap();
    let (instructed, steered) = rest.split_once("=== steered, guidance 3.00 ===\n").unwrap();
    assert!(plain != instructed && plain != steered && instructed != steered, "{compared}");

    let options = ["-i", PIRATE, "--judge", &url, "--on-judge-failure"];
    for (policy, expected) in [("plain", plain), ("instructed", instructed)] {
        let output = generate(query, &[&options[..], &[policy]].concat());
        assert_eq!(stdout(&output), expected, "{policy}");
        let told = format!("this is the {policy} answer, without steering");
        assert!(stderr(&output).contains("no score in the agreed place"), "{}", stderr(&output));
        assert!(stderr(&output).contains(&told), "{}", stderr(&output));
        let found = json_of(&generate(query, &[&options[..], &[policy, "--json"]].concat()));
        let (judge, answer) = (&of_type(&found, "judge")[0], &of_type(&found, "answer")[0]);
        assert_eq!((&judge["score"], &judge["on_failure"]), (&Value::Null, &json!(policy)));
        assert!(judge["error"].as_str().unwrap().contains("I would say 40."), "{judge}");
        assert_eq!(answer["arm"], policy);
        assert_eq!((&answer["score"], &answer["amplification"]), (&Value::Null, &Value::Null));
        assert_eq!(answer["text"], expected.trim_end());
    }
    for policy in [&[][..], &["--on-judge-failure", "error"]] {
        let output = generate(query, &[&["-i", PIRATE, "--judge", &url, "--json"], policy].concat());
        assert_eq!(output.status.code(), Some(1));
        let found = json_of(&output);
        assert_eq!((of_type(&found, "judge").len(), found.len()), (1, 1), "{found:?}");
    }
}

#[test]
fn a_hundred_generations_through_every_fault_never_steer_by_a_failed_score() {
    const COUNT: usize = 100;
    let used = Mutex::new(std::collections::BTreeSet::new());
    let used: &'static Mutex<_> = Box::leak(Box::new(used));
    let attempts = Mutex::new(vec![0; COUNT]);
    let server = FaultServer::start(move |request, _| {
        let prompt = request.prompt();
        let n: usize = prompt.split("number ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let attempt = {
            let mut attempts = attempts.lock().unwrap();
            attempts[n] += 1;
            attempts[n]
        };
        match fault(n, attempt) {
            None => good(truth(n)),
            Some((name, reply)) => {
                used.lock().unwrap().insert(*name);
                reply(truth(n))
            }
        }
    });
    let (url, next, counts) = (server.url(), AtomicUsize::new(0), Mutex::new([0; 4]));
    let one = |n: usize| {
        let policy = ["error", "plain", "instructed"][n % 3];
        let trace = tempfile::NamedTempFile::new().unwrap();
        let output = generate(
            &format!("Say something about number {n} please."),
            &[
                "-n",
                "2",
                "-i",
                PIRATE,
                "--judge",
                &url,
                "--on-judge-failure",
                policy,
                "--judge-timeout",
                "2",
                "--judge-retries",
                "1",
                "--trace",
                trace.path().to_str().unwrap(),
            ][2..],
        );
        let found = records(&std::fs::read_to_string(trace.path()).unwrap());
        let (judge, answers) = (&of_type(&found, "judge"), of_type(&found, "answer"));
        assert_eq!(judge.len(), 1, "number {n}: {}", stderr(&output));
        let draft: Vec<&Value> =
            found.iter().take_while(|r| r["type"] == "token").map(|r| &r["text"]).collect();
        assert!(!draft.is_empty());
        if let Some(score) = judge[0]["score"].as_f64() {
            assert_eq!(score, f64::from(truth(n)), "number {n}");
            let a = ((100.0 - score) / (2.0 * score)).tanh();
            assert_eq!(answers[0]["arm"], "steered");
            assert!((answers[0]["amplification"].as_f64().unwrap() - a).abs() < 1e-6);
            counts.lock().unwrap()[3] += 1;
            return;
        }
        assert!(judge[0]["error"].as_str().unwrap().contains("attempt"), "number {n}: {}", judge[0]);
        assert_eq!(output.status.code(), Some(if policy == "error" { 1 } else { 0 }));
        assert_eq!(answers.len(), usize::from(policy != "error"));
        if let Some(answer) = answers.first() {
            assert_eq!((&answer["arm"], &answer["amplification"]), (&json!(policy), &Value::Null));
            let text: String = draft.iter().map(|text| text.as_str().unwrap()).collect();
            assert_eq!(answer["text"] == text, policy == "plain", "number {n}: {answer}, draft {text}");
        }
        counts.lock().unwrap()[n % 3] += 1;
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n >= COUNT {
                        break;
                    }
                    one(n);
                }
            });
        }
    });
    let counts = counts.into_inner().unwrap();
    assert_eq!(counts.iter().sum::<usize>(), COUNT, "nothing is lost");
    assert!(counts.iter().all(|&count| count >= 10), "{counts:?}");
    assert_eq!(used.lock().unwrap().len(), FAULTS.len(), "every fault was injected");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_wait_for_a_judge() {
    let server = FaultServer::start(|_, _| Reply::After(Duration::from_secs(60), Box::new(chat("SCORE: 1"))));
    let (model, url) = (model(), server.url());
    let child =
        sda(&["generate", "-m", &model, "-p", "Hi", "-i", PIRATE, "-n", "2", "-t", "1", "--judge", &url])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    while server.count() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let start = Instant::now();
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(130), Vec::new()));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_chat_judges_every_turn_and_a_failed_turn_follows_the_policy() {
    let server = FaultServer::start(|_, n| match n {
        1 => status(400, "not now"),
        n => chat(&format!("{{\"score\": {}}}", 30 + n)),
    });
    let (model, url, trace) = (model(), server.url(), tempfile::NamedTempFile::new().unwrap());
    let mut child = sda(&[
        "chat",
        "-m",
        &model,
        "-i",
        PIRATE,
        "-n",
        "6",
        "--temp",
        "0",
        "-t",
        "1",
        "--judge",
        &url,
        "--on-judge-failure",
        "plain",
        "--trace",
        trace.path().to_str().unwrap(),
    ])
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    child.stdin.take().unwrap().write_all(b"One.\nTwo.\nThree.\n").unwrap();
    stdout(&child.wait_with_output().unwrap());
    let found = records(&std::fs::read_to_string(trace.path()).unwrap());
    let arms: Vec<Value> = of_type(&found, "answer").iter().map(|answer| answer["arm"].clone()).collect();
    assert_eq!(arms, ["steered", "plain", "steered"]);
    let scores: Vec<Value> = of_type(&found, "judge").iter().map(|judge| judge["score"].clone()).collect();
    assert_eq!(scores, [json!(30.0), Value::Null, json!(32.0)]);
}

fn files(dir: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(std::fs::read(path).unwrap()) }
    }
    found
}

#[test]
fn the_key_goes_to_the_server_and_nowhere_else() {
    const KEY: &str = "sk-s3cret-0123456789";
    // The server hands back what it was sent, in every place that a message or a score could quote.
    let server = FaultServer::start(|request, n| {
        let sent = request.header("authorization").unwrap().to_owned();
        match n % 4 {
            0 => status(401, &format!("wrong key: {sent}")),
            1 => json_reply(200, &json!({ "error": { "message": sent } })),
            2 => chat(&format!("{sent}\nSCORE: {sent}")),
            _ => chat(&format!("{sent}\nSCORE: 50")),
        }
    });
    let (model, url, dir) = (model(), server.url(), tempfile::tempdir().unwrap());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("in.jsonl"), "{\"query\":\"q\",\"draft\":\"d\"}\n").unwrap();
    let key_dir = tempfile::tempdir().unwrap();
    let key_file = key_dir.path().join("key");
    std::fs::write(&key_file, KEY).unwrap();
    let mut shown = Vec::new();
    for (n, from_file) in
        [(0, false), (1, false), (2, true), (3, false), (4, true), (5, false), (6, false), (7, true)]
    {
        let (cache, trace, out) = (path("cache"), path(&format!("trace{n}")), path(&format!("out{n}")));
        let judge = ["--judge", &url, "--judge-model", "m", "--judge-cache-dir", &cache, "-i", PIRATE];
        let input = path("in.jsonl");
        let common = if n < 4 {
            vec!["generate", "-m", &model, "-p", "Hi", "-n", "2", "-t", "1", "-c", "256", "--trace", &trace]
        } else {
            vec!["score", "-f", &input, "-o", &out]
        };
        let mut command = sda(&[&common[..], &judge].concat());
        if from_file {
            command.arg("--judge-key-file").arg(&key_file)
        } else {
            command.env("SDA_JUDGE_KEY", KEY)
        };
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(n % 4 != 3)), "{n}: {}", stderr(&output));
        shown.extend([output.stdout, output.stderr]);
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 8);
    assert!(requests.iter().all(|r| r.header("authorization") == Some(&format!("Bearer {KEY}"))));
    let written = files(dir.path());
    assert!(written.len() >= 4 + 4 + 2, "traces, outputs and cache entries: {}", written.len());
    for bytes in shown.iter().chain(&written) {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains("s3cret"), "{text}");
    }
    assert!(shown.iter().any(|bytes| String::from_utf8_lossy(bytes).contains("[redacted]")));
}

#[test]
fn a_key_given_where_it_does_not_belong_is_not_repeated() {
    let base = ["generate", "-m", "x", "-p", "x", "-i", "y", "--judge", "http://127.0.0.1:1/v1"];
    for wrong in [
        &["--judge-key-env", "sk-s3cret-0123456789"][..],
        &["--judge-key-env=sk-s3cret-0123456789"],
        &["--judge-key-file", "sk-s3cret-0123456789-0123456789"],
        &["--judge-key", "sk-s3cret-0123456789"],
        &["--judge-key=sk-s3cret-0123456789"],
    ] {
        let output = run(&[&base, wrong].concat());
        assert!(!output.status.success());
        assert!(!stderr(&output).contains("s3cret"), "{wrong:?}: {}", stderr(&output));
    }
}
