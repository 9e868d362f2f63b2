//! The `sda` command, run on the default test model.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub fn model() -> String {
    std::env::var("SDA_TEST_MODEL").expect("SDA_TEST_MODEL is not set: run `make test`")
}

pub fn sda(args: &[&str]) -> Output {
    command(args).stdin(Stdio::null()).output().unwrap()
}

/// One thread a program: these tests run side by side, and threads that wait for one another on too few
/// cores cost minutes.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sda"));
    let (subcommand, rest) = args.split_first().unwrap();
    command.arg(subcommand).args(["-t", "1"]).args(rest);
    command
}

/// The command as given, with nothing of the user's settings for judges.
pub fn plain(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sda"));
    command.args(args).stdin(Stdio::null());
    for name in ["SDA_JUDGE_KEY", "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
}

pub fn run(args: &[&str]) -> Output {
    plain(args).output().unwrap()
}

#[track_caller]
pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The JSON records of a program that succeeded.
#[track_caller]
pub fn records(output: &Output) -> Vec<Value> {
    parse(&stdout(output))
}

/// One JSON record a line.
#[track_caller]
pub fn parse(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
