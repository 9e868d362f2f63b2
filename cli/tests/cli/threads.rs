//! Options for threads and for memory, which leave the answer as it is.

use crate::command::{model, refused, run, sda, stderr, stdout};

/// Arguments of an answer of the test model.
fn says(args: &[&str]) -> String {
    let model = model();
    let common =
        ["generate", "-m", &model, "-p", "Hi", "-i", "Be brief.", "-n", "3", "--temp", "0", "-t", "2"];
    stdout(&sda(&[&common, args].concat()).output().unwrap())
}

#[test]
fn where_threads_run_and_how_urgent_they_are_changes_no_answer() {
    let plain = says(&[]);
    for args in [
        &["-C", "0x1"][..],
        &["--cpu-range", "0-1", "--cpu-strict", "1"],
        &["--prio", "-1", "--poll", "0"],
        &["--numa", "distribute"],
    ] {
        assert_eq!(says(args), plain, "{args:?}");
    }
    assert!(refused(&["-C", "xyz"]).contains("must be 1 to 128 hexadecimal digits"));
    assert!(refused(&["-Cr", "5-1"]).contains("must be LO-HI with 0 to 511"));
    assert!(refused(&["--prio", "4"]).contains("must be -1 (low), 0 (normal)"));
    assert!(refused(&["--numa", "mirror"]).contains("must be distribute, isolate or numactl"));
    assert!(refused(&["--poll", "101"]).contains("101 is not in 0..=100"));
    assert!(refused(&["-C", "0"]).contains("cpus is none, must be at least one"));
}

#[test]
fn tensors_are_laid_out_and_kept_as_options_say() {
    let gemma =
        std::env::var("SDA_TEST_MODEL_GEMMA").expect("SDA_TEST_MODEL_GEMMA is not set: run `make test`");
    let log = |args: &[&str]| {
        let common = ["generate", "-m", &gemma, "-p", "Hi", "-n", "1", "-c", "64", "-t", "1", "-v"];
        let output = sda(&[&common, args].concat()).output().unwrap();
        stdout(&output);
        stderr(&output)
    };
    let plain = log(&[]);
    let kept = log(&["--no-repack", "-ot", "blk\\.0\\.=CPU"]);
    assert!(plain.contains("REPACK") && !kept.contains("REPACK"), "{plain}");
    assert!(
        kept.contains("buffer type overridden to") && !plain.contains("buffer type overridden to"),
        "{kept}"
    );
}

#[test]
fn a_model_with_weights_that_are_no_number_is_refused_if_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.gguf");
    let mut bytes = std::fs::read(model()).unwrap();
    // Scales of the last blocks of the last tensor, all of whose bits are set: not a number in any float.
    let n = bytes.len();
    bytes[n - 4096..].fill(0xff);
    std::fs::write(&broken, bytes).unwrap();
    let answer = |args: &[&str]| {
        let broken = broken.to_str().unwrap();
        let common = ["generate", "-m", broken, "-p", "Hi", "-n", "1", "-t", "1", "--temp", "0"];
        run(&[&common, args].concat())
    };
    let refused = answer(&["--check-tensors"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("could not load"), "{}", stderr(&refused));
    assert!(!stderr(&answer(&[])).contains("could not load"));
}
