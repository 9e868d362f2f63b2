//! Grammars, JSON schemas and logit bias on the command line.

use serde_json::{Value, json};

use crate::command::{model, one_thread, records, stderr, stdout};

fn generate(args: &[&str]) -> std::process::Output {
    let model = model();
    let own = ["generate", "-m", &model, "-p", "Is the sky blue?", "-i", "Answer like a pirate.", "-s", "4"];
    one_thread(&[&own[..], args].concat()).output().unwrap()
}

fn answer(args: &[&str]) -> String {
    let output = generate(args);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).trim_end().to_owned()
}

#[test]
fn a_grammar_or_a_schema_holds_as_text_and_as_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let grammar = "# One of two.\nroot ::= \"aye\" | \"nay\"\n";
    let schema = r#"{"type": "object", "properties": {"blue": {"type": "boolean"}}, "required": ["blue"]}"#;
    for args in [["--grammar", grammar], ["--grammar-file", &file("yes.gbnf", grammar)]] {
        assert!(["aye", "nay"].contains(&&*answer(&args)), "{args:?}");
    }
    let schema_file = file("schema.json", schema);
    for args in [["-j", schema], ["-jf", &schema_file], ["--json-schema-file", &schema_file]] {
        let text = answer(&args);
        let value: Value = serde_json::from_str(&text).expect(&text);
        assert!(value["blue"].is_boolean() && value.as_object().unwrap().len() == 1, "{text}");
    }
}

#[test]
fn a_bias_bans_a_token_and_forces_one() {
    let first = |args: &[&str]| {
        let output = generate(&[&["--json", "-n", "1", "--temp", "0"], args].concat());
        records(&stdout(&output))[0]["token"].as_i64().unwrap()
    };
    let free = first(&[]);
    assert_ne!(first(&["-l", &format!("{free}-inf")]), free);
    assert_eq!(first(&["-l", "77+1000", "--logit-bias", "78-5"]), 77);
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_generated() {
    for (args, says) in [
        (&["--grammar", "root ::= \"a"][..], "grammar is one that cannot be used (line 1, column 12:"),
        (&["--grammar", "root ::= <|nothing|>"], "<|nothing|> is not one token of this model"),
        (&["-j", "{"], "json_schema is not JSON: EOF"),
        (&["-j", "{}", "--grammar", "root ::= \"a\""], "cannot be used with"),
        (&["--grammar-file", "/nowhere.gbnf"], "/nowhere.gbnf"),
        (&["-l", "77"], "must be a token id, + or -, and a number, as in 15043+1"),
        (&["-l", "99999999+1"], "logit_bias is 1 for token 99999999, must be of a token id from 0 to 49151"),
    ] {
        let output = generate(args);
        assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}");
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_record_of_a_list_may_have_a_grammar_of_its_own_and_results_belong_to_their_grammar() {
    let folder = tempfile::tempdir().unwrap();
    let [list, out] = ["list.jsonl", "out.jsonl"].map(|name| folder.path().join(name));
    let run = |records: &[Value], args: &[&str]| {
        let lines: Vec<String> = records.iter().map(|record| format!("{record}\n")).collect();
        std::fs::write(&list, lines.concat()).unwrap();
        let (model, paths) = (model(), [&list, &out].map(|path| path.to_str().unwrap()));
        let own = ["generate", "-m", &model, "-f", paths[0], "-o", paths[1], "-i", "Be brief.", "-s", "1"];
        let output = one_thread(&[&own[..], args].concat()).output().unwrap();
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        let answers: Vec<String> = crate::command::records(&text)
            .iter()
            .map(|record| record["text"].as_str().expect(&text).to_owned())
            .collect();
        (output, answers)
    };
    let records = [
        json!({"query": "Is tea a drink?"}),
        json!({"query": "Is tea a drink?", "grammar": "root ::= \"certainly\""}),
        json!({"query": "Is tea a drink?", "json_schema": {"const": {"a": [2], "b": 1}}}),
    ];
    let given = ["--grammar", "root ::= \"yes\""];
    let (output, mut answers) = run(&records, &given);
    assert!(output.status.success(), "{}", stderr(&output));
    answers.sort();
    assert_eq!(answers, ["certainly", "yes", "{\"a\":[2],\"b\":1}"]);
    let (output, again) = run(&records, &given);
    assert!(output.status.success() && again.len() == 3, "{}", stderr(&output));
    let (output, _) = run(&records, &["--grammar", "root ::= \"no\""]);
    assert!(stderr(&output).contains("line 1: the result"), "{}", stderr(&output));
    assert!(stderr(&output).contains("belongs to other input or settings"), "{}", stderr(&output));
    for (field, value, says) in [
        (
            "grammar",
            json!("roof ::= \"a\""),
            "line 1: its grammar is one that cannot be used (there is no rule root",
        ),
        ("json_schema", json!({"$ref": "#/no"}), "line 1: its json_schema is {\"$ref\":\"#/no\"}, must be"),
    ] {
        let (output, _) = run(&[json!({"query": "Why?", field: value})], &given);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
}
