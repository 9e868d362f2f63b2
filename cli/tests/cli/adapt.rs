//! Options that change the model: adapters, control vectors.

use sda_test_kit::gguf_write::{write_control, write_lora};

use crate::command::{model, one_thread, run, stderr, stdout};

/// What the test model says with these options.
fn says(args: &[&str]) -> String {
    let model = model();
    let common = ["generate", "-m", &model, "-p", "What does a computer do?", "-i", "Answer like a pirate."];
    stdout(&one_thread(&[&common, args, &["-n", "12", "--temp", "0"]].concat()).output().unwrap())
}

fn refused(args: &[&str]) -> String {
    let model = model();
    let output = run(&[&["generate", "-m", &model, "-p", "Hi", "-n", "1"], args].concat());
    assert!(!output.status.success(), "{args:?}");
    stderr(&output)
}

#[test]
fn adapters_and_control_vectors_change_the_answer_and_at_scale_0_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (lora, control) = (folder.path().join("lora.gguf"), folder.path().join("control.gguf"));
    write_lora(&lora, 2, 576, 0.5);
    write_control(&control, 9, 576, 2.0);
    let plain = says(&[]);
    for (option, file) in [("--lora", &lora), ("--control-vector", &control)] {
        let (file, scaled) = (file.to_str().unwrap(), format!("{option}-scaled"));
        let changed = says(&[option, file]);
        assert_ne!(changed, plain, "{option}");
        assert_eq!(says(&[&scaled, &format!("{file}:1")]), changed, "{option}");
        assert_eq!(says(&[&scaled, &format!("{file}:0")]), plain, "{option}");
    }
    let control = control.to_str().unwrap();
    assert_eq!(says(&["--control-vector", control, "--control-vector-layer-range", "10", "30"]), plain);
    assert_ne!(says(&["--control-vector", control, "--control-vector-layer-range", "9", "9"]), plain);
    assert!(refused(&["--lora", "missing.gguf"]).contains("missing.gguf: No such file"));
    assert!(refused(&["--lora-scaled", "x.gguf"]).contains("must be a file, a colon and a number"));
    let error = refused(&["--control-vector", control, "--control-vector-layer-range", "2", "31"]);
    assert!(error.contains("control_layers is 2 to 31, must be two layers from 1 to 30"), "{error}");
}

#[test]
fn the_answers_of_a_list_belong_to_the_adapter_its_scale_and_other_changes() {
    let folder = tempfile::tempdir().unwrap();
    let [lora, queries, answers] =
        ["lora.gguf", "queries.jsonl", "answers.jsonl"].map(|name| folder.path().join(name));
    write_lora(&lora, 2, 576, 0.5);
    std::fs::write(&queries, "{\"query\": \"Say hello.\"}\n").unwrap();
    let [lora, queries, answers] = [&lora, &queries, &answers].map(|path| path.to_str().unwrap());
    let list = |args: &[&str]| {
        let model = model();
        let common = ["generate", "-m", &model, "-f", queries, "-o", answers, "-i", "Be brief.", "-n", "4"];
        stderr(&one_thread(&[&common, args, &["--temp", "0"]].concat()).output().unwrap())
    };
    let (there, other) = ("all 1 answers are there already", "belongs to other input or settings");
    assert!(!list(&["--lora", lora]).contains(there));
    assert!(list(&["--lora-scaled", &format!("{lora}:1")]).contains(there));
    for args in [
        &[][..],
        &["--lora-scaled", &format!("{lora}:0.5")],
        &["--lora", lora, "--override-kv", "llama.rope.freq_base=float:5000"],
        &["--lora", lora, "--rope-freq-scale", "0.5"],
    ] {
        assert!(list(args).contains(other), "{args:?}");
    }
}

#[test]
fn positions_and_metadata_can_be_set() {
    let plain = says(&[]);
    let changed = says(&["--rope-freq-scale", "0.25"]);
    assert_ne!(changed, plain);
    assert_eq!(says(&["--rope-scale", "4"]), changed);
    assert_eq!(says(&["--rope-scale", "4", "--rope-scaling", "none"]), plain);
    let based = says(&["--rope-freq-base", "500"]);
    assert_ne!(based, plain);
    assert_eq!(says(&["--override-kv", "llama.rope.freq_base=float:500"]), based);
    for (args, why) in [
        (&["--rope-scaling", "longrope"][..], "must be none, linear or yarn"),
        (&["--rope-freq-scale", "0"], "must be more than 0 and finite"),
        (&["--yarn-ext-factor", "2"], "yarn_ext_factor is 2, must be 0 to 1"),
        (&["--override-kv", "a=b"], "must be KEY=TYPE:VALUE"),
        (&["-ot", "ffn=Foo"], "tensor_overrides is ffn=Foo, must be with one of CPU"),
    ] {
        assert!(refused(args).contains(why), "{}", refused(args));
    }
}
