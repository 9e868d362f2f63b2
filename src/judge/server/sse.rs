//! A reply that came as a stream of events although none was asked for: gateways that ignore `"stream": false`, or
//! that put a stream's end behind a whole reply (decolua/9router 3492).

use serde_json::{Map, Value, json};

use super::complaint;

/// What ends a stream.
const DONE: &str = "[DONE]";

const SEVERAL: &str = "the reply has more than the one choice asked for";

/// The whole completion in a body of events; `None` when the body does not look like events.
///
/// # Errors
/// A reason, when the stream is cut off or garbled.
pub(super) fn gather(body: &str) -> Option<Result<Value, &'static str>> {
    let first = body.lines().map(str::trim).find(|line| !line.is_empty())?;
    // Comments, such as OpenRouter's ": OPENROUTER PROCESSING", keep the connection open.
    let is_event = |field: &&str| first.starts_with(*field);
    ["data:", "event:", "id:", "retry:", ":"].iter().find(|f| is_event(f))?;
    Some(joined(body))
}

/// True for what may follow a whole reply in the same body.
pub(super) fn is_end(rest: &str) -> bool {
    let rest = rest.trim();
    rest.is_empty() || rest.strip_prefix("data:").is_some_and(|data| data.trim() == DONE)
}

fn joined(body: &str) -> Result<Value, &'static str> {
    let mut whole = Whole::default();
    for event in body.replace("\r\n", "\n").replace('\r', "\n").split("\n\n") {
        let lines: Vec<&str> =
            event.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).collect();
        match serde_json::from_str(&lines.join("\n")) {
            Ok(event) => whole.add(event)?,
            // Also for servers that put one line end between events.
            Err(_) => lines.iter().filter(|data| !data.is_empty()).try_for_each(|data| whole.line(data))?,
        }
    }
    whole.finish()
}

#[derive(Default)]
struct Whole {
    done: bool,
    error: Option<Value>,
    /// A whole completion in one event.
    reply: Option<Value>,
    message: Map<String, Value>,
    choice: Map<String, Value>,
    usage: Value,
}

impl Whole {
    fn line(&mut self, data: &str) -> Result<(), &'static str> {
        if data == DONE {
            self.done = true;
            return Ok(());
        }
        self.add(serde_json::from_str(data).map_err(|_| "an event of the reply is not JSON")?)
    }

    fn add(&mut self, event: Value) -> Result<(), &'static str> {
        if complaint::in_reply(&event).is_some() {
            self.error.get_or_insert(event);
            return Ok(());
        }
        if event["usage"].is_object() {
            self.usage = event["usage"].clone();
        }
        // The last event may hold the usage alone, and others say that the connection is alive.
        let Some(choices) = event["choices"].as_array().filter(|c| !c.is_empty()) else {
            return Ok(());
        };
        let [Value::Object(choice)] = choices.as_slice() else { return Err(SEVERAL) };
        if choice.contains_key("message") {
            return if self.reply.replace(event).is_some() { Err(SEVERAL) } else { Ok(()) };
        }
        if choice.get("index").is_some_and(|index| *index != json!(0)) {
            return Err(SEVERAL);
        }
        for (key, value) in choice.iter().filter(|(key, value)| *key != "delta" && !value.is_null()) {
            self.choice.insert(key.clone(), value.clone());
        }
        if let Some(Value::Object(delta)) = choice.get("delta") {
            for (key, value) in delta {
                append(self.message.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Value, &'static str> {
        match (self.error, self.reply) {
            (Some(error), _) => return Ok(error),
            (None, Some(reply)) if self.choice.is_empty() => return Ok(reply),
            (None, Some(_)) => return Err(SEVERAL),
            (None, None) => {}
        }
        let ended = self.choice.get("finish_reason").and_then(Value::as_str).is_some_and(|r| r != "null");
        if !self.done && !ended {
            return Err("the reply is a stream of events that was cut off");
        }
        self.choice.insert("message".into(), Value::Object(self.message));
        Ok(json!({ "choices": [self.choice], "usage": self.usage }))
    }
}

/// Adds the next piece of a field of the message: texts and lists grow, all else is replaced.
fn append(to: &mut Value, piece: &Value) {
    match (to, piece) {
        (_, Value::Null) => {}
        (Value::String(text), Value::String(piece)) => text.push_str(piece),
        (Value::Array(list), Value::Array(pieces)) => list.extend(pieces.iter().cloned()),
        (to, piece) => *to = piece.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(body: &str) -> Result<String, &'static str> {
        let whole = gather(body).expect("a stream")?;
        Ok(whole["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_string())
    }

    fn piece(text: &str) -> String {
        format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
    }

    #[test]
    fn the_pieces_of_a_stream_are_put_together() {
        let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
        let usage = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":7}}\n\n";
        let body = format!(": WAIT\n\n{}{}{end}{usage}data: [DONE]\n\n", piece("SCO"), piece("RE: 7"));
        assert_eq!(content(&body).unwrap(), "SCORE: 7");
        for ends in ["\r\n", "\r"] {
            assert_eq!(content(&body.replace('\n', ends)).unwrap(), "SCORE: 7");
        }
        assert_eq!(content(&body.replace("\n\n", "\n")).unwrap(), "SCORE: 7");
        let whole = gather(&body).unwrap().unwrap();
        assert_eq!(whole["choices"][0]["finish_reason"], "length");
        assert_eq!(whole["usage"]["completion_tokens"], 7);
    }

    #[test]
    fn a_stream_that_was_cut_off_is_no_reply() {
        let body = piece("SCORE: 8") + &piece("0");
        for cut in [body.as_str(), &body[..body.len() - 9], &piece("SCORE: 8")] {
            assert!(content(cut).is_err(), "{cut}");
        }
        let whole = |n: u32| format!("data: {}\n\n", json!({ "choices": [{ "message": { "content": n } }] }));
        assert!(gather(&whole(7)).unwrap().is_ok());
        assert!(gather(&(whole(7) + &whole(8))).unwrap().is_err());
        assert!(gather(&(whole(7) + &piece("8"))).unwrap().is_err());
        let second = body.replace("\"index\":0", "\"index\":1") + "data: [DONE]";
        assert!(content(&second).unwrap_err().contains("more than the one choice"));
    }

    #[test]
    fn an_error_in_a_stream_is_the_reply() {
        let body = piece("SCORE: 80") + "data: {\"error\":{\"code\":502}}\n\ndata: [DONE]\n\n";
        assert_eq!(gather(&body).unwrap().unwrap()["error"]["code"], 502);
    }

    #[test]
    fn what_is_no_stream_is_left_alone() {
        for body in ["", "{\"data\": 1}", "<html>", "database:"] {
            assert!(gather(body).is_none(), "{body}");
        }
        assert!(is_end("\n\ndata: [DONE]\n\n") && is_end(" ") && !is_end("data: 7") && !is_end("{}"));
    }
}
