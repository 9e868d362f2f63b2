//! The options of a judge: what they send, what they mean, and which are refused.

use sda_test_kit::fault_server::{FaultServer, Request, chat};
use serde_json::{Value, json};

use crate::command::{run, stderr, stdout};
use crate::judge::{PIRATE, generate};

#[test]
fn every_option_of_the_request_reaches_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let template = dir.path().join("t.txt");
    std::fs::write(&template, "How many points? {draft}").unwrap();
    let server = FaultServer::start(|_, _| chat("SCORE: 50"));
    let url = server.url();
    let options = [
        "-i",
        PIRATE,
        "--judge",
        &url,
        "--judge-model",
        "big",
        "--no-judge-cache",
        "--judge-temperature",
        "none",
        "--judge-seed",
        "none",
        "--judge-max-tokens",
        "9",
        "--judge-format",
        "text",
        "--judge-prompt",
        template.to_str().unwrap(),
    ];
    stdout(&generate("Hi", &options));
    let request = &server.requests()[0];
    let mut sent = request.json();
    assert!(request.prompt().contains("How many points?") && request.prompt().ends_with("SCORE: N"));
    sent["messages"] = Value::Null;
    assert_eq!(sent, json!({ "model": "big", "messages": null, "stream": false, "max_tokens": 9 }));
}

#[test]
fn wrong_usage_of_a_judge_is_status_2_before_a_model_is_loaded() {
    let cases: [(&[&str], &str); 17] = [
        (&["--judge", "ftp://here"], "judge url"),
        (&["--judge", "http://me:hunter2@host/v1"], "judge url"),
        (&["--judge", "http://h/v1", "--judge-n", "3"], "--judge-n is 3, must be 1 at --judge-temperature 0"),
        (&["--judge", "http://h/v1", "--judge-n", "0"], "judge samples is 0"),
        (&["--judge", "http://h/v1", "--judge-timeout", "0"], "judge timeout is 0 ms"),
        (&["--judge", "http://h/v1", "--judge-temperature", "9"], "judge temperature is 9"),
        (&["--judge", "http://h/v1", "--judge-retries", "99"], "judge retries is 99"),
        (&["--judge", "http://h/v1", "--judge-format", "yaml"], "auto, json_schema, json_object or text"),
        (&["--judge", "http://h/v1", "--judge-key-env", "SDA_NO_SUCH_KEY"], "SDA_NO_SUCH_KEY"),
        (&["--judge", "http://h/v1", "--on-judge-failure", "guess"], "error, plain or instructed"),
        (&["--judge", "local", "--judge-model", "m"], "--judge-model is for a judge at a URL, not for local"),
        (&["--judge", "j.gguf", "--judge-n", "2"], "--judge-n is for a judge at a URL, not for a file"),
        (&["--judge", "local", "--judge-ctx-size", "9"], "is for a judge in a file, not for local"),
        (&["--judge", "http://h/v1", "--judge-ctx-size", "9"], "is for a judge in a file, not for a URL"),
        (&["--judge", "j.gguf", "--judge-ctx-size", "0"], "0 is not in 1..=1073741824"),
        (&["--judge", "http://h/v1", "--score", "50"], "cannot be used with"),
        (&["--judge", "http://h/v1", "--judge-proxy", "ftp://me:hunter2@p:1"], "judge proxy is"),
    ];
    for (options, message) in cases {
        let output = run(&[&["generate", "-m", "no-such.gguf", "-p", "x", "-i", "y"], options].concat());
        assert_eq!(output.status.code(), Some(2), "{options:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{options:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("hunter2"));
    }
    let output =
        run(&["generate", "-m", "x", "-p", "x", "--judge", "http://h/v1", "--judge-ca", "/no/ca.pem"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/no/ca.pem"), "{}", stderr(&output));
}

#[test]
fn the_presets_dimension_is_judged_unless_another_criterion_is_asked_for() {
    let server = FaultServer::start(|_, _| chat("{\"score\": 50}"));
    let url = server.url();
    let cases: [(&[&str], &str); 4] = [
        (&["--preset", "empathy"], "criterion:\nEmpathy. "),
        (&["--preset", "empathy", "--judge-dimension", "reasoning"], "criterion:\nReasoning. "),
        (
            &["--preset", "empathy", "--judge-dimension", "instruction"],
            "The instruction: Answer with warmth.",
        ),
        (&["-i", PIRATE], "The instruction: Answer like a pirate."),
    ];
    for (options, text) in cases {
        stdout(&generate("My cat died.", &[options, &["--judge", &url]].concat()));
        let prompt = server.requests().last().map(Request::prompt).unwrap();
        assert!(prompt.contains(text) && prompt.contains("My cat died."), "{options:?}: {prompt}");
    }
}
