//! The unit for systemd in packaging/.

use std::path::Path;
use std::process::Command;

use crate::command::{run, stderr};

fn root(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn the_unit_is_the_one_that_the_docs_show_and_its_command_has_no_unknown_option() {
    let unit = root("packaging/sda.service");
    let mut shown = String::new();
    for line in unit.lines() {
        shown.push_str(format!("    {line}").trim_end());
        shown.push('\n');
    }
    assert!(root("docs/server.md").contains(&shown), "docs/server.md does not show packaging/sda.service");
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/sda ")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys"), "secret\n").unwrap();
    let command = command.replace("%d", folder.path().to_str().unwrap());
    let args: Vec<&str> = command.split(' ').chain(["--port", "0"]).collect();
    let output = run(&args);
    // Only the model is not there.
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("/srv/models/model.gguf"), "{}", stderr(&output));
}

#[test]
fn systemd_takes_the_unit_where_it_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("sda.service");
    let text = root("packaging/sda.service").replace("/usr/local/bin/sda", env!("CARGO_BIN_EXE_sda"));
    std::fs::write(&unit, text).unwrap();
    let Ok(output) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output() else {
        return;
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
}
