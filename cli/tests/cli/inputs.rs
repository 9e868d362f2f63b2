//! Inputs that real users have: arguments, files and lists of other programs and systems.

use std::io::Write;
use std::process::{Output, Stdio};

use sda_test_kit::fault_server::{FaultServer, chat};
use serde_json::{Value, json};

use crate::command::{model, one_thread, records, stderr, stdout};

fn sda(args: &[&str]) -> Output {
    one_thread(args).output().unwrap()
}

fn generate(args: &[&str]) -> Output {
    let model = model();
    let greedy: &[&str] = if args.contains(&"--temp") { &[] } else { &["--temp", "0"] };
    sda(&[&["generate", "-m", &model, "-c", "256"], greedy, args].concat())
}

#[cfg(unix)]
#[test]
fn a_text_that_is_not_utf8_is_wrong_usage_and_a_path_of_any_bytes_works() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let any = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    for option in ["-p", "-sys", "--preset"] {
        let output = one_thread(&["generate", "-m", "x", option]).arg(any(b"caf\xe9")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{option}: {}", stderr(&output));
        assert!(stderr(&output).contains("\"caf\\xE9\" is not UTF-8, must be"), "{}", stderr(&output));
    }

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &[u8]| folder.path().join(any(name));
    let (gguf, query, trace) = (at(b"caf\xe9.gguf"), at(b"\xff.txt"), at(b"t\xff.jsonl"));
    std::os::unix::fs::symlink(model(), &gguf).unwrap();
    std::fs::write(&query, "Say hello.").unwrap();
    let mut joined = any(b"-if=");
    joined.push(&query);
    let mut command = one_thread(&["generate", "-c", "256", "--temp", "0", "-n", "4", "-m"]);
    let output =
        command.arg(&gguf).arg("-f").arg(&query).arg(joined).arg("--trace").arg(&trace).output().unwrap();
    assert!(!stdout(&output).trim().is_empty());
    assert_eq!(std::fs::read_to_string(&trace).unwrap().lines().count(), 5);

    let list = at(b"\xe9.jsonl");
    std::fs::write(&list, "{\"query\":\"Say hello.\"}\n").unwrap();
    let mut command = one_thread(&["generate", "-i", "Be brief.", "-c", "256", "-n", "2", "-m"]);
    let output = command.arg(&gguf).arg("-f").arg(&list).output().unwrap();
    assert_eq!(records(&stdout(&output)).len(), 1);
    // A variable of the environment that is not text is no reason to fall over.
    let mut command = one_thread(&[
        "generate",
        "-m",
        "no-such.gguf",
        "-p",
        "x",
        "--judge",
        "http://h",
        "--judge-model",
        "m",
    ]);
    for name in ["SDA_JUDGE_KEY", "XDG_CACHE_HOME", "HTTPS_PROXY", "COLUMNS"] {
        command.env(name, any(b"/\xe9"));
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("judge key is [not shown]"), "{}", stderr(&output));
}

