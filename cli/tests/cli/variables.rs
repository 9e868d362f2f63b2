//! llama.cpp's environment variables.

use std::process::Output;

use crate::command::{model, records, sda, stderr, stdout};

fn generate(variables: &[(&str, &str)], args: &[&str]) -> Output {
    let args = [&["generate", "-c", "128", "--temp", "0", "--json", "-p", "Count to twenty."], args].concat();
    sda(&args).env("LLAMA_ARG_THREADS", "1").envs(variables.iter().copied()).output().unwrap()
}

/// How many tokens the answer has.
fn tokens(output: &Output) -> usize {
    records(&stdout(output)).len() - 1
}

#[test]
fn variables_of_llama_cpp_are_options_and_the_command_line_wins_over_them() {
    let model = model();
    let variables = &[("LLAMA_ARG_MODEL", model.as_str()), ("LLAMA_ARG_N_PREDICT", "3")][..];
    assert_eq!(tokens(&generate(variables, &[])), 3);
    assert_eq!(tokens(&generate(variables, &["-n", "2"])), 2);
    let threads = generate(&[("LLAMA_ARG_THREADS", "-1")], &["-m", &model, "-n", "1"]);
    assert_eq!(tokens(&threads), 1, "llama.cpp's one per core");
    let shifted = [variables, &[("LLAMA_ARG_N_PREDICT", "130"), ("LLAMA_ARG_CONTEXT_SHIFT", "on")]].concat();
    assert_eq!(tokens(&generate(&shifted, &["--ignore-eos"])), 130);
    let output = generate(&shifted, &["--ignore-eos", "--no-context-shift"]);
    assert_eq!(records(&stdout(&output)).last().unwrap()["finish"], "context_full");
}

#[test]
fn a_wrong_variable_is_named() {
    let wrong = |variable, value| {
        let output = generate(&[(variable, value)], &["-m", "no-such.gguf"]);
        assert_eq!(output.status.code(), Some(2));
        stderr(&output)
    };
    let text = wrong("LLAMA_ARG_TOP_K", "many");
    assert!(text.contains("'many' for '--top-k <N>'"), "{text}");
    assert!(text.ends_with("sda: LLAMA_ARG_TOP_K gives --top-k\n"), "{text}");
    let text = wrong("LLAMA_ARG_SWA_FULL", "maybe");
    assert!(text.contains("LLAMA_ARG_SWA_FULL is \"maybe\", must be on, "), "{text}");
}

#[test]
fn help_names_the_variables_and_shows_no_key() {
    let help = stdout(&sda(&["generate", "--help"]).env("LLAMA_ARG_TOP_K", "77").output().unwrap());
    assert!(help.contains("[env: LLAMA_ARG_TOP_K]") && help.contains("LLAMA_ARG_CONTEXT_SHIFT"), "{help}");
    assert!(!help.contains("77"), "{help}");
    if cfg!(feature = "server") {
        let key = "key-that-nobody-may-see";
        let outputs =
            [&["serve", "--help"][..], &["serve", "--bogus"], &["serve", "-m", "no-such.gguf", "-n", "x"]]
                .map(|args| sda(args).env("LLAMA_API_KEY", key).output().unwrap());
        for output in outputs {
            let all = [output.stdout, output.stderr].concat();
            assert!(!String::from_utf8(all).unwrap().contains(key));
        }
    }
}
