//! `sda generate -f FILE.jsonl`: many answers, each exactly once, whatever happens to the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use crate::command::{model, records, run, stderr, stdout};
use sda_test_kit::fault_server::{FaultServer, chat};
use serde_json::{Value, json};

const PIRATE: &str = "Answer like a pirate.";

/// A folder with a list in it.
struct List {
    folder: tempfile::TempDir,
}

impl List {
    fn new(records: &[Value]) -> List {
        let list = List { folder: tempfile::tempdir().unwrap() };
        let lines: Vec<String> = records.iter().map(|record| format!("{record}\n")).collect();
        std::fs::write(list.path("list.jsonl"), lines.concat()).unwrap();
        list
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command line for the list, with the answers in out.jsonl. One thread, since these tests run side by
    /// side.
    fn args(&self, extra: &[&str]) -> Vec<String> {
        let paths = ["list.jsonl", "out.jsonl"].map(|name| self.path(name).to_str().unwrap().to_owned());
        let own = ["generate", "-t", "1", "-m", &model(), "-i", PIRATE, "-f", &paths[0], "-o", &paths[1]];
        own.iter().chain(extra).map(|arg| (*arg).to_owned()).collect()
    }

    fn run(&self, extra: &[&str]) -> Output {
        run(&self.args(extra).iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// As [`List::run`], without waiting for the end.
    fn start(&self, extra: &[&str]) -> Child {
        let args = self.args(extra);
        let mut command = crate::command::sda(&args.iter().map(String::as_str).collect::<Vec<_>>());
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn out(&self) -> Vec<Value> {
        records(&std::fs::read_to_string(self.path("out.jsonl")).unwrap())
    }
}

fn text<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap_or_else(|| panic!("no {field} in {record}"))
}

/// Records with texts of different length, so that they do not all end together.
fn queries() -> Vec<Value> {
    vec![
        json!({ "id": "a", "query": "What is the capital of France?" }),
        json!({ "id": "b", "prompt": "Why is the sky blue?", "guidance": 2, "seed": 11 }),
        json!({ "query": "Name three animals.", "instruction": "Be very brief.", "topic": "animals" }),
        json!({ "id": 4, "query": "Say hello.", "score": 30 }),
        json!({ "id": "e", "query": "Count to ten.", "amplification": 0.1 }),
    ]
}

/// Each answer by its key.
#[track_caller]
fn by_key(records: &[Value]) -> BTreeMap<String, &Value> {
    let map: BTreeMap<String, &Value> =
        records.iter().map(|record| (text(record, "key").to_owned(), record)).collect();
    assert_eq!(map.len(), records.len(), "an answer is there twice");
    map
}

#[test]
fn one_at_a_time_the_answers_are_those_of_single_runs() {
    let list = List::new(&queries());
    assert_eq!(stderr(&list.run(&["-np", "1", "-n", "12", "-s", "7"])), "");
    let answers = list.out();
    assert_eq!(answers.len(), 5);
    let model = model();
    for (answer, query) in answers.iter().zip(&queries()) {
        let seed = answer["seed"].to_string();
        let strength: &[&str] = match answer["id"].as_str() {
            Some("b") => &["--guidance", "2"],
            Some("e") => &["--amplification", "0.1"],
            _ if answer["id"] == 4 => &["--score", "30"],
            _ => &[],
        };
        let instruction = query["instruction"].as_str().unwrap_or(PIRATE);
        let single = [
            &["generate", "-m", &model, "-p", text(answer, "query"), "-i", instruction, "-n", "12"][..],
            &["--json", "-t", "1", "-s", &seed],
            strength,
        ];
        let single = records(&stdout(&run(&single.concat()))).pop().unwrap();
        for field in ["text", "tokens", "finish", "guidance", "amplification", "arm"] {
            assert_eq!(answer[field], single[field], "{field} of {answer}");
        }
    }
    assert_eq!(answers[1]["seed"], 11);
    assert_eq!(answers[2]["record"], queries()[2], "what the record held is handed on");
    assert_eq!(answers[3]["score"], 30.0);
    // printf 7:a | sha256sum | head -c 8
    assert_eq!(answers[0]["seed"], 0x82d9_d62b_u32);
}

#[test]
fn without_output_the_answers_are_printed() {
    let list = List::new(&queries());
    let (model, path) = (model(), list.path("list.jsonl"));
    let args = ["-m", &model, "-i", PIRATE, "-f", path.to_str().unwrap(), "-t", "1", "--parallel", "3"];
    let answers = records(&stdout(&run(&[&["generate", "-n", "4", "-s", "1"], &args[..]].concat())));
    assert_eq!(by_key(&answers).len(), 5);
    assert!(answers.iter().all(|answer| answer["type"] == "answer" && !text(answer, "text").is_empty()));
}

/// Lines that end, in a file that may not be there.
fn lines(path: &Path) -> usize {
    std::fs::read(path).map_or(0, |bytes| bytes.iter().filter(|&&b| b == b'\n').count())
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_and_nothing_is_lost_or_doubled() {
    use std::io::Write;
    let list = List::new(&queries());
    let settings = ["-np", "1", "-n", "16", "-s", "7"];
    let whole = {
        stdout(&list.run(&settings));
        let whole = list.out();
        std::fs::remove_file(list.path("out.jsonl")).unwrap();
        whole
    };
    let out = list.path("out.jsonl");
    for (kill_at, torn) in [(0, ""), (1, "{\"key\":\"a#12"), (3, "{\"k"), (4, "")] {
        let mut child = list.start(&settings);
        let start = Instant::now();
        while lines(&out) < kill_at {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
            assert!(start.elapsed() < Duration::from_secs(120));
            std::thread::sleep(Duration::from_millis(2));
        }
        if kill_at == 0 {
            // Somewhere while the model is loaded or the first answer is written.
            std::thread::sleep(Duration::from_millis(300));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What the kernel would leave of a line whose write was cut short.
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&out)
            .unwrap()
            .write_all(torn.as_bytes())
            .unwrap();
    }
    stdout(&list.run(&settings));
    let resumed = list.out();
    let (whole, resumed) = (by_key(&whole), by_key(&resumed));
    assert_eq!(whole.keys().collect::<Vec<_>>(), resumed.keys().collect::<Vec<_>>());
    for (key, answer) in &whole {
        for field in ["text", "seed", "id", "query", "finish"] {
            assert_eq!(answer[field], resumed[key][field], "{field} of {key}");
        }
    }
    // A run with nothing left to do does not touch the file.
    let before = std::fs::read(&out).unwrap();
    let output = list.run(&settings);
    assert!(output.status.success() && stderr(&output).contains("all 5 answers are there already"));
    assert_eq!(std::fs::read(&out).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_answers_that_are_done() {
    let list = List::new(&queries());
    let out = list.path("out.jsonl");
    let child = list.start(&["-np", "2", "-n", "40", "-s", "7"]);
    let start = Instant::now();
    while lines(&out) < 1 {
        assert!(start.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(2));
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let kept = list.out();
    assert!((1..5).contains(&kept.len()) && kept.iter().all(|answer| answer["finish"] != "cancelled"));
    assert!(stderr(&output).contains(&format!("stopped with {} of 5 answers", kept.len())));
    stdout(&list.run(&["-np", "2", "-n", "40", "-s", "7"]));
    let all = list.out();
    assert_eq!(by_key(&all).len(), 5);
    assert_eq!(all[..kept.len()], kept);
}

#[test]
fn a_record_that_fails_is_recorded_and_tried_again() {
    let list = List::new(&[
        json!({ "id": "long", "query": "word ".repeat(300) }),
        json!({ "id": "short", "query": "Say hello." }),
        json!({ "id": "unscored", "query": "Say hello.", "error": "judge gave no score: no" }),
    ]);
    for run in 0..2 {
        let output = list.run(&["-n", "4", "-s", "1", "-c", "128"]);
        assert_eq!(output.status.code(), Some(1));
        let text = stderr(&output);
        assert!(text.contains("2 of 3 answers failed"), "{text}");
        let answers = list.out();
        assert_eq!(by_key(&answers).len(), 3, "run {run}");
        let find = |id: &str| answers.iter().find(|answer| answer["id"] == id).unwrap();
        assert!(self::text(find("long"), "error").contains("context is full"));
        assert!(find("short")["error"].is_null() && find("short")["tokens"] == 4);
        // It is not steered by anything but the score that it should have had.
        assert_eq!(find("unscored")["error"], "judge gave no score: no");
        assert!(find("unscored")["text"].is_null());
    }
}

#[test]
fn each_arm_is_an_answer_and_a_judged_record_keeps_its_draft() {
    let list = List::new(&[json!({ "id": 1, "query": "Say hello." }), json!({ "id": 2, "query": "Count." })]);
    let answers = |arms: &[&str]| {
        stdout(&list.run(&[&["-n", "6", "-s", "1", "--restart"], arms].concat()));
        let answers = list.out();
        let mut arms: Vec<(u64, String)> = answers
            .iter()
            .map(|answer| (answer["id"].as_u64().unwrap(), text(answer, "arm").to_owned()))
            .collect();
        arms.sort();
        (arms.into_iter().map(|(id, arm)| format!("{id} {arm}")).collect::<Vec<_>>(), answers)
    };
    let all = ["1 instructed", "1 plain", "1 steered", "2 instructed", "2 plain", "2 steered"];
    assert_eq!(answers(&["--compare"]).0, all);
    assert_eq!(answers(&["--arms", "instructed"]).0, ["1 instructed", "2 instructed"]);
    let (arms, answers) = answers(&["--judge", "local"]);
    assert_eq!(arms, ["1 plain", "1 steered", "2 plain", "2 steered"]);
    for answer in answers.iter().filter(|answer| answer["arm"] == "steered") {
        let score = answer["score"].as_f64().unwrap();
        let a = ((100.0 - score) / (2.0 * score)).tanh();
        assert!((answer["amplification"].as_f64().unwrap() - a).abs() < 1e-6, "{answer}");
    }
}

#[test]
fn a_servers_scores_decide_and_a_missing_one_is_handled_as_the_user_chose() {
    let list = List::new(&[
        json!({ "id": 1, "query": "Say hello." }),
        json!({ "id": 2, "query": "Count to ten." }),
        json!({ "id": 3, "query": "Name three animals.", "score": 90 }),
    ]);
    let server = FaultServer::start(|request, _| {
        if request.prompt().contains("Count to ten") { chat("no idea") } else { chat("{\"score\": 40}") }
    });
    let url = server.url();
    let find = |id: u64, arm: &str| {
        let answers = list.out();
        let key = |answer: &Value| text(answer, "key").to_owned();
        let mut found = answers.into_iter().filter(|answer| answer["id"] == id && answer["arm"] == arm);
        let answer = found.next().unwrap_or_else(|| panic!("no {arm} answer {id}"));
        assert!(found.all(|other| key(&other) != key(&answer)));
        answer
    };
    // One at a time: the shapes of the decodes, and so the rounding, follow from nothing else.
    let options = ["-n", "6", "-s", "1", "-np", "1", "--judge", &url];
    let output = list.run(&options);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("1 of 5 answers failed"), "{}", stderr(&output));
    let steered = find(1, "steered");
    assert_eq!((&steered["score"], &steered["judge"]["attempts"]), (&json!(40.0), &json!(1)));
    let a = (60.0_f64 / 80.0).tanh();
    assert!((steered["amplification"].as_f64().unwrap() - a).abs() < 1e-6);
    assert_eq!(find(3, "steered")["score"], 90.0, "a record's own score is not asked for");
    let failed = find(2, "steered");
    assert!(text(&failed, "error").contains("no idea") && failed["text"].is_null(), "{failed}");
    let asked = server.count();

    stdout(&list.run(&[&options[..], &["--on-judge-failure", "instructed", "--restart"]].concat()));
    let unsteered = find(2, "instructed");
    assert!(text(&unsteered, "judge_error").contains("no idea") && unsteered["error"].is_null());
    assert!(unsteered["score"].is_null() && unsteered["amplification"].is_null());
    assert_eq!(find(1, "steered")["text"], steered["text"]);
    assert!(server.count() > asked);
}

#[test]
fn answers_of_other_settings_are_not_taken_for_this_runs() {
    let list = List::new(&queries()[..1]);
    stdout(&list.run(&["-n", "4", "-s", "1"]));
    let before = std::fs::read(list.path("out.jsonl")).unwrap();
    for other in
        [&["-n", "5", "-s", "1"][..], &["-n", "4", "-s", "2"], &["-n", "4", "-s", "1", "--guidance", "3"]]
    {
        let output = list.run(other);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("belongs to other input or settings"), "{}", stderr(&output));
        assert_eq!(std::fs::read(list.path("out.jsonl")).unwrap(), before);
    }
    // How many run side by side is no setting of an answer, nor is the folder that the model lies in.
    stdout(&list.run(&["-n", "4", "-s", "1", "-np", "2"]));
    #[cfg(unix)]
    {
        let moved = list.path(Path::new(&model()).file_name().unwrap().to_str().unwrap());
        std::os::unix::fs::symlink(model(), &moved).unwrap();
        let mut args = list.args(&["-n", "4", "-s", "1"]);
        *args.iter_mut().find(|arg| **arg == model()).unwrap() = moved.to_str().unwrap().to_owned();
        let output = run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(stderr(&output).contains("all 1 answers are there already"), "{}", stderr(&output));
    }
    // As 0.1.0 wrote it.
    let old = String::from_utf8(before).unwrap().replace("#2:", "#");
    std::fs::write(list.path("out.jsonl"), &old).unwrap();
    let output = list.run(&["-n", "4", "-s", "1"]);
    assert!(stderr(&output).contains("was written by sda 0.1.0"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(list.path("out.jsonl")).unwrap(), old);
}

#[test]
fn a_bad_list_is_refused_with_its_line() {
    let cases = [
        (json!({ "id": 1 }), "line 2: has no \"query\""),
        (json!({ "query": " " }), "line 2: its \"query\" is empty"),
        (json!({ "query": "a", "prompt": "b" }), "line 2: has a \"query\" and a \"prompt\""),
        (json!({ "query": "a", "score": 0 }), "line 2: score is 0, must be greater than 0"),
        (json!({ "query": "a", "score": 5, "guidance": 2 }), "line 2: must have at most one of"),
        (json!({ "query": "a", "seed": -1 }), "line 2: \"seed\" is -1, must be a whole number from 0 to"),
        (json!({ "query": "a", "instruction": 3 }), "line 2: instruction is 3, must be a text"),
        (json!({ "query": "a", "guidance": 1e99 }), "line 2: its steering is out of range"),
    ];
    for (record, message) in cases {
        let list = List::new(&[json!({ "query": "x" }), record.clone()]);
        let output = list.run(&["-n", "1"]);
        assert_eq!(output.status.code(), Some(1), "{record}");
        assert!(stderr(&output).contains(message), "{record}: {}", stderr(&output));
        assert!(!list.path("out.jsonl").exists());
    }
    let output = List::new(&[]).run(&["--trace", "t.jsonl"]);
    assert_eq!(output.status.code(), Some(2));
    let model = model();
    for lone in [&["-o", "x"][..], &["--restart"], &["--arms", "plain"], &["--arms", "some", "-f", "x.jsonl"]]
    {
        let output = run(&[&["generate", "-m", &model], lone].concat());
        assert_eq!(output.status.code(), Some(2), "{lone:?}");
    }
}

#[test]
fn a_benchmark_measures_everything_it_names() {
    let model = model();
    let sizes = ["-t", "1", "-p", "12", "-n", "2", "-r", "3", "-N", "1,2"];
    let output = run(&[&["bench", "-m", &model, "--json"], &sizes[..]].concat());
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let median = |value: &Value| {
        let all = value["all"].as_array().unwrap();
        assert_eq!(all.len(), 3, "{value}");
        let [min, median, max] = ["min", "median", "max"].map(|name| value[name].as_f64().unwrap());
        assert!(0.0 < min && min <= median && median <= max, "{value}");
        median
    };
    // That it was measured, not how fast: other work on the machine decides which of two times is the longer.
    for step in ["plain", "bare", "steered", "dropin"] {
        median(&report["step"][step]["ms"]);
    }
    median(&report["kernel_ms"]);
    median(&report["sampling_ms"]);
    median(&report["prefill"]["apart_over_shared"]);
    assert_eq!(report["prefill"]["shared"]["rows"], 12 + 32 + 2);
    assert_eq!(report["prefill"]["apart"]["rows"], 2 * 12 + 32 + 2);
    assert_eq!(report["n_vocab"], 49152);
    let kv = report["kv_mib"]["pair"].as_f64().unwrap();
    assert!(kv > 0.0 && report["kv_mib"]["branch"].as_f64() == Some(kv / 2.0));
    let many = report["many"].as_array().unwrap();
    assert_eq!(many.iter().map(|many| many["pairs"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    for many in many {
        median(&many["steered_over_bare"]);
    }
    let table = stdout(&run(&[&["bench", "-m", &model], &sizes[..]].concat()));
    for row in ["plain, one row", "bare decode of two rows", "drop-in", "the kernel", "read once", "KV cache"]
    {
        assert!(table.contains(row), "{table}");
    }
    let output = run(&["bench", "-m", &model, "-c", "8"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--ctx-size is 8, must be at least"));
}