#[test]
fn texts_of_the_command_line_have_llama_cpps_escapes_and_files_have_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let typed = ["-p", r"Name\x0atwo\tfruits.", "-i", r"One\na line.", "-sys", r"\x42e kind."];
    let [query, instruction, system] =
        [file("q", "Name\ntwo\tfruits."), file("i", "One\na line."), file("s", "Be kind.")];
    let said = |args: &[&str]| stdout(&generate(&[&["--json", "-n", "1"], args].concat()));
    let top = |text: &str| records(text)[0]["logprob_instructed"].to_string();
    let from_files = ["-f", &query, "-if", &instruction, "-sysf", &system];
    assert_eq!(top(&said(&typed)), top(&said(&from_files)));
    assert_eq!(top(&said(&typed)), top(&said(&[&typed[..], &["--no-escape", "-e"]].concat())));
    let as_it_is = said(&[&typed[..], &["--no-escape"]].concat());
    assert_ne!(top(&said(&typed)), top(&as_it_is));
    let [query, instruction, system] = [file("q", typed[1]), file("i", typed[3]), file("s", typed[5])];
    assert_eq!(top(&as_it_is), top(&said(&["-f", &query, "-if", &instruction, "-sysf", &system])));

    let counts = ["--no-template", "-p", r"1. one\n2. two\n3.", "-n", "16"];
    let whole = stdout(&generate(&counts));
    assert!(whole.trim_end().contains('\n'), "{whole}");
    let stopped = stdout(&generate(&[&counts[..], &["-r", r"\n"]].concat()));
    assert_eq!(stopped, whole[..=whole.find('\n').unwrap()]);
    let output = generate(&["-p", r"\xff"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--prompt is"), "{}", stderr(&output));
}

#[test]
fn a_byte_order_mark_is_no_text_in_any_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>";
    let read = |mark: &str| {
        let [query, instruction, system, template] = [
            file("q", &format!("{mark}Say hello.")),
            file("i", &format!("{mark}Be brief.")),
            file("s", &format!("{mark}Be kind.")),
            file("t", &format!("{mark}{template}")),
        ];
        let files = ["-f", &query, "-if", &instruction, "-sysf", &system, "--chat-template-file", &template];
        let answer =
            records(&stdout(&generate(&[&["-n", "1", "--json"], &files[..]].concat()))).pop().unwrap();
        let trace = folder.path().join("trace.jsonl");
        let model = model();
        let mut child =
            one_thread(&["chat", "-m", &model, "-i", "Be brief.", "-n", "2", "--temp", "0", "-c", "256"])
                .args(["--trace", trace.to_str().unwrap()])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
        child.stdin.take().unwrap().write_all(format!("{mark}Say hello.\n").as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        let chat = records(&std::fs::read_to_string(trace).unwrap()).pop().unwrap();
        [answer["prompt"].to_string(), chat["prompt"].to_string(), chat["text"].to_string()]
    };
    assert_eq!(read("\u{feff}"), read(""));
}

/// A list in a file of a name, with one answer for each line.
fn list(name: &str, text: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    generate(&[&["-f", path.to_str().unwrap(), "-n", "2"], args].concat())
}

#[test]
fn a_record_is_handed_on_as_it_was_whatever_its_fields_are_called() {
    let record = r#"{"key": 1000, "query": "Name a fruit.", "type": "food", "text": "mine", "tokens": 7, "arm": "left", "judge": [], "seed": 7, "record": 1, "user_id": 123456789012345678901234, "x": 1.10}"#;
    let lines = stdout(&list("a.jsonl", &format!("{record}\n"), &["-i", "Use one word."]));
    assert!(
        lines.contains(&format!("\"record\":{}", record.replace(": ", ":").replace(", ", ","))),
        "{lines}"
    );
    let answer = &records(&lines)[0];
    assert_eq!((&answer["arm"], &answer["type"]), (&"steered".into(), &"answer".into()));
    assert!(answer["text"] != "mine" && answer["tokens"] != 7, "{answer}");
    assert_eq!((&answer["query"], &answer["seed"]), (&"Name a fruit.".into(), &7.into()));
    // Two names that are one as floating-point numbers.
    let ids = "{\"id\":10000000000000000000001,\"query\":\"a\"}\n{\"id\":10000000000000000000002,\"query\":\"a\"}\n";
    let lines = stdout(&list("a.jsonl", ids, &["-i", "x"]));
    assert_ne!(records(&lines)[0]["seed"], records(&lines)[1]["seed"]);
    assert!(
        lines.contains("\"id\":10000000000000000000001,")
            && lines.contains("\"id\":10000000000000000000002,")
    );
}

#[test]
fn a_list_is_known_by_its_name_in_any_case_and_must_hold_a_record() {
    let text = "{\"query\":\"Say hello.\"}\n{\"query\":\"Count.\"}\n";
    for name in ["a.JSONL", "a.ndjson", "a.NdJson", "a.jsonlines"] {
        assert_eq!(records(&stdout(&list(name, text, &["-i", "x"]))).len(), 2, "{name}");
    }
    let output = list("a.txt", text, &["-i", "x"]);
    assert!(
        output.status.success() && stderr(&output).contains("looks like a list of queries"),
        "{}",
        stderr(&output)
    );
    assert_eq!(records(&stdout(&list("a.txt", text, &["-i", "x", "--batch"]))).len(), 2);
    let output = list("a.txt", text, &["-o", "no-such-folder/x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--output is for a list of queries"), "{}", stderr(&output));
    for empty in ["", "\n  \n", "\u{feff}"] {
        let output = list("a.jsonl", empty, &["-i", "x"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("a.jsonl: holds no record, must hold at least 1"),
            "{}",
            stderr(&output)
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.jsonl");
        std::fs::write(&path, empty).unwrap();
        let judge = ["--judge", "http://127.0.0.1:1", "--judge-model", "m", "-i", "x"];
        let output = crate::command::run(&[&["score", "-f", path.to_str().unwrap()], &judge[..]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("b.jsonl: holds no record"), "{}", stderr(&output));
    }
}

#[test]
fn sizes_are_refused_by_name_and_range_and_never_end_the_process() {
    let cases: [(&[&str], &str); 12] = [
        (&["-c", "1"], "'--ctx-size <N>': must be 0, or at least 2 and at most 1073741696"),
        (&["-c", "4294967295"], "'--ctx-size <N>': must be 0, or at least 2"),
        (&["-b", "2"], "'--batch-size <N>': 2 is not in 3..=1048576"),
        (&["-b", "4294967296"], "'--batch-size <N>': 4294967296 is not in 3..=1048576"),
        (&["-ub", "0"], "'--ubatch-size <N>': 0 is not in 1..=1048576"),
        (&["-t", "513"], "'--threads <N>': must be -1 or 0, or at most 512"),
        (&["-tb", "2147483647"], "'--threads-batch <N>': must be -1 or 0, or at most 512"),
        (&["-np", "128"], "'--parallel <N>': 128 is not in 1..=127"),
        (&["-np", "0"], "'--parallel <N>': 0 is not in 1..=127"),
        (&["-fa", "off", "-ctv", "q8_0"], "cache_type_v is q8_0, must be f32, f16 or bf16 without flash"),
        (&["-np", "4", "-b", "8"], "n_batch is 8, must be at least 9"),
        (&["-np", "4", "-c", "300000000"], "n_ctx is 300000000, must be at least 2 and at most 268435424"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let lines: String = (0..130).map(|n| format!("{{\"query\":\"Count to {n}.\"}}\n")).collect();
    std::fs::write(&path, lines).unwrap();
    let (model, path) = (model(), path.to_str().unwrap().to_owned());
    let run = |args: &[&str]| sda_with(&[&["-m", &model, "-f", &path, "-i", "x", "-s", "1"], args].concat());
    for (args, message) in cases {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
    }
    // The most that the options promise.
    let output = run(&[
        "-np",
        "127",
        "-b",
        "255",
        "-ub",
        "1048576",
        "-n",
        "1",
        "-c",
        "16",
        "--no-template",
        "-t",
        "1",
    ]);
    assert_eq!(records(&stdout(&output)).len(), 130);
}

/// `sda generate` without options of these tests' own.
fn sda_with(args: &[&str]) -> Output {
    crate::command::run(&[&["generate"], args].concat())
}

#[test]
fn only_a_think_block_that_the_template_or_the_model_opens_holds_the_steering_off() {
    let guidance = |args: &[&str]| -> Vec<f64> {
        let output = generate(&[&["--steer-after-think", "--paper", "--json", "-n", "6"], args].concat());
        let tokens = records(&stdout(&output)).into_iter().filter(|record| record["type"] == "token");
        tokens.map(|token| token["guidance"].as_f64().unwrap()).collect()
    };
    let pirate = "Answer like a pirate.";
    for args in [
        ["-p", "What does the <think> tag mean in HTML?", "-i", pirate],
        ["-p", "Say hello.", "-i", "End with the tag <think>"],
        ["-p", "Explain <think>", "-sys", "Use <think>."],
    ] {
        let guidance = guidance(&args);
        assert!(guidance.iter().all(|&g| g == 1.5), "{args:?}: {guidance:?}");
    }
    let template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";
    let with_end = |end: &str| {
        let template = format!("{template}{end}");
        guidance(&["-p", "Say hello.", "-i", pirate, "--chat-template", &template])
    };
    assert!(with_end("<think>\n").iter().all(|&g| g == 1.0));
    assert!(with_end("<think>\n\n</think>\n\n").iter().all(|&g| g == 1.5));
}

#[test]
fn a_judge_reads_all_of_a_draft_but_the_think_block_that_it_begins_with() {
    let server = FaultServer::start(|request, _| {
        let wanted = ["It ends with </think>, like so: <think>.", "the rest", "All </think> of this."];
        let found = wanted.iter().position(|text| request.prompt().replace('\u{2060}', "").contains(text));
        let hidden = request.prompt().contains("secret");
        chat(&format!("{{\"score\": {}}}", found.filter(|_| !hidden).map_or(1, |n| 10 * (n + 1))))
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.jsonl");
    let drafts = [
        "It ends with </think>, like so: <think>.",
        "<think>secret</think>the rest",
        "All </think> of this.",
    ];
    let lines: String =
        drafts.iter().map(|draft| format!("{}\n", json!({ "query": "q", "draft": draft }))).collect();
    std::fs::write(&path, lines).unwrap();
    let url = server.url();
    let args = ["score", "-f", path.to_str().unwrap(), "--judge", &url, "-i", "x", "--parallel", "1"];
    let scores: Vec<Value> =
        records(&stdout(&crate::command::run(&args))).iter().map(|record| record["score"].clone()).collect();
    assert_eq!(scores, [json!(10.0), json!(20.0), json!(30.0)]);
    // A draft that never leaves the block that the template has opened is none.
    let template = "{% for m in messages %}{{ m.content }}\n{% endfor %}<think>";
    let judged = ["--chat-template", template, "-n", "4", "--judge", &url, "-p", "q", "-i", "x"];
    let output = generate(&judged);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("draft"), "{}", stderr(&output));
}

#[test]
fn a_stop_text_may_be_a_control_token_and_every_seed_repeats_itself() {
    let turn = ["--no-template", "-p", "<|im_start|>user\\nHi<|im_end|>\\n", "-n", "30", "--json"];
    let answer = |args: &[&str]| records(&stdout(&generate(&[&turn[..], args].concat()))).pop().unwrap();
    assert_ne!(answer(&[])["finish"], "stop");
    let stopped = answer(&["-r", "<|im_start|>"]);
    assert_eq!((&stopped["finish"], &stopped["text"]), (&"stop".into(), &"".into()));

    let model = model();
    let drawn = |args: &[&str]| {
        let args =
            [&["generate", "-m", &model, "-c", "256", "-n", "6", "--temp", "2", "-i", "x"], args].concat();
        let answer = records(&stdout(&sda(&[&args[..], &["--json"]].concat()))).pop().unwrap();
        (answer["text"].clone(), answer["seed"].clone())
    };
    let seed = ["-p", "Tell a story.", "-s", "4294967295"];
    assert_eq!(drawn(&seed), drawn(&seed));
    assert_eq!(drawn(&seed).1, json!(u32::MAX));
    let line = "{\"query\":\"Tell a story.\",\"seed\":4294967295}\n";
    let listed = || records(&stdout(&list("a.jsonl", line, &["--temp", "2"]))).pop().unwrap()["text"].clone();
    let listed = [listed(), listed()];
    assert_eq!(listed[0], listed[1]);
    let output = generate(&["-p", "x", "--judge", "http://127.0.0.1:1", "--judge-seed", "4294967295"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("judge seed is 4294967295, must be from 0 to 4294967294"));
}
