//! A folder for runs of `sda eval`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::command::{model, one_thread};

/// A folder with a data set in it, and the results of runs on it.
pub struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    pub fn new(records: &[Value]) -> Lab {
        let lab = Lab { folder: tempfile::tempdir().unwrap() };
        let lines: Vec<String> = records.iter().map(|record| format!("{record}\n")).collect();
        std::fs::write(lab.path("data.jsonl"), lines.concat()).unwrap();
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, task: &str, out: &str, args: &[&str]) -> Command {
        let mut command = one_thread(&["eval", task, "-m", &model(), "-f"]);
        command.arg(self.path("data.jsonl")).arg("-o").arg(self.path(out)).args(args);
        command
    }

    pub fn run(&self, task: &str, args: &[&str]) -> Output {
        self.command(task, "out.jsonl", args).output().unwrap()
    }

    pub fn results(&self, out: &str) -> Vec<Value> {
        lines(&self.path(out))
    }
}

pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

pub fn report(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {errors}"))
}

pub fn row<'r>(report: &'r Value, metric: &str, category: &str, arm: &str) -> &'r Value {
    let rows = report["metrics"].as_array().unwrap();
    let wanted = |row: &&Value| row["metric"] == metric && row["category"] == category && row["arm"] == arm;
    rows.iter().find(wanted).unwrap_or_else(|| panic!("no row {metric} {category} {arm} in {report:#}"))
}
