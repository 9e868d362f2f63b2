//! Runs the `sda` command.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The default test model's file.
pub fn model() -> String {
    std::env::var("SDA_TEST_MODEL").expect("SDA_TEST_MODEL is not set: run `make test`")
}

/// The command, with nothing of the user's settings.
pub fn sda(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sda"));
    command.args(args).stdin(Stdio::null());
    for name in ["SDA_JUDGE_KEY", "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"LLAMA_") {
            command.env_remove(name);
        }
    }
    command
}

/// The command with a model on one thread: these tests run side by side, and threads that wait for one another on too
/// few cores cost minutes.
pub fn one_thread(args: &[&str]) -> Command {
    let (subcommand, rest) = args.split_first().unwrap();
    sda(&[&[*subcommand, "-t", "1"], rest].concat())
}

pub fn run(args: &[&str]) -> Output {
    sda(args).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The output of a command that has succeeded.
pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What `generate` on the test model says of options that it refuses.
pub fn refused(args: &[&str]) -> String {
    let model = model();
    let output = run(&[&["generate", "-m", &model, "-p", "Hi", "-n", "1"], args].concat());
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    stderr(&output)
}

/// The JSON records in a text.
pub fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
