//! `sda plot` as its users meet it, from a trace of a real model to pictures.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::{model, one_thread, run, stderr, stdout};

const PIRATE: [&str; 4] = ["-p", "What is the capital of France?", "-i", "Answer like a pirate."];

fn generate(args: &[&str]) -> Vec<Value> {
    let model = model();
    let output = one_thread(&[&["generate", "-m", &model, "--json"], &PIRATE[..], args].concat()).output();
    crate::command::records(&stdout(&output.unwrap()))
}

/// Pictures of a trace, in a folder of their own.
struct Album {
    folder: tempfile::TempDir,
}

impl Album {
    fn new() -> Album {
        Album { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// What is drawn, without a word.
    #[track_caller]
    fn plot(&self, args: &[&str], name: &str) -> Vec<u8> {
        let output = run(&[&["plot"], args, &["-o", &self.path(name)]].concat());
        assert_eq!((stdout(&output), stderr(&output)), (String::new(), String::new()));
        std::fs::read(Path::new(&self.path(name))).unwrap()
    }

    /// The same as text.
    #[track_caller]
    fn text(&self, args: &[&str], name: &str) -> String {
        String::from_utf8(self.plot(args, name)).unwrap()
    }

    /// What the viewer shows of a trace.
    #[track_caller]
    fn viewed(&self, trace: &str) -> Value {
        let page = self.text(&["viewer", trace], "viewer.html");
        let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
    }
}

/// `(token, log-probability)` of a list in a record.
fn list(record: &Value, name: &str) -> Vec<(i64, f64)> {
    let items = record[name].as_array().unwrap_or_else(|| panic!("{name}: {record}"));
    items.iter().map(|item| (item[0].as_i64().unwrap(), item[2].as_f64().unwrap())).collect()
}

#[test]
fn records_hold_the_most_likely_tokens_of_each_distribution() {
    let records = generate(&["-n", "6", "--temp", "0", "--guidance", "2", "--paper", "--trace-top", "20"]);
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
    let album = Album::new();
    let trace = album.path("trace.jsonl");
    let records = generate(&["-n", "5", "-s", "1", "--trace", &trace]);
    assert!(album.text(&["step", "--trace", &trace, "--step", "0"], "step.svg").contains("steered"));
    assert!(album.plot(&["trace", &trace], "trace.png").starts_with(b"\x89PNG"));
    assert_eq!(album.viewed(&trace)["answers"][0]["steps"][0]["token"], records[0]["token"]);
}

#[test]
fn a_trace_of_a_judged_answer_is_drawn_and_shows_what_the_judge_said() {
    let album = Album::new();
    let trace = album.path("trace.jsonl");
    let records = generate(&["-n", "5", "-s", "1", "--judge", "local", "--trace", &trace]);
    let judge = records.iter().find(|record| record["type"] == "judge").unwrap();
    assert!(album.text(&["step", "--trace", &trace, "--step", "0"], "step.svg").contains("steered"));
    assert!(album.text(&["trace", &trace], "trace.svg").contains("5 tokens, mean divergence"));
    let viewed = album.viewed(&trace);
    let answers = viewed["answers"].as_array().unwrap();
    let shown: Vec<_> = answers.iter().map(|answer| (&answer["arm"], &answer["is_draft"])).collect();
    assert_eq!(shown, [(&json!("plain"), &json!(true)), (&json!("steered"), &json!(false))]);
    for answer in answers {
        assert_eq!(answer["judge"], *judge);
    }
    assert_eq!(viewed["first"], 1);
    let [shown, said] =
        [&answers[1]["summary"]["score"], &judge["score"]].map(|score| score.as_f64().unwrap());
    assert!((shown - said).abs() < 1e-4, "the judge's record has four digits: {shown} {said}");
}

#[test]
fn a_trace_of_the_first_version_is_drawn_with_its_judge() {
    let album = Album::new();
    let trace = album.path("trace.jsonl");
    // As 0.1.0 wrote it, for --judge URL --on-judge-failure instructed, after a turn with a score; shortened.
    let lines = [
        r#"{"arm":"plain","guidance":null,"js":null,"logprob_instructed":null,"logprob_plain":-0.4,"step":0,"temperature":0.6,"text":"Paris","token":5,"top_instructed":null,"top_plain":[[5,"Paris",-0.4]],"top_steered":null,"type":"token"}"#,
        r#"{"judge":{"attempts":1,"cached":false,"ms":12.0,"name":"m at h:1","spread":0.0},"samples":[40.0],"score":40.0,"type":"judge"}"#,
        r#"{"arm":"steered","guidance":2.3,"js":0.2,"logprob_instructed":-1.0,"logprob_plain":-2.0,"step":0,"temperature":0.5,"text":"Arr","token":7,"top_instructed":[[7,"Arr",-1.0]],"top_plain":[[5,"Paris",-0.4]],"top_steered":[[7,"Arr",-0.1]],"type":"token"}"#,
        r#"{"amplification":0.63,"arm":"steered","finish":"eog","guidance":2.3,"k":2.0,"mean_js":0.2,"ms":{"decode":1.0,"prefill":2.0,"sample":0.1},"prompt":{"decoded":44,"reused":27,"shared":27},"score":40.0,"seed":1,"text":"Arr","tokens":1,"type":"answer"}"#,
        r#"{"arm":"plain","guidance":null,"js":null,"logprob_instructed":null,"logprob_plain":-0.4,"step":0,"temperature":0.6,"text":"Rome","token":6,"type":"token"}"#,
        r#"{"error":"judge gave no score: no </script>","judge":{"ms":3.0,"name":"m at h:1"},"on_failure":"instructed","samples":null,"score":null,"type":"judge"}"#,
        r#"{"arm":"instructed","guidance":null,"js":null,"logprob_instructed":-1.0,"logprob_plain":null,"step":0,"temperature":0.6,"text":"Aye","token":8,"type":"token"}"#,
        r#"{"amplification":null,"arm":"instructed","finish":"eog","guidance":null,"mean_js":null,"ms":{"decode":1.0,"prefill":2.0,"sample":0.1},"prompt":{"decoded":44,"reused":0,"shared":0},"score":null,"seed":1,"text":"Aye","tokens":1,"type":"answer"}"#,
    ];
    std::fs::write(&trace, lines.join("\n")).unwrap();
    assert!(album.text(&["step", "--trace", &trace, "--step", "0"], "step.svg").contains("JS = 0.200"));
    assert!(album.text(&["trace", &trace], "trace.svg").contains("1 tokens"));
    let viewed = album.viewed(&trace);
    let scores: Vec<(&Value, &Value)> = viewed["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| (&answer["is_draft"], &answer["judge"]["score"]))
        .collect();
    let (yes, no, forty) = (json!(true), json!(false), json!(40.0));
    assert_eq!(scores, [(&yes, &forty), (&no, &forty), (&yes, &Value::Null), (&no, &Value::Null)]);
    assert_eq!(viewed["answers"][3]["judge"]["error"], "judge gave no score: no </script>");
}

#[test]
fn what_cannot_be_drawn_is_an_error_with_the_right_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("t.jsonl");
    std::fs::write(&trace, "{\"type\":\"token\",\"arm\":\"steered\"}\n").unwrap();
    let trace = trace.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["trace", trace, "-o", "x.gif"], 2, "x.gif: the file must end in .svg"),
        (&["trace", trace, "-o", "x.svg"], 1, "t.jsonl: line 1: step is missing"),
        (&["trace", "no-such.jsonl", "-o", "x.svg"], 1, "no-such.jsonl: "),
        (&["temperature", "--sigma", "0", "-o", "x.svg"], 2, "sigma is 0, must be greater than 0"),
    ];
    for (args, status, message) in cases {
        let output = run(&[&["plot"], args].concat());
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {text}");
        assert!(text.contains(message), "{args:?}: {text}");
    }
}
