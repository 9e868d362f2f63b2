//! What a server says when it does not answer: in the body of an error reply, or instead of an answer in a reply of
//! status 200.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{retry, shapes};

/// An error in a server's own words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Complaint {
    /// For the reader: the message, or the body as it is.
    pub(super) text: String,
    /// The message with the codes and names around it, to tell what it is about.
    pub(super) full: String,
    /// The HTTP status that the error itself names.
    pub(super) code: Option<u16>,
    /// The error names itself as one that may pass.
    pub(super) passing: bool,
    /// The wait that it asks for.
    pub(super) wait: Option<Duration>,
}

/// The complaint in the body of an error reply, whatever its form.
pub(super) fn in_error_reply(body: &[u8]) -> Complaint {
    let text = String::from_utf8_lossy(body);
    let value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok();
    let found = value.as_ref().and_then(|v: &Value| in_reply(v).or_else(|| read(v)));
    found.unwrap_or_else(|| Complaint {
        text: text.to_string(),
        full: text.to_string(),
        ..Complaint::default()
    })
}

/// The complaint in a reply of status 200; `None` when it holds none.
///
/// OpenRouter documents `{"error": {"code", "message"}}` for whatever goes wrong after the status was sent, also within
/// the choice; LM Studio sends `{"error": "text"}` for a wrong path, vLLM had `{"object": "error", "message"}`, FastAPI
/// servers `{"detail"}`, Cloudflare `{"errors": []}`, Gemini a list of one such object.
pub(super) fn in_reply(reply: &Value) -> Option<Complaint> {
    if let Value::Array(list) = reply {
        return list.iter().find_map(in_reply);
    }
    let object = reply.as_object()?;
    let choice = object.get("choices").and_then(|choices| choices.get(0));
    let inner = [object.get("error"), choice.and_then(|c| c.get("error"))].into_iter().flatten();
    if let Some(error) = inner.into_iter().find(|e| !is_nothing(e)) {
        let mut complaint = read(error).unwrap_or_else(|| as_it_is(error));
        complaint.code = complaint.code.or_else(|| code(object));
        return Some(complaint);
    }
    let is_error = ["object", "type"].iter().any(|key| {
        object.get(*key).and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("error"))
    });
    if is_error {
        return read(reply).or_else(|| Some(as_it_is(reply)));
    }
    if choice.is_some() {
        return None;
    }
    ["detail", "errors"].iter().filter_map(|key| object.get(*key)).find(|e| !is_nothing(e))?;
    read(reply).or_else(|| Some(as_it_is(reply)))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

fn as_it_is(value: &Value) -> Complaint {
    Complaint { text: value.to_string(), full: value.to_string(), ..Complaint::default() }
}

/// Reads one error; `None` when no words are found in it.
fn read(error: &Value) -> Option<Complaint> {
    if let Value::Array(list) = error {
        return list.iter().find_map(read);
    }
    if let Some(text) = error.as_str().filter(|t| !t.trim().is_empty()) {
        return Some(Complaint { text: text.to_string(), full: text.to_string(), ..Complaint::default() });
    }
    let object = error.as_object()?;
    let mut text = ["message", "detail", "errors"].iter().find_map(|key| words(object.get(*key)?))?;
    // OpenRouter: the words of the provider behind it.
    if let Some(raw) = object.get("metadata").and_then(|m| m.get("raw")).and_then(Value::as_str) {
        text = format!("{text}: {raw}");
    }
    let named = ["code", "type", "param", "status"].iter().filter_map(|key| object.get(*key)?.as_str());
    let named: Vec<&str> = named.collect();
    Some(Complaint {
        full: format!("{text} {}", named.join(" ")),
        text,
        code: code(object),
        passing: named.iter().any(|name| shapes::is_passing(name)),
        wait: wait(object),
    })
}

