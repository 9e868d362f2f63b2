//! Options that scripts for llama.cpp have.

use std::process::Output;

use crate::command::{model, one_thread, run, sda, stderr, stdout};

fn generate(args: &[&str]) -> Output {
    let model = model();
    let usual = ["generate", "-m", &model, "-c", "256", "--temp", "0", "-n", "6", "-p", "Say hello."];
    one_thread(&[&usual, args].concat()).output().unwrap()
}

#[test]
fn options_that_ask_for_what_is_so_anyway_change_nothing() {
    let plain = stdout(&generate(&["-i", "Be brief."]));
    let harmless = [
        "--no-display-prompt --no-warmup --simple-io --log-disable --offline --no-mmproj -st -cb -fit off",
        "--no-mmproj-auto --no-prefill-assistant --cont-batching --single-turn --color -lm auto --jinja",
        "--color auto --load-mode none --no-context-shift --keep -1",
    ];
    for options in harmless {
        let options: Vec<&str> = options.split(' ').collect();
        assert_eq!(stdout(&generate(&[&["-i", "Be brief."], &options[..]].concat())), plain);
    }
    let raw = |option| stdout(&generate(&["-i", "Be brief.", option]));
    assert_eq!(raw("-no-cnv"), raw("--no-template"), "llama.cpp gives the model the text as it is, too");
}

#[test]
fn what_llama_cpp_has_and_sda_has_not_is_refused_with_the_reason() {
    for (args, reason) in [
        (
            &["generate", "-hf", "a/b-GGUF:Q8_0", "-p", "x"][..],
            "--hf-repo of llama.cpp is no option of sda: sda fetches nothing by itself: curl -L -O \
             https://huggingface.co/a/b-GGUF/resolve/main/FILE.gguf, and then -m FILE.gguf",
        ),
        (&["serve", "-mm", "pictures.gguf"], "sda takes text only"),
        (&["generate", "-m", "x", "-md", "y"], "there is no speculative decoding"),
        (&["generate", "-m", "x", "-cnv"], "sda chat is the conversation"),
        (&["generate", "-m", "x", "--no-jinja"], "templates are always Jinja"),
    ] {
        if cfg!(not(feature = "server")) && args[0] == "serve" {
            continue;
        }
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).starts_with("sda: error: --"), "{}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{args:?}: {}", stderr(&output));
    }
    let fit = run(&["generate", "-m", "x", "-p", "x", "-fit", "on"]);
    assert!(stderr(&fit).contains("possible values: off"), "{}", stderr(&fit));
    let unknown = run(&["generate", "-m", "x", "--no-such-option"]);
    assert!(stderr(&unknown).contains("unexpected argument '--no-such-option'"), "{}", stderr(&unknown));
    let no_model = sda(&["generate", "-p", "x"]).env("LLAMA_ARG_HF_REPO", "a/b").output().unwrap();
    let text = stderr(&no_model);
    assert!(text.contains("--model <FILE>") && text.contains("LLAMA_ARG_HF_REPO is not read: "), "{text}");
}

#[test]
fn colours_set_headings_apart_and_no_answer() {
    let compare = |color: &[&str]| stdout(&generate(&[&["-i", "Be brief.", "--compare"], color].concat()));
    let (plain, colored) = (compare(&[]), compare(&["--color", "on"]));
    assert!(!plain.contains('\x1b') && plain.contains("=== plain ==="), "{plain}");
    assert_eq!(compare(&["-co", "off"]), plain);
    assert!(colored.contains("\x1b[33m=== plain ===\x1b[0m\n"), "{colored}");
    let uncolored = colored.replace("\x1b[33m", "").replace("\x1b[0m", "");
    assert_eq!(uncolored, plain);
}

#[test]
fn the_log_goes_to_a_file_and_an_answer_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("llama.log");
    let output = generate(&["-i", "Be brief.", "--log-file", file.to_str().unwrap()]);
    assert_eq!(stdout(&output), stdout(&generate(&["-i", "Be brief."])));
    assert_eq!(stderr(&output), "", "shown only with -v");
    let log = std::fs::read_to_string(file).unwrap();
    assert!(log.contains("KV buffer size") && log.contains("general.architecture"), "{log}");
    let output = generate(&["-i", "Be brief.", "--log-file", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("sda: error: --log-file "), "{}", stderr(&output));
}
