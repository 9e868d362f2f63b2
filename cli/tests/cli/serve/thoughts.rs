//! The reasoning of models that think before they answer.

use serde_json::{Value, json};

use super::{Event, Server, chunks, content, question};

/// The reasoning and the answer of a stream.
fn streamed(server: &Server, query: &str, more: &Value) -> (String, String) {
    let events: Vec<Event> = server.stream("/v1/chat/completions", &question(query, more)).collect();
    let chunks = chunks(&events);
    let text = |field: &str| -> String {
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"][field].as_str()).collect()
    };
    (text("reasoning_content"), text("content"))
}

#[test]
fn the_reasoning_of_an_answer_comes_apart_from_it() {
    let server = Server::start(&["-np", "1"]);
    let ask = |more: Value| {
        let mut body =
            json!({ "max_tokens": 40, "grammar": "root ::= \"<think>Hm, so.</think>\\n\\nYes.\"" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (server.chat("Is it so?", &body), streamed(&server, "Is it so?", &body))
    };
    for format in ["auto", "deepseek"] {
        let (whole, parts) = ask(json!({ "reasoning_format": format }));
        let message = &whole["choices"][0]["message"];
        assert_eq!((&message["reasoning_content"], content(&whole)), (&json!("Hm, so."), "Yes."));
        assert_eq!(parts, ("Hm, so.".to_owned(), "Yes.".to_owned()));
    }
    let (whole, parts) = ask(json!({ "reasoning_format": "none" }));
    assert_eq!(content(&whole), "<think>Hm, so.</think>\n\nYes.");
    assert_eq!(whole["choices"][0]["message"].get("reasoning_content"), None);
    assert_eq!(parts, (String::new(), "<think>Hm, so.</think>\n\nYes.".to_owned()));
}

#[test]
fn a_block_that_the_template_opens_is_reasoning_until_the_model_closes_it() {
    let template = "{% for m in messages %}{{ m.content }}{% endfor %}\
        {% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}";
    let server = Server::start(&["-np", "1", "--chat-template", template]);
    // What the model continues, token by token.
    let shown = "<think>one two three</think>four five six\n".repeat(6);
    let more = json!({ "max_tokens": 40, "stop": "\n" });
    let whole = server.chat(&shown, &more);
    let message = &whole["choices"][0]["message"];
    assert_eq!((&message["reasoning_content"], content(&whole)), (&json!("one two three"), "four five six"));
    assert_eq!(streamed(&server, &shown, &more), ("one two three".to_owned(), "four five six".to_owned()));
    // One that is never closed is all there is.
    let cut = server.chat(&shown, &json!({ "max_tokens": 2 }));
    assert!(cut["choices"][0]["message"]["reasoning_content"].as_str().unwrap().starts_with("one"), "{cut}");
    assert_eq!((content(&cut), &cut["choices"][0]["finish_reason"]), ("", &json!("length")));
    // A grammar holds the answer, not the reasoning.
    let held = server.chat(&shown, &json!({ "max_tokens": 40, "grammar": "root ::= \"seven\"" }));
    let message = &held["choices"][0]["message"];
    assert_eq!((&message["reasoning_content"], content(&held)), (&json!("one two three"), "seven"));
    // Without thinking, no block is opened.
    for off in [
        json!({ "reasoning_effort": "none" }),
        json!({ "chat_template_kwargs": { "enable_thinking": false } }),
    ] {
        let said = server.ask("/apply-template", &question("Q", &off));
        assert_eq!(said["prompt"], "Q", "{off}");
    }
    assert_eq!(server.ask("/apply-template", &question("Q", &json!({})))["prompt"], "Q<think>");
}
