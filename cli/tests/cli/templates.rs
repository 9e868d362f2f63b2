//! Chat templates as the command takes them.

use std::process::Output;

use crate::command::{model, one_thread, records, run, stderr, stdout};

/// ChatML as SmolLM2's own template writes it where there is a system message.
const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

fn generate(extra: &[&str]) -> Output {
    let own = ["generate", "-m", &model(), "-p", "Name a fruit.", "-i", "Use one word.", "-c", "256"];
    one_thread(&[&own[..], &["-n", "6", "--temp", "0"], extra].concat()).output().unwrap()
}

/// What the model says, as far as it depends on the prompts.
fn said(extra: &[&str]) -> String {
    stdout(&generate(extra))
}

#[test]
fn a_template_of_llama_cpp_has_its_name_and_another_word_is_refused() {
    let system = ["-sys", "You are a pirate."];
    let built_in = said(&[&system[..], &["--chat-template", "chatml"]].concat());
    assert_eq!(built_in, said(&[&system[..], &["--chat-template", CHATML]].concat()));
    assert_ne!(built_in, said(&[&system[..], &["--chat-template", "vicuna"]].concat()));
    for (word, shown) in [("chatm", "chat_template is chatm, "), (" ", "chat_template is empty, ")] {
        let output = generate(&["--chat-template", word]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(shown) && stderr(&output).contains("Jinja"), "{}", stderr(&output));
    }
    assert!(stderr(&generate(&["--chat-template", "chatm"])).contains("bailing, bailing-think, "));
}

#[test]
fn every_template_of_llama_cpp_holds_system_message_query_and_instruction() {
    let refused = stderr(&generate(&["--chat-template", "?"]));
    let names = refused
        .split_once("llama.cpp's: ")
        .unwrap()
        .1
        .split_whitespace()
        .map(|name| name.trim_end_matches(','));
    let names: Vec<&str> = names.take_while(|name| *name != "For").collect();
    assert!(names.len() > 40 && names.contains(&"yandex"), "{names:?}");
    let model = sda::llama::Model::load(model().as_ref(), &Default::default(), |_| true).unwrap();
    let history = [sda::text::Turn { query: "Hello".into(), answer: "Good day".into() }];
    for name in names {
        let template = model.template(Some(name), &Default::default()).unwrap();
        let pair = sda::text::PairBuilder {
            template: template.as_ref(),
            system: Some("Be kind."),
            history: &history,
            query: "Name a fruit.",
            instruction: "Use one word.",
            placement: sda::text::InstructionPlacement::System,
            ..Default::default()
        };
        let pair = pair.build().unwrap_or_else(|error| panic!("{name}: {error}"));
        for text in ["Be kind.", "Hello", "Good day", "Name a fruit.", "Use one word."] {
            assert!(pair.instructed.contains(text), "{name}: {}", pair.instructed);
        }
        assert!(!pair.plain.contains("Use one word."), "{name}");
    }
}

#[test]
fn a_text_that_the_template_would_lose_is_kept_or_an_error() {
    // A list of parts, and no system role: the same prompts as with the plain form of each.
    let parts = CHATML.replace("m.content", "m.content[0].text");
    assert_eq!(said(&["--chat-template", &parts]), said(&["--chat-template", CHATML]));
    let users = CHATML.replacen("{{", "{% if m.role == 'system' %}{% continue %}{% endif %}{{", 1);
    let merged = ["-p", "You are a pirate.\n\nName a fruit.", "-i", "Use one word."];
    let own = ["generate", "-m", &model(), "-c", "256", "-n", "6", "--temp", "0", "--chat-template", &users];
    let merged = stdout(&one_thread(&[&own[..], &merged].concat()).output().unwrap());
    assert_eq!(said(&["-sys", "You are a pirate.", "--chat-template", &users]), merged);
    for template in ["<|im_start|>user\n{{ messages|length }}<|im_end|>\n", "{{ messages[0].content[:5] }}"] {
        let output = generate(&["--chat-template", template]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("drops the user message \"Name a fruit.\""), "{}", stderr(&output));
    }
    let output = generate(&["--negative-prompt", "Use one word."]);
    assert!(stderr(&output).contains("makes no difference"), "{}", stderr(&output));
}

#[test]
fn variables_reach_the_template_and_wrong_ones_are_refused() {
    let thinks = CHATML.replace(
        "assistant\n'",
        "assistant\n' ~ ('' if enable_thinking|default(true) else '<think></think>')",
    );
    let with = |json: &'static str| said(&["--chat-template", &thinks, "--chat-template-kwargs", json]);
    assert_eq!(with("{}"), said(&["--chat-template", CHATML]));
    assert_eq!(with("{\"enable_thinking\": true}"), with("{}"));
    assert_ne!(with("{\"enable_thinking\": false}"), with("{}"));
    for (json, allowed) in [
        ("{\"a\"", "must be a JSON object"),
        ("3", "must be a JSON object"),
        ("{\"messages\": 1}", "must be without messages"),
    ] {
        let output = run(&["generate", "-m", "no-such.gguf", "-p", "x", "--chat-template-kwargs", json]);
        assert_eq!(output.status.code(), Some(2), "before a model is loaded: {}", stderr(&output));
        let shown = format!("chat_template_kwargs is {json}, {allowed}");
        assert!(stderr(&output).contains(&shown), "{}", stderr(&output));
    }
    let output = generate(&["--chat-template", "vicuna", "--chat-template-kwargs", "{\"a\":1}"]);
    assert!(
        stderr(&output).contains("chat_template_kwargs is {\"a\":1}, must be empty"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_list_is_continued_as_long_as_the_variables_make_the_same_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["list.jsonl", "out.jsonl"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    std::fs::write(&paths[0], "{\"query\": \"Name a fruit.\"}\n").unwrap();
    let template = format!("{CHATML}{{{{ lead }}}}");
    let run = |kwargs: &[&str]| {
        let own =
            ["generate", "-m", &model(), "-i", "Use one word.", "-f", &paths[0], "-o", &paths[1], "-n", "2"];
        one_thread(&[&own[..], &["--chat-template", &template], kwargs].concat()).output().unwrap()
    };
    stdout(&run(&["--chat-template-kwargs", "{\"lead\": \"A\", \"b\": 2}"]));
    stdout(&run(&["--chat-template-kwargs", "{\"b\":2,\"lead\":\"A\"}"]));
    assert_eq!(records(&std::fs::read_to_string(&paths[1]).unwrap()).len(), 1);
    for other in [&[][..], &["--chat-template-kwargs", "{\"lead\": \"B\"}"]] {
        assert_eq!(run(other).status.code(), Some(1), "{other:?}");
    }
}

#[test]
fn a_template_without_end_ends_by_its_fuel() {
    let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}";
    let output = generate(&["--chat-template", endless]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("does more than is allowed"), "{}", stderr(&output));
}
