//! Runs the `sda` command.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The default test model's file.
pub fn model() -> String {
    std::env::var("SDA_TEST_MODEL").expect("SDA_TEST_MODEL is not set: run `make test`")
}

/// The command, with nothing of the user's settings for judges.
pub fn sda(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sda"));
    command.args(args).stdin(Stdio::null());
    for name in ["SDA_JUDGE_KEY", "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
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

/// The JSON records in a text.
pub fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
