//! The command on models beyond attention, tiny ones with random weights.
//!
//! `make test-models` writes them, and sets `SDA_TEST_MODELS_DIR`. A plain `cargo test` leaves these tests out.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use crate::c_engine::c_engine;
use crate::command::{one_thread, records, stderr, stdout};

/// Attention for comparison, then memory that cannot be rewound, then what is odd in other ways.
const KINDS: [&str; 9] = [
    "attention",
    "mamba",
    "rwkv7",
    "jamba",
    "lfm2",
    "add-eos",
    "no-eos",
    "no-template",
    "parts-00001-of-00004",
];

const QUERY: &str = "What is the capital of France?";
const PIRATE: &str = "Answer like a pirate.";

fn file(name: &str) -> String {
    let folder = std::env::var_os("SDA_TEST_MODELS_DIR")
        .expect("SDA_TEST_MODELS_DIR is not set: run `make test-models`, which writes the models");
    PathBuf::from(folder).join(format!("{name}.gguf")).to_str().unwrap().to_owned()
}

/// Without fused attention and with a cache of 32-bit floats, so that a batch of another shape gives the same tokens.
fn sda(subcommand: &str, kind: &str, args: &[&str]) -> std::process::Command {
    let exact = ["--flash-attn", "off", "--cache-type-k", "f32", "--cache-type-v", "f32", "-c", "512"];
    one_thread(&[&[subcommand, "-m", &file(kind), "-i", PIRATE][..], &exact, args].concat())
}

fn generate(kind: &str, args: &[&str]) -> Output {
    sda("generate", kind, args).output().unwrap()
}

