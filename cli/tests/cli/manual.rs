//! Completions, man pages, and the list of options.

use std::process::{Command, Stdio};

use crate::command::{run, stdout};

/// The commands that `sda --help` names.
fn commands() -> Vec<String> {
    let help = stdout(&run(&["--help"]));
    let lines =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<String> = names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
    assert!(names.contains(&"generate".into()) && names.contains(&"plot".into()), "{names:?}");
    names.into_iter().filter(|name| name != "help").collect()
}

#[test]
fn completions_know_every_command_and_its_options() {
    for (shell, option) in
        [("bash", "--grammar-file"), ("zsh", "--grammar-file"), ("fish", "-l grammar-file")]
    {
        let script = stdout(&run(&["completions", shell]));
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
        assert!(script.contains(option), "{shell}");
        assert!(!script.contains("manual"), "{shell}: what is hidden");
        // Its own parser says if it is a script, where there is that shell.
        let mut check = Command::new(shell);
        check.arg("-n").stdin(Stdio::piped()).stderr(Stdio::inherit());
        if let Ok(mut child) = check.spawn() {
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success(), "{shell}");
        }
    }
}

#[cfg(feature = "server")]
#[test]
fn the_page_of_options_is_what_llama_cpps_source_and_the_command_say() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/options.py");
    let output = Command::new(python).args([script, env!("CARGO_BIN_EXE_sda"), "--check"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn there_is_a_man_page_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert_eq!(stdout(&run(&["manual", pages.to_str().unwrap()])), "");
    let page =
        |name: &str| std::fs::read_to_string(pages.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let main = page("sda.1");
    for command in commands() {
        assert!(main.contains(&format!("sda\\-{command}(1)")), "{command}: {main}");
        assert!(page(&format!("sda-{command}.1")).contains(".SH OPTIONS"), "{command}");
    }
    let generate = page("sda-generate.1");
    assert!(generate.contains("grammar\\-file") && generate.contains("LLAMA_ARG_TOP_K"), "{generate}");
    assert!(!pages.join("sda-manual.1").exists());
}
