//! The samplers on the command line, in what they do to answers.

use serde_json::{Value, json};

use crate::command::{model, one_thread, records, stderr, stdout};

fn generate(args: &[&str]) -> std::process::Output {
    let model = model();
    let own = [
        "generate",
        "-m",
        &model,
        "-p",
        "Is the sky blue?",
        "-i",
        "Answer like a pirate.",
        "-s",
        "4",
        "--json",
    ];
    one_thread(&[&own[..], args].concat()).output().unwrap()
}

/// The records of an answer: its tokens, and then the answer.
fn answer(args: &[&str]) -> Vec<Value> {
    let output = generate(args);
    assert!(output.status.success(), "{}", stderr(&output));
    records(&stdout(&output))
}

#[test]
fn the_samplers_and_their_order_reach_the_draw() {
    let tokens = |args: &[&str]| -> Vec<Value> {
        answer(&[&["-n", "12"], args].concat()).iter().map(|record| record["token"].clone()).collect()
    };
    let free = tokens(&[]);
    assert_eq!(free, tokens(&[]));
    for args in [
        &["--typical", "0.1"][..],
        &["--xtc-probability", "1"],
        &["--mirostat", "2", "--mirostat-ent", "9"],
        &["--top-n-sigma", "0.1"],
        &["--samplers", ""],
    ] {
        assert_ne!(tokens(args), free, "{args:?}");
    }
    // All drop everything but the best token.
    let best = tokens(&["--temp", "0"]);
    assert_eq!(tokens(&["--top-k", "1"]), best);
    assert_eq!(tokens(&["--top-k", "1", "--samplers", "top_k;temperature"]), best);
    assert_eq!(tokens(&["--top-k", "1", "--sampling-seq", "k", "--temp", "1.9"]), best);
    assert_eq!(tokens(&["--mirostat", "2", "--mirostat-ent", "0"]), best);
    // At temperature 0, too.
    assert_ne!(tokens(&["--temp", "0", "--presence-penalty", "50"]), best);
}

#[test]
fn an_answer_that_ignores_the_end_is_as_long_as_it_may_be() {
    let end = answer(&["--grammar", "root ::= \"\"", "--temp", "0"]);
    assert_eq!(end.last().unwrap()["finish"], "eog");
    let ends = ["-n", "3", "-l", "2+1000"];
    assert_eq!(answer(&ends).last().unwrap()["finish"], "eog");
    let ignored = answer(&[&ends[..], &["--ignore-eos"]].concat());
    assert_eq!((ignored.len(), &ignored[3]["finish"]), (4, &json!("length")));
}

#[test]
fn a_context_shift_lets_an_answer_grow_beyond_its_context() {
    let last =
        |args: &[&str]| answer(&[&["-c", "96", "-n", "110", "--ignore-eos"], args].concat()).pop().unwrap();
    let shifted = last(&["--context-shift", "--keep", "-1"]);
    assert_eq!((&shifted["finish"], &shifted["tokens"]), (&json!("length"), &json!(110)));
    for args in [&[][..], &["--context-shift", "--no-context-shift"]] {
        assert_eq!(last(args)["finish"], "context_full", "{args:?}");
    }
    let output = generate(&["--keep", "5"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("must be -1: the branches have different prompts"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_trace_shows_the_temperature_that_a_token_was_drawn_at() {
    let temperatures = |args: &[&str]| -> Vec<f64> {
        let records = answer(&[&["-n", "4"], args].concat());
        records.iter().filter_map(|record| record["temperature"].as_f64()).collect()
    };
    let at = |range: &str| {
        temperatures(&[
            "--dynatemp-range",
            range,
            "--sigma",
            "inf",
            "--samplers",
            "top_k;temperature",
            "--top-k",
            "1",
        ])
    };
    assert_eq!(at("0"), [f64::from(0.6_f32); 4]);
    // One candidate has no entropy to go by.
    assert_eq!(at("0.25"), [f64::from(0.6_f32); 4]);
    let spread = temperatures(&["--dynatemp-range", "0.25", "--sigma", "inf"]);
    assert!(spread.iter().all(|t| (0.35..0.85).contains(t) && *t != 0.6), "{spread:?}");
}

#[test]
fn wrong_values_are_refused_by_name_value_and_range_before_a_model_is_loaded() {
    for (args, says) in [
        (&["--typical", "1.5"][..], "typical_p is 1.5, must be at least 0 and at most 1"),
        (&["--xtc-probability", "2"], "xtc_probability is 2, must be at least 0 and at most 1"),
        (&["--dry-base", "0.5"], "dry_base is 0.5, must be finite and at least 1"),
        (&["--mirostat", "3"], "mirostat is 3, must be 0, 1 or 2"),
        (
            &["--mirostat", "1", "--dry-multiplier", "1"],
            "dry_multiplier is 1, must be 0 where mirostat is not 0",
        ),
        (&["--samplers", "top_k;infill"], "samplers is \"infill\", must be of"),
        (&["--dry-sequence-breaker", ""], "dry_sequence_breakers is a list with \"\", must be texts"),
    ] {
        let output =
            one_thread(&[&["generate", "-m", "/nowhere.gguf", "-p", "Hi"], args].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn results_of_a_list_belong_to_the_samplers_that_they_were_drawn_with() {
    let folder = tempfile::tempdir().unwrap();
    let [list, out] = ["list.jsonl", "out.jsonl"].map(|name| folder.path().join(name));
    std::fs::write(&list, "{\"query\": \"Why?\"}\n").unwrap();
    let run = |args: &[&str]| {
        let (model, paths) = (model(), [&list, &out].map(|path| path.to_str().unwrap()));
        let own = [
            "generate",
            "-m",
            &model,
            "-f",
            paths[0],
            "-o",
            paths[1],
            "-i",
            "Be brief.",
            "-s",
            "1",
            "-n",
            "4",
        ];
        one_thread(&[&own[..], args].concat()).output().unwrap()
    };
    let dry = ["--dry-multiplier", "0.8"];
    assert!(run(&dry).status.success());
    let again = run(&dry);
    assert!(again.status.success(), "{}", stderr(&again));
    let other = run(&["--dry-multiplier", "0.9"]);
    assert!(stderr(&other).contains("belongs to other input or settings"), "{}", stderr(&other));
}