/// The words of a message: a text, or FastAPI's list of `{"loc": [], "msg": ""}`, or other lists of errors.
fn words(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_string()).filter(|t| !t.trim().is_empty());
    }
    if let Value::Array(list) = value {
        let all: Vec<String> = list.iter().filter_map(words).collect();
        return Some(all.join("; ")).filter(|t| !t.is_empty());
    }
    let text = value.get("msg").or_else(|| value.get("message")).and_then(Value::as_str)?;
    let place = value.get("loc").and_then(Value::as_array).map(|loc| {
        let steps: Vec<String> =
            loc.iter().map(|s| s.as_str().map_or_else(|| s.to_string(), String::from)).collect();
        format!("{}: ", steps.join("."))
    });
    Some(format!("{}{text}", place.unwrap_or_default()))
}

/// An HTTP status among an error's codes, also written as a text.
fn code(object: &Map<String, Value>) -> Option<u16> {
    ["code", "status", "status_code"].iter().find_map(|key| {
        let value = object.get(*key)?;
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        u16::try_from(number).ok().filter(|n| (400..600).contains(n))
    })
}

/// Gemini's wait: `"details": [{"retryDelay": "34s"}]`.
fn wait(object: &Map<String, Value>) -> Option<Duration> {
    let details = object.get("details")?.as_array()?;
    details.iter().find_map(|d| retry::seconds(d.get("retryDelay")?.as_str()?.trim_end_matches('s')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(body: &str) -> String {
        in_error_reply(body.as_bytes()).text
    }

    #[test]
    fn the_servers_words_are_found_in_every_form() {
        let cases = [
            ("{\"error\": {\"message\": \"no such model\"}}", "no such model"),
            ("{\"error\": \"no such model\"}", "no such model"),
            ("{\"message\": \"no such model\"}", "no such model"),
            ("\u{feff}[{\"error\": {\"code\": 400, \"message\": \"no\"}}]", "no"),
            ("{\"detail\": \"Not Found\"}", "Not Found"),
            ("{\"message\": {\"detail\": []}, \"detail\": [{\"msg\": \"no\"}]}", "no"),
            ("{\"detail\": [{\"loc\": [\"body\", \"seed\", 0], \"msg\": \"no\"}]}", "body.seed.0: no"),
            ("{\"success\": false, \"errors\": [{\"code\": 7, \"message\": \"no\"}]}", "no"),
            ("{\"object\": \"error\", \"message\": \"no\", \"code\": 40303}", "no"),
            ("{\"error\": {\"message\": \"upstream\", \"metadata\": {\"raw\": \"no\"}}}", "upstream: no"),
            ("{\"detail\": [1]}", "{\"detail\":[1]}"),
            ("plain", "plain"),
            ("", ""),
        ];
        for (body, words) in cases {
            assert_eq!(text(body), words, "{body}");
        }
    }

    #[test]
    fn codes_and_waits_are_found_as_numbers_and_as_texts() {
        let of = |error| in_reply(&json!({ "error": error })).unwrap();
        assert_eq!(of(json!({ "message": "m", "code": 429 })).code, Some(429));
        assert_eq!(of(json!({ "message": "m", "code": "503" })).code, Some(503));
        assert_eq!(of(json!({ "message": "m", "code": 3001 })).code, None);
        let quota = of(json!({
            "message": "m", "status": "RESOURCE_EXHAUSTED", "details": [{}, { "retryDelay": "34.5s" }],
        }));
        assert!(quota.passing);
        assert_eq!(quota.wait, Some(Duration::from_millis(34_500)));
        assert!(!of(json!({ "message": "m", "type": "invalid_request_error" })).passing);
    }

    #[test]
    fn an_answer_is_no_complaint() {
        let choices = json!([{ "message": { "content": "x" } }]);
        for reply in [
            json!({ "choices": choices }),
            json!({ "choices": choices, "error": null, "detail": "d", "message": "m" }),
            json!({ "choices": choices, "error": "", "object": "chat.completion" }),
            json!({ "choices": [] }),
            json!({}),
            json!([]),
        ] {
            assert_eq!(in_reply(&reply), None, "{reply}");
        }
    }
}
