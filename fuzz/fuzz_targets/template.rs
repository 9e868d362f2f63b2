//! A chat template from anywhere: it ends by the limits of what it may do. libFuzzer watches the time (-timeout) and
//! the memory (-rss_limit_mb, -malloc_limit_mb).
//!
//! Input: parts with U+001F between them. The template, variables (JSON), and the contents of messages in turn; the first
//! is of the system if it begins with "!".

#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use sda::text::{ChatTemplate, Message, Role, TemplateVariables};

static SETUP: Once = Once::new();

/// libFuzzer's hook ends the process at any panic. Those of minijinja in the thread of a template are errors of
/// rendering: its formats panic at the names of values that are not ASCII.
fn let_the_library_catch_panics_of_minijinja() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let here = std::thread::current();
        let file = panic.location().map_or("", |location| location.file());
        if here.name() != Some("chat template")
            || !file.contains("minijinja")
            || !file.ends_with("formatting.rs")
        {
            hook(panic);
        }
    }));
}

fuzz_target!(|input: &str| {
    SETUP.call_once(let_the_library_catch_panics_of_minijinja);
    let mut parts = input.split('\u{1f}');
    let source = parts.next().unwrap_or_default();
    let variables = TemplateVariables::from_json(parts.next().unwrap_or_default()).unwrap_or_default();
    let mut messages = Vec::new();
    for (i, text) in parts.take(8).enumerate() {
        let role = if i % 2 == 0 { Role::User } else { Role::Assistant };
        messages.push(match text.strip_prefix('!').filter(|_| i == 0) {
            Some(text) => Message::new(Role::System, text),
            None => Message::new(role, text),
        });
    }
    if messages.is_empty() {
        messages.push(Message::new(Role::User, "Hi"));
    }
    let template = match ChatTemplate::compile(source, "<s>", "</s>") {
        Ok(template) => template.with_variables(variables).unwrap(),
        Err(error) => return check_error(&error),
    };
    match template.render(&messages, true) {
        Ok(text) => {
            // A step makes at most 64 bytes, and what is written in the template is written once a step.
            let most = (100_000 + 1000 * messages.len() + 2 * input.len()) * 64.max(input.len());
            assert!(text.len() <= most, "{} bytes", text.len());
        }
        Err(error) => check_error(&error),
    }
});

fn check_error(error: &sda::Error) {
    let shown = error.to_string();
    assert!(!shown.is_empty());
    assert!(!shown.contains(|c: char| c.is_control()), "{shown:?}");
    assert!(shown.len() < 4096, "a message of {} bytes", shown.len());
}
