//! The example of the engine in C: built against the library with llama.cpp inside (`SDA_BUNDLED_LIB`), and run
//! on a real model. It must say what the command says.

#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::{Command, Output};

use sda::ffi::SDA_ABI_VERSION;

const QUERY: &str = "What is the capital of France?";
const PIRATE: &str = "Answer like a pirate.";

fn model_path() -> String {
    std::env::var("SDA_TEST_MODEL").expect("SDA_TEST_MODEL is not set: run `make test`")
}

/// Builds the example against the library.
pub fn c_engine(test: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("c_engine").join(test);
    std::fs::create_dir_all(&folder).unwrap();
    let library = std::env::var_os("SDA_BUNDLED_LIB").expect("SDA_BUNDLED_LIB is not set: run `make test`");
    let soname = folder.join(format!("libsda.so.{SDA_ABI_VERSION}"));
    let _ = std::fs::remove_file(&soname);
    std::os::unix::fs::symlink(&library, &soname).unwrap();
    let program = folder.join("engine");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()))
        .args(["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", "-I"])
        .arg(format!("{root}/include"))
        .arg(format!("{root}/examples/c/engine.c"))
        .arg(&soname)
        .arg(format!("-Wl,-rpath,{}", folder.display()))
        .args(["-lpthread", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim_end().to_owned()
}

#[test]
fn the_c_example_says_what_the_command_says() {
    let (program, model) = (c_engine("output"), model_path());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.env("OMP_THREAD_LIMIT", "1").args(arguments).output().unwrap()
    };
    for (seed, extra) in [("-1", ["--temp", "0"]), ("7", ["-s", "7"])] {
        let output = run(&[&model, QUERY, PIRATE, "0.75", seed, "32"]);
        let command = Command::new(env!("CARGO_BIN_EXE_sda"))
            .args([
                "generate", "-t", "1", "-m", &model, "-p", QUERY, "-i", PIRATE, "-a", "0.75", "-n", "32",
                "--paper",
            ])
            .args(extra)
            .output()
            .unwrap();
        assert_eq!(stdout(&output), stdout(&command), "seed {seed}");
        assert!(stdout(&output).len() > 20);
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let judge =
        std::env::var("SDA_TEST_MODEL_GEMMA").expect("SDA_TEST_MODEL_GEMMA is not set: run `make test`");
    let output = run(&[&model, QUERY, PIRATE, "0", "-1", "16", "--judge", &judge]);
    let command = Command::new(env!("CARGO_BIN_EXE_sda"))
        .args(["generate", "-t", "1", "-m", &model, "-p", QUERY, "-i", PIRATE, "--temp", "0", "-n", "16"])
        .args(["--judge", &judge, "--paper"])
        .output()
        .unwrap();
    assert_eq!(stdout(&output), stdout(&command), "judged by another model");
    let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let score = told(&output).split("draft ").nth(1).unwrap().to_owned();
    assert!(told(&command).contains(score.trim()), "{score} and {}", told(&command));
    let output = run(&["none.gguf", QUERY, PIRATE, "1", "7", "4"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("none.gguf: No such file"));
}

#[test]
fn ctrl_c_ends_the_c_examples_answer() {
    use std::io::Read;
    let mut child = Command::new(c_engine("cancel"))
        .env("OMP_THREAD_LIMIT", "1")
        .args([&model_path(), "Tell a very long story.", PIRATE, "0.5", "7", "-1"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    // The answer is under way.
    out.read_exact(&mut [0; 1]).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
