//! Chat templates against jinja2, set up as Hugging Face does it: what tests/python/templates/make_cases.py wrote.

use serde_json::Value;

use super::{ChatTemplate, Message, Role, TemplateVariables};

/// What jinja2 makes of a selection of all cases.
const FROZEN: &str = include_str!("../../../tests/data/templates.json");

fn message(message: &Value) -> Message {
    let role = match message["role"].as_str() {
        Some("system") => Role::System,
        Some("user") => Role::User,
        _ => Role::Assistant,
    };
    Message::new(role, message["content"].as_str().unwrap())
}

/// Renders all cases, and returns how many there were.
fn compare(json: &str) -> usize {
    let all: Value = serde_json::from_str(json).unwrap();
    let cases = all["cases"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let entry = |table: &str, field: &str| &all[table][case[field].as_u64().unwrap() as usize];
        let source = entry("templates", "template").as_str().unwrap();
        let messages: Vec<Message> =
            entry("messages", "messages").as_array().unwrap().iter().map(message).collect();
        let got = TemplateVariables::from_json(entry("variables", "variables").as_str().unwrap())
            .and_then(|variables| ChatTemplate::compile(source, "<s>", "</s>")?.with_variables(variables))
            .and_then(|template| {
                template.render_unchecked(&messages, case["add_generation_prompt"].as_bool().unwrap())
            });
        let same = match case["text"].as_str() {
            Some(text) => got.as_deref() == Ok(text),
            None => got.is_err(),
        };
        if same != case["differs"].is_null() {
            let expected = if case["text"].is_null() { &case["error"] } else { &case["text"] };
            wrong.push(format!(
                "{}: {source:?} of {messages:?}\n  jinja2: {expected}\n  sda: {got:?}\n  known to differ: {}",
                case["name"], case["differs"]
            ));
        }
    }
    let shown: Vec<&str> = wrong.iter().take(10).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), shown.join("\n"));
    cases.len()
}

#[test]
fn frozen_templates_give_what_jinja2_gives() {
    assert!(compare(FROZEN) > 1000);
}

#[test]
#[ignore = "make test-templates writes the cases"]
fn new_templates_give_what_jinja2_gives() {
    let path =
        std::env::var_os("SDA_TEMPLATE_CASES").expect("SDA_TEMPLATE_CASES is the file of make_cases.py");
    assert!(compare(&std::fs::read_to_string(path).unwrap()) > 1000);
}
