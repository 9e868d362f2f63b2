//! The `sda` command as its users meet it: output, exit status, messages. Runs on the real test models.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::command::{model, one_thread, run, stderr, stdout};

fn sda(args: &[&str]) -> Output {
    one_thread(args).output().unwrap()
}

fn generate(args: &[&str]) -> Output {
    let model = model();
    sda(&[&["generate", "-m", &model, "-p", "What is the capital of France?"], args].concat())
}

fn records(output: &Output) -> Vec<Value> {
    crate::command::records(&stdout(output))
}

const PIRATE: &str = "Answer like a pirate.";

#[test]
fn a_steered_answer_follows_an_instruction_that_the_plain_one_ignores() {
    let output = generate(&["-i", PIRATE, "--compare", "-n", "48", "--temp", "0", "--guidance", "2"]);
    let text = stdout(&output);
    let (plain, rest) = text.split_once("=== instruction only ===").unwrap();
    let (_, steered) = rest.split_once("=== steered, guidance 2.00 ===").unwrap();
    let is_pirate = |text: &str| {
        let text = text.to_lowercase();
        ["pirate", "arr", "ahoy", "matey", "captain", "sail"].iter().any(|word| text.contains(word))
    };
    assert!(!is_pirate(plain), "{plain}");
    assert!(is_pirate(steered), "{steered}");
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_seed_another() {
    let text = |seed| stdout(&generate(&["-i", PIRATE, "-n", "24", "-s", seed, "--temp", "1"]));
    let first = text("7");
    assert_eq!(first, text("7"));
    assert_ne!(first, text("8"));
}

#[test]
fn guidance_one_is_the_instruction_alone_but_for_the_divergence() {
    // With a fixed temperature the only difference left would be the steering.
    let args = ["-i", PIRATE, "-n", "16", "--temp", "0", "--compare", "--guidance", "1"];
    let text = stdout(&generate(&args));
    let (_, rest) = text.split_once("=== instruction only ===\n").unwrap();
    let (instructed, steered) = rest.split_once("=== steered, guidance 1.00 ===\n").unwrap();
    assert_eq!(instructed, steered);
}

#[test]
fn a_kl_budget_weakens_the_steps_that_would_exceed_it() {
    let args = |max_kl| {
        let strength = ["-i", PIRATE, "-n", "24", "--temp", "0", "-s", "1", "--guidance", "3", "--json"];
        stdout(&generate(&[&strength[..], &["--mean-kl", "inf", "--max-kl", max_kl]].concat()))
    };
    let guidances = |text: &str| -> Vec<f64> {
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.filter(|r| r["type"] == "token").map(|r| r["guidance"].as_f64().unwrap()).collect()
    };
    let last = |text: &str| serde_json::from_str::<Value>(text.lines().last().unwrap()).unwrap();
    let text = args("0.3");
    let limited = guidances(&text);
    assert!(limited.iter().all(|g| (1.0..=3.0).contains(g)), "{limited:?}");
    assert!(limited.iter().any(|g| *g < 2.9), "no step was over the budget: {limited:?}");
    // The answer's record says what was asked for.
    assert_eq!(last(&text)["guidance"], 3.0);
    assert!((last(&text)["max_kl"].as_f64().unwrap() - 0.3).abs() < 1e-6);
    let unlimited = args("inf");
    assert!(guidances(&unlimited).iter().all(|g| *g == 3.0));
    assert_eq!(last(&unlimited).get("max_kl"), None);
    assert!(guidances(&args("0")).iter().all(|g| *g == 1.0));
    let refused = generate(&["-i", PIRATE, "--max-kl=-1"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("max_kl is -1"), "{refused:?}");
}

#[test]
fn an_answer_has_a_kl_budget_unless_it_is_the_papers() {
    let args = ["-i", PIRATE, "-n", "24", "--temp", "0", "-s", "1", "--json"];
    let text = |more: &[&str]| stdout(&generate(&[&args[..], more].concat()));
    let last = |text: &str| serde_json::from_str::<Value>(text.lines().last().unwrap()).unwrap();
    let default = text(&[]);
    assert_eq!(last(&default)["guidance"], 2.0);
    assert!((last(&default)["mean_kl"].as_f64().unwrap() - 0.2).abs() < 1e-6);
    let spelt_out = text(&["--guidance", "2", "--mean-kl", "0.2"]);
    let tokens = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains(r#""type":"token""#)).map(str::to_owned).collect()
    };
    assert_eq!(tokens(&default), tokens(&spelt_out));
    let paper = last(&text(&["--paper"]));
    assert_eq!((&paper["guidance"], paper.get("mean_kl")), (&Value::from(1.5), None));
    let unlimited = last(&text(&["--mean-kl", "inf", "--guidance", "1.5"]));
    assert_eq!(paper["text"], unlimited["text"]);
    // Steps that fit into the budget together with those before are not weakened.
    assert_eq!(last(&text(&["--mean-kl", "1e9"]))["text"], last(&text(&["--mean-kl", "inf"]))["text"]);
    let both = generate(&["-i", PIRATE, "--paper", "--mean-kl", "1"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn a_score_of_100_does_not_steer_and_a_low_one_steers_strongly() {
    let guidance = |score| {
        let output = generate(&["-i", PIRATE, "-n", "1", "--score", score, "--json", "-s", "1"]);
        records(&output).last().unwrap()["guidance"].as_f64().unwrap()
    };
    assert_eq!(guidance("100"), 1.0);
    assert!((guidance("50") - 1.9242).abs() < 1e-3);
    assert!((guidance("1") - 3.0).abs() < 1e-6);
}

#[test]
fn json_has_a_record_for_every_token_and_one_for_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.jsonl");
    let output =
        generate(&["-i", PIRATE, "-n", "8", "--json", "-s", "3", "--trace", trace.to_str().unwrap()]);
    let records = records(&output);
    let (answer, tokens) = records.split_last().unwrap();
    assert_eq!(answer["type"], "answer");
    assert_eq!(answer["tokens"], tokens.len());
    let text: String = tokens.iter().map(|token| token["text"].as_str().unwrap()).collect();
    assert_eq!(answer["text"], text);
    assert!(answer["prompt"]["shared"].as_u64().unwrap() > 20, "{answer}");
    for (step, token) in tokens.iter().enumerate() {
        assert_eq!(token["step"], step);
        let js = token["js"].as_f64().unwrap();
        assert!((0.0..=std::f64::consts::LN_2).contains(&js));
        let expected = 0.6 * (-js / (2.0 * std::f64::consts::LN_2)).exp2();
        assert!((token["temperature"].as_f64().unwrap() - expected).abs() < 1e-6);
        assert!(token["logprob_plain"].as_f64().unwrap() <= 0.0);
        assert!(token["logprob_instructed"].as_f64().unwrap() <= 0.0);
    }
    let written = std::fs::read_to_string(trace).unwrap();
    assert_eq!(written, String::from_utf8(output.stdout).unwrap());
}

#[test]
fn the_local_judge_gives_a_score_that_decides_the_strength() {
    let output = generate(&["-i", PIRATE, "-n", "16", "--judge", "local", "--json", "-s", "1"]);
    let records = records(&output);
    let answer = records.last().unwrap();
    let score = answer["score"].as_f64().unwrap();
    assert!((1.0..=100.0).contains(&score), "{score}");
    let a = ((100.0 - score) / (2.0 * score)).tanh();
    assert!((answer["amplification"].as_f64().unwrap() - a).abs() < 1e-6);
    // The draft was written on the plain prompt, so steering reads it from the cache.
    assert!(answer["prompt"]["reused"].as_u64().unwrap() > 20, "{answer}");
}

#[test]
fn output_is_text_on_stdout_and_nothing_else() {
    let output = generate(&["-i", PIRATE, "-n", "4", "-s", "1"]);
    let text = stdout(&output);
    assert!(!text.is_empty() && text.ends_with('\n'));
    assert_eq!(stderr(&output), "", "nothing to say to a program that is no terminal");
}

#[test]
fn a_stop_text_ends_the_answer_and_is_not_shown() {
    let whole = stdout(&generate(&["-i", PIRATE, "-n", "40", "--temp", "0"]));
    let stop = whole.split_whitespace().nth(3).unwrap();
    let cut = stdout(&generate(&["-i", PIRATE, "-n", "40", "--temp", "0", "-r", stop]));
    assert_eq!(cut.trim_end(), whole[..whole.find(stop).unwrap()].trim_end());
}

#[test]
fn a_full_context_cuts_the_answer_and_says_so() {
    let output =
        generate(&["-i", PIRATE, "-c", "64", "--temp", "1", "-s", "1", "--json", "-p", "Tell a long story."]);
    // -p was given twice, which is a usage error; the real call follows.
    assert_eq!(output.status.code(), Some(2));
    let model = model();
    let output = sda(&[
        "generate",
        "-m",
        &model,
        "-p",
        "Tell a very long story.",
        "-i",
        PIRATE,
        "-c",
        "72",
        "-s",
        "1",
        "--json",
    ]);
    let answer = records(&output).pop().unwrap();
    assert_eq!(answer["finish"], "context_full");
    assert!(stderr(&output).contains("the context of 72 tokens a branch is full"), "{}", stderr(&output));
}

#[test]
fn a_prompt_that_does_not_fit_is_an_error_with_both_numbers() {
    let long = "word ".repeat(400);
    let model = model();
    let output = sda(&["generate", "-m", &model, "-p", &long, "-i", PIRATE, "-c", "128"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("context is full") && text.contains("256 available"), "{text}");
}

#[test]
fn a_missing_instruction_is_said_and_changes_nothing() {
    let model = model();
    let output = sda(&["generate", "-m", &model, "-p", "Hi", "-n", "2", "--temp", "0"]);
    assert!(stderr(&output).contains("no instruction"));
    assert!(output.status.success());
}

#[test]
fn wrong_usage_is_status_2_and_names_value_and_range() {
    let model = model();
    let cases: [(&[&str], &str); 8] = [
        (&["--score", "0"], "score is 0, must be"),
        (&["--score", "101"], "score is 101, must be"),
        (&["--temp", "nan"], "temperature is NaN, must be finite"),
        (&["--sigma", "0"], "sigma is 0, must be greater than 0"),
        (&["--top-p", "1.5"], "top_p is 1.5, must be at least 0 and at most 1"),
        (&["--score", "50", "--guidance", "2"], "cannot be used with"),
        (&["--preset", "kindness"], "empathy, harmlessness, helpfulness, reasoning or truthfulness"),
        (&["--no-such-flag"], "unexpected argument"),
    ];
    for (args, message) in cases {
        let output = sda(&[&["generate", "-m", &model, "-p", "x"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_file_that_is_no_model_is_status_1_and_named() {
    for (path, message) in
        [("Cargo.toml", "Cargo.toml is not a GGUF file"), ("no-such.gguf", "no-such.gguf: ")]
    {
        let output = sda(&["generate", "-m", path, "-p", "x", "-i", "y"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    }
}

#[test]
fn llama_cpps_short_words_are_understood() {
    let words = [
        ("-tb", "--threads-batch"),
        ("-ub", "--ubatch-size"),
        ("-ngl", "--n-gpu-layers"),
        ("-sys", "--system-prompt"),
        ("-sysf", "--system-prompt-file"),
        ("-fa", "--flash-attn"),
        ("-ctk", "--cache-type-k"),
        ("-ctv", "--cache-type-v"),
        ("-if", "--instruction-file"),
        ("-jp", "--judge-prompt"),
        ("-np", "--parallel"),
    ];
    // What is said of a value that is missing names the option that the word was taken for.
    let refused = |args: &[&str], message: &str| {
        let output = run(&[&["generate", "-m", "x", "-p", "x"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
    };
    for (word, option) in words {
        refused(&[word], &format!("a value is required for '{option} <"));
    }
    refused(&["-nr=1"], "unexpected value '1' for '--no-repack'");
    refused(&["-mm=x.gguf"], "--mmproj of llama.cpp is no option of sda");
    refused(&["-ub=0"], "invalid value '0' for '--ubatch-size <N>'");
    // And the value gets there.
    let said = |args: &[&str]| stdout(&generate(&[&["-n", "8", "--temp", "0"], args].concat()));
    let short = said(&["-sys", "Answer in Spanish.", "-tb", "1", "-ub", "64", "-fa", "off", "-ctk", "q8_0"]);
    assert_eq!(short, said(&["--system-prompt", "Answer in Spanish.", "--cache-type-k", "q8_0"]));
    assert_ne!(short, said(&[]));
}

#[test]
fn a_base_model_without_template_gets_raw_text() {
    let gemma =
        std::env::var("SDA_TEST_MODEL_GEMMA").expect("SDA_TEST_MODEL_GEMMA is not set: run `make test`");
    let output = sda(&[
        "generate",
        "-m",
        &gemma,
        "-p",
        "The captain looked at the sea and said:",
        "-i",
        "A sad story.",
        "-n",
        "8",
        "--temp",
        "0",
        "-c",
        "512",
        "--json",
    ]);
    let answer = records(&output).pop().unwrap();
    assert!(!answer["text"].as_str().unwrap().is_empty());
}

#[test]
fn a_chat_keeps_its_history_in_both_branches() {
    let model = model();
    let mut child = one_thread(&["chat", "-m", &model, "-i", "Answer in one short sentence.", "-n", "24"])
        .args(["--temp", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all("My name is Alice.\nWhat is my name?\n/exit\n".as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = stdout(&output);
    assert!(text.lines().count() >= 2, "{text}");
    assert!(text.contains("Alice"), "{text}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_answer_cleanly() {
    use std::io::Read;
    let model = model();
    let query = ["-p", "Tell a very long story.", "-i", PIRATE, "--temp", "1", "-s", "5"];
    let mut child = one_thread(&[&["generate", "-m", &model], &query[..]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Wait for the first text, so that the answer is under way.
    let mut out = child.stdout.take().unwrap();
    let mut first = [0; 1];
    out.read_exact(&mut first).unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(rest.ends_with('\n'), "the last line is finished: {rest:?}");
}