/// The lines that a conversation prints, one answer after the other; `marks` part them.
fn chat(kind: &str, input: &str) -> String {
    let mut child = sda("chat", kind, &["-n", "16", "--temp", "0", "--guidance", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    stdout(&child.wait_with_output().unwrap())
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_steered_answer_depends_on_its_seed_and_its_instruction_alone() {
    for kind in KINDS {
        let answer = |seed: &str, guidance: &str| {
            let args = ["-p", QUERY, "-n", "32", "-s", seed, "--temp", "1", "--guidance", guidance, "--json"];
            records(&stdout(&generate(kind, &args)))
        };
        let first = answer("1", "2");
        let tokens = |records: &[Value]| -> Vec<Value> {
            records
                .iter()
                .filter(|record| record["type"] == "token")
                .map(|record| record["token"].clone())
                .collect()
        };
        let end = first.last().unwrap();
        assert_eq!(
            (end["type"].as_str(), end["finish"].as_str()),
            (Some("answer"), Some("length")),
            "{kind}: {end}"
        );
        assert_eq!(tokens(&first).len(), 32, "{kind}");
        assert_eq!(tokens(&first), tokens(&answer("1", "2")), "{kind}");
        assert_ne!(tokens(&first), tokens(&answer("2", "2")), "{kind}");
        assert_ne!(tokens(&first), tokens(&answer("1", "1")), "{kind}: the steering has no effect");
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_turn_taken_back_is_answered_once_more_as_before() {
    for kind in KINDS {
        let turns = "Hello there\nAnd of Spain?\n";
        let twice = chat(kind, &format!("{turns}/undo\nAnd of Spain?\n/undo\n/undo\n{turns}/exit\n"));
        let once = chat(kind, &format!("{turns}/exit\n"));
        // Answers of random models may hold anything but the end of the last.
        let last = chat(kind, "Hello there\n/exit\n");
        let second = once.strip_prefix(&last).unwrap_or_else(|| panic!("{kind}: {once:?} after {last:?}"));
        assert!(second.len() > 16, "{kind}: {second:?}");
        assert_eq!(twice, format!("{once}{second}{once}"), "{kind}");
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_list_has_the_same_answers_whatever_is_answered_beside() {
    const QUERIES: [&str; 5] =
        ["Hello", "Why is the sky blue?", "Name three animals.", "Count to ten.", "Who are you?"];
    // The last two have no strength of their own: a judge has to give it.
    let record = |(i, query): (usize, &&str)| match i {
        0..3 => json!({ "id": i, "query": query, "guidance": 1.5 + 0.5 * i as f64 }),
        _ => json!({ "id": i, "query": query }),
    };
    let list: String = QUERIES.iter().enumerate().map(|query| format!("{}\n", record(query))).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.jsonl");
    std::fs::write(&path, list).unwrap();
    for kind in KINDS {
        let answers = |parallel: &str| {
            let args = ["-f", path.to_str().unwrap(), "-n", "12", "--temp", "0", "--parallel", parallel];
            // A draft is written, read by the judge in a sequence of its own, and rewound.
            let output = generate(kind, &[&args[..], &["--judge", "local"]].concat());
            let answers = records(&stdout(&output)).into_iter();
            let by_id = |answer: Value| (format!("{} {}", answer["id"], answer["arm"]), answer);
            answers.map(by_id).collect::<BTreeMap<_, _>>()
        };
        let (alone, beside) = (answers("1"), answers("4"));
        assert_eq!(alone.len(), QUERIES.len() + 2, "{kind}: an answer for each, and two drafts");
        for (id, answer) in &alone {
            let other = &beside[id];
            assert_eq!(
                (&answer["text"], &answer["tokens"]),
                (&other["text"], &other["tokens"]),
                "{kind} {id}"
            );
            let [a, b] = [answer, other].map(|answer| answer["score"].as_f64());
            let is_close = a.zip(b).is_none_or(|(a, b)| (a - b).abs() < 1e-3);
            assert!(a.is_some() == b.is_some() && is_close, "{kind} {id}: {a:?} and {b:?}");
        }
        assert!(alone["4 \"steered\""]["score"].is_number(), "{kind}: {alone:?}");
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn a_judged_answer_is_the_one_of_its_score() {
    for kind in KINDS {
        let args = ["-p", QUERY, "-n", "24", "--temp", "0", "--json"];
        let judged = records(&stdout(&generate(kind, &[&args[..], &["--judge", "local"]].concat())));
        let judged = judged.last().unwrap().clone();
        let score = judged["score"].to_string();
        let scored = records(&stdout(&generate(kind, &[&args[..], &["--score", &score]].concat())));
        assert_eq!(judged["text"], scored.last().unwrap()["text"], "{kind}, score {score}");
    }
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs tiny models: make test-models"]
fn the_c_engine_says_what_the_command_says() {
    let program = c_engine("architectures");
    for kind in KINDS {
        for (seed, extra) in [("-1", ["--temp", "0"]), ("7", ["-s", "7"])] {
            let output = std::process::Command::new(&program)
                .env("OMP_THREAD_LIMIT", "1")
                .args([&file(kind), QUERY, PIRATE, "0.75", seed, "32"])
                .output()
                .unwrap();
            let args = [
                "generate",
                "-m",
                &file(kind),
                "-p",
                QUERY,
                "-i",
                PIRATE,
                "-a",
                "0.75",
                "-n",
                "32",
                "--paper",
            ];
            let command = one_thread(&args).args(extra).output().unwrap();
            assert_eq!(stdout(&output), stdout(&command), "{kind}, seed {seed}");
            assert!(stdout(&output).len() > 20, "{kind}");
        }
    }
}

#[test]
#[ignore = "needs tiny models: make test-models"]
fn what_cannot_be_used_is_refused_with_its_reason() {
    for (kind, reason) in [
        ("bert", "has the architecture bert, which does not continue a text"),
        ("t5", "has the architecture t5, which does not continue a text"),
        ("parts-00003-of-00004", "is part 3 of 4, must be the first: "),
    ] {
        let output = generate(kind, &["-p", QUERY]);
        assert_eq!(output.status.code(), Some(1), "{kind}");
        let said = stderr(&output);
        assert!(said.contains("error: model cannot be used: ") && said.contains(reason), "{kind}: {said}");
    }
}
