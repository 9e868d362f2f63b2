//! `sda score` against the fault server: nothing is lost, nothing comes twice, no score is made up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::command::{model, records, sda, stderr, stdout};
use sda_test_kit::fault_server::faults::{FAULTS, fault, good, truth};
use sda_test_kit::fault_server::{FaultServer, Reply, Request, chat, status};
use serde_json::{Value, json};
use tempfile::TempDir;

const COUNT: usize = 100;

struct Run {
    dir: TempDir,
    input: PathBuf,
    output: PathBuf,
}

impl Run {
    fn new(lines: &[Value]) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("in.jsonl"), dir.path().join("out.jsonl"));
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&input, text).unwrap();
        Run { dir, input, output }
    }

    /// `count` records, each with a draft that names its number.
    fn numbered(count: usize) -> Run {
        let record =
            |n| json!({ "id": n, "query": "q", "draft": format!("draft {n} of many"), "other": [n] });
        Run::new(&(0..count).map(record).collect::<Vec<_>>())
    }

    fn args<'a>(&'a self, url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let path = |path: &'a Path| path.to_str().unwrap();
        let (input, output) = (path(&self.input), path(&self.output));
        let args = ["score", "-f", input, "-o", output, "--judge", url, "-i", "be brief"];
        [&args, more].concat()
    }

    fn scored(&self) -> Vec<Value> {
        records(&std::fs::read_to_string(&self.output).unwrap_or_default())
    }

    /// Checks that the output holds every record once, as it was given, with its own score or an error.
    /// Returns the numbers of those that have failed.
    fn check(&self, count: usize) -> BTreeSet<usize> {
        let mut seen = BTreeMap::new();
        for record in self.scored() {
            let n = record["id"].as_u64().unwrap() as usize;
            assert_eq!(record["record"]["other"], json!([n]), "what is not understood is kept");
            match record["error"].as_str() {
                None => assert_eq!(record["score"], f64::from(truth(n)), "{record}"),
                Some(error) => {
                    assert!(
                        error.starts_with("judge gave no score: ") && error.contains("attempt"),
                        "{error}"
                    );
                    assert_eq!(record["score"], Value::Null, "{record}");
                }
            }
            assert!(seen.insert(n, record["error"].is_string()).is_none(), "{n} is there twice");
        }
        assert_eq!(seen.len(), count);
        seen.into_iter().filter(|(_, failed)| *failed).map(|(n, _)| n).collect()
    }
}

