//! Runs the calling test a second time, in a process and an environment of its own.

use std::process::{Child, Command, Stdio};

/// The command for test `name` of the module that `module_path!()` names. What the process prints is kept: its
/// `test result:` line would otherwise count as one more test of this program's.
pub fn again(module: &str, name: &str) -> Command {
    let path = module.split_once("::").map_or(name.to_owned(), |(_, inner)| format!("{inner}::{name}"));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &path, "--nocapture"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for such a process, in which one test must have passed.
pub fn assert_passed(child: Child) {
    let output = child.wait_with_output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success() && out.contains("test result: ok. 1 passed"), "{out}{err}");
}