/// The number of the draft that a request is about.
fn number(request: &Request) -> usize {
    let prompt = request.prompt();
    prompt.split("draft ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_hundred_records_through_every_fault_lose_nothing_and_invent_nothing() {
    let run = Run::numbered(COUNT);
    let faulty = Arc::new(AtomicBool::new(true));
    let used = Arc::new(Mutex::new(BTreeSet::new()));
    let attempts = Mutex::new(HashMap::<usize, usize>::new());
    let (faulty_, used_) = (faulty.clone(), used.clone());
    let server = FaultServer::start(move |request, _| {
        let n = number(request);
        let attempt = {
            let mut attempts = attempts.lock().unwrap();
            *attempts.entry(n).and_modify(|a| *a += 1).or_insert(1)
        };
        match fault(n, attempt).filter(|_| faulty_.load(Ordering::SeqCst)) {
            None => good(truth(n)),
            Some((name, reply)) => {
                used_.lock().unwrap().insert(*name);
                reply(truth(n))
            }
        }
    });
    let url = server.url();
    let options = ["--parallel", "16", "--judge-timeout", "1", "--judge-retries", "2"];
    let first = crate::command::run(&run.args(&url, &options));
    assert_eq!(first.status.code(), Some(1), "{}", stderr(&first));
    assert_eq!(used.lock().unwrap().len(), FAULTS.len(), "every fault was injected");
    let failed = run.check(COUNT);
    assert!((20..=80).contains(&failed.len()), "{} failed", failed.len());
    let told = format!("{} of {COUNT} records have no score", failed.len());
    assert!(stderr(&first).contains(&told), "{}", stderr(&first));

    // The server recovers: only what has failed is asked again.
    faulty.store(false, Ordering::SeqCst);
    let before = server.count();
    let second = crate::command::run(&run.args(&url, &options));
    assert!(stdout(&second).is_empty());
    assert_eq!(server.count() - before, failed.len());
    assert_eq!(run.check(COUNT), BTreeSet::new());

    // A third run has nothing to do and says so.
    let before = (server.count(), std::fs::read(&run.output).unwrap());
    let third = crate::command::run(&run.args(&url, &options));
    assert!(third.status.success() && stderr(&third).contains("100 of 100 records have a score already"));
    assert_eq!((server.count(), std::fs::read(&run.output).unwrap()), before);
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_every_record_once() {
    let run = Run::numbered(COUNT);
    let asked = Arc::new(Mutex::new(HashMap::<usize, usize>::new()));
    let asked_ = asked.clone();
    let server = FaultServer::start(move |request, _| {
        let n = number(request);
        *asked_.lock().unwrap().entry(n).or_default() += 1;
        Reply::After(Duration::from_millis(20), Box::new(good(truth(n))))
    });
    let url = server.url();
    let (mut kills, mut last) = (0, 0);
    loop {
        let mut child = sda(&run.args(&url, &["--parallel", "4"])).spawn().unwrap();
        // Killed once some more results are there; the last run is left alone.
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            let there = std::fs::read(&run.output).map_or(0, |b| b.iter().filter(|&&b| b == b'\n').count());
            if kills < 8 && there >= last + 5 {
                child.kill().unwrap();
                child.wait().unwrap();
                (kills, last) = (kills + 1, there);
                break None;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if let Some(status) = status {
            assert!(status.success());
            break;
        }
    }
    assert_eq!(kills, 8);
    assert_eq!(run.check(COUNT), BTreeSet::new());
    let asked: usize = asked.lock().unwrap().values().sum();
    assert!(asked <= COUNT + 8 * 5, "{asked} requests: only what was under way is asked again");
    assert_eq!(std::fs::read_dir(run.dir.path()).unwrap().count(), 2, "nothing is left behind");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_that_waits_and_keeps_what_is_done() {
    let run = Run::numbered(6);
    let server = FaultServer::start(|request, _| match number(request) {
        n @ 0..3 => good(truth(n)),
        _ => Reply::After(Duration::from_secs(60), Box::new(chat("SCORE: 1"))),
    });
    let url = server.url();
    let mut child = sda(&run.args(&url, &["--parallel", "2"])).spawn().unwrap();
    while run.output.metadata().map_or(0, |m| m.len()) == 0 || run.scored().len() < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let start = Instant::now();
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(run.check(3), BTreeSet::new());
}

#[test]
fn as_many_requests_are_under_way_as_was_asked_for() {
    for parallel in [1, 6] {
        let run = Run::numbered(12);
        let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let most_ = most.clone();
        let server = FaultServer::start(move |request, _| {
            most_.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(150));
            now.fetch_sub(1, Ordering::SeqCst);
            good(truth(number(request)))
        });
        let output = crate::command::run(&run.args(&server.url(), &["--parallel", &parallel.to_string()]));
        stdout(&output);
        assert_eq!(most.load(Ordering::SeqCst), parallel);
    }
}

#[test]
fn each_record_is_judged_by_its_own_criterion_and_template() {
    let dir = tempfile::tempdir().unwrap();
    let template = dir.path().join("empathy.txt");
    std::fs::write(&template, "Own words for empathy: {draft}").unwrap();
    let run = Run::new(&[
        json!({ "query": "q", "draft": "number 0", "instruction": "own instruction" }),
        json!({ "query": "q", "draft": "number 1", "dimension": "reasoning" }),
        json!({ "query": "q", "answer": "<think>number 9</think>number 2" }),
        json!({ "query": "q", "draft": "number 3", "dimension": "empathy" }),
    ]);
    let server = FaultServer::start(|_, n| chat(&format!("{{\"score\": {}}}", n + 1)));
    let prompts = format!("empathy={}", template.display());
    let output = crate::command::run(&run.args(&server.url(), &["-jp", &prompts, "--parallel", "1"]));
    stdout(&output);
    let prompts: Vec<String> = server.requests().iter().map(Request::prompt).collect();
    let contain =
        ["The instruction: own instruction", "Reasoning.", "The instruction: be brief", "Own words"];
    for (n, (prompt, text)) in prompts.iter().zip(contain).enumerate() {
        assert!(prompt.contains(text) && prompt.contains(&format!("number {n}")), "{prompt}");
        assert_eq!(prompt.contains("Own words"), n == 3);
        assert!(!prompt.contains("number 9"), "thinking is not judged");
    }
}

#[test]
fn a_run_with_other_settings_or_input_does_not_mix_its_scores_in() {
    let run = Run::numbered(2);
    let server = FaultServer::start(|request, _| good(truth(number(request))));
    let url = server.url();
    stdout(&crate::command::run(&run.args(&url, &[])));
    let written = std::fs::read(&run.output).unwrap();
    for more in [&["--judge-model", "other"][..], &["--judge-seed", "2"], &["--judge-dimension", "empathy"]] {
        let output = crate::command::run(&run.args(&url, more));
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("belongs to other input or settings"), "{}", stderr(&output));
        assert_eq!(std::fs::read(&run.output).unwrap(), written);
    }
    // Neither the key nor how long to wait changes a score.
    let mut again = sda(&run.args(&url, &["--judge-timeout", "9", "--judge-retries", "0"]));
    stdout(&again.env("SDA_JUDGE_KEY", "sk-x").output().unwrap());
    assert_eq!(server.count(), 2);
    stdout(&crate::command::run(&run.args(&url, &["--judge-seed", "2", "--restart"])));
    assert_eq!(server.count(), 4);
    run.check(2);
}

#[test]
fn a_record_that_cannot_be_scored_is_named_before_anything_is_asked() {
    let server = FaultServer::start(|_, _| chat("{\"score\": 50}"));
    let url = server.url();
    let good = json!({ "query": "q", "draft": "d" });
    let cases = [
        (json!({ "draft": "d" }), "line 2: there is no \"query\""),
        (json!({ "query": "q" }), "line 2: there is neither \"draft\" nor \"answer\""),
        (json!({ "query": 1, "draft": "d" }), "line 2: query is 1, must be a text"),
        (json!({ "query": "q", "draft": "d", "dimension": "kindness" }), "line 2: dimension is kindness"),
        (json!([1]), "line 2: not a JSON object"),
        (good.clone(), "nothing to score by"),
    ];
    for (bad, message) in cases {
        let run = Run::new(&[good.clone(), bad.clone()]);
        let mut args = run.args(&url, &[]);
        if bad == good {
            args.truncate(args.len() - 2);
        }
        let output = crate::command::run(&args);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        assert!(!run.output.exists());
    }
    assert_eq!(server.count(), 0);
}

#[test]
fn a_failure_of_scoring_again_leaves_no_old_score_behind() {
    let old =
        json!({ "query": "q", "draft": "d", "score": 90.0, "samples": [90.0], "judge": { "name": "x" } });
    let run = Run::new(&[old]);
    let server = FaultServer::start(|_, _| status(401, "no key"));
    assert_eq!(crate::command::run(&run.args(&server.url(), &[])).status.code(), Some(1));
    let record = &run.scored()[0];
    assert_eq!((&record["score"], &record["samples"]), (&Value::Null, &Value::Null), "{record}");
    assert!(record["error"].as_str().unwrap().contains("401"));
}

#[test]
fn without_an_output_file_records_go_to_standard_output() {
    let run = Run::numbered(3);
    let server = FaultServer::start(|request, _| match number(request) {
        1 => status(400, "no"),
        n => good(truth(n)),
    });
    let (input, url) = (run.input.to_str().unwrap(), server.url());
    let output =
        crate::command::run(&["score", "-f", input, "--judge", &url, "--judge-dimension", "empathy"]);
    assert_eq!(output.status.code(), Some(1));
    let found = records(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|record| record["score"].is_number() != record["error"].is_string()));
}

#[test]
fn missing_drafts_are_written_and_kept_when_judging_them_fails() {
    let model = model();
    let queries = ["What is the capital of France?", "Name a colour."];
    let lines: Vec<Value> = queries.iter().map(|query| json!({ "query": query })).collect();
    let run = Run::new(&lines);
    let down = Arc::new(AtomicBool::new(true));
    let down_ = down.clone();
    let server = FaultServer::start(move |_, _| {
        if down_.load(Ordering::SeqCst) { status(400, "not now") } else { chat("{\"score\": 60}") }
    });
    let url = server.url();
    let more = ["-m", &model, "-n", "6", "--temp", "0", "-t", "1", "-c", "256"];
    assert_eq!(crate::command::run(&run.args(&url, &more)).status.code(), Some(1));
    let drafts = |records: &[Value]| {
        let text =
            |r: &Value| (r["query"].as_str().unwrap().to_owned(), r["draft"].as_str().unwrap().to_owned());
        records.iter().map(text).collect::<BTreeMap<_, _>>()
    };
    let first = drafts(&run.scored());
    assert!(first.values().all(|draft| !draft.trim().is_empty()), "{first:?}");
    let plain = crate::command::run(&[
        "generate",
        "-m",
        &model,
        "-p",
        queries[0],
        "--compare",
        "-i",
        "x",
        "-n",
        "6",
        "--temp",
        "0",
        "-t",
        "1",
        "-c",
        "256",
    ]);
    let plain = stdout(&plain);
    assert!(plain.starts_with(&format!("=== plain ===\n{}\n", first[queries[0]])), "{plain} {first:?}");

    down.store(false, Ordering::SeqCst);
    stdout(&crate::command::run(&run.args(&url, &more)));
    assert_eq!(drafts(&run.scored()), first);
    assert!(run.scored().iter().all(|record| record["score"] == 60.0));
    for request in server.requests() {
        assert!(first.values().any(|draft| request.prompt().contains(draft.trim())));
    }
}

#[test]
fn the_loaded_model_scores_its_own_drafts_and_given_ones() {
    let model = model();
    let run = Run::new(&[
        json!({ "query": "What is 2 + 2?", "draft": "4" }),
        json!({ "query": "What is 2 + 2?" }),
        json!({ "query": "What is 2 + 2?", "draft": " " }),
    ]);
    let output = crate::command::run(&run.args("local", &["-m", &model, "-n", "8", "-t", "1", "-c", "1024"]));
    assert_eq!(output.status.code(), Some(1));
    let found = run.scored();
    for record in &found[..2] {
        assert!((1.0..=100.0).contains(&record["score"].as_f64().unwrap()), "{record}");
        assert_eq!(record["judge"]["name"], "local");
        assert!(record["judge"]["spread"].as_f64().unwrap() > 0.0);
    }
    assert!(found[2]["error"].as_str().unwrap().contains("blank"), "{}", found[2]);
    // A dimension is a criterion of its own, and another one than the instruction.
    let mut by_dimension =
        run.args("local", &["-m", &model, "-n", "8", "-t", "1", "-c", "1024", "--restart"]);
    by_dimension.extend(["--judge-dimension", "reasoning"]);
    crate::command::run(&by_dimension);
    assert_ne!(run.scored()[0]["score"], found[0]["score"]);
    let output =
        crate::command::run(&["score", "-f", run.input.to_str().unwrap(), "--judge", "local", "-i", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--judge local needs a model"), "{}", stderr(&output));
}
