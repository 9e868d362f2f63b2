//! The chat completions protocol: the request's JSON, and what a reply's JSON says.

use serde_json::{Map, Value, json};

use super::settings::{ResponseFormat, Settings};
use crate::error::excerpt;
use crate::judge::prompt::ReplyFormat;

/// What this server accepts, as far as is known. Each step only gives something up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    format: Format,
    new_token_limit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Schema,
    Object,
    Text,
}

impl Dialect {
    pub(crate) fn first(setting: ResponseFormat) -> Self {
        let format = match setting {
            ResponseFormat::Auto | ResponseFormat::JsonSchema => Format::Schema,
            ResponseFormat::JsonObject => Format::Object,
            ResponseFormat::Text => Format::Text,
        };
        Dialect { format, new_token_limit: false }
    }

    /// The form of reply that the prompt asks for.
    pub(crate) fn reply(self) -> ReplyFormat {
        match self.format {
            Format::Schema | Format::Object => ReplyFormat::Json,
            Format::Text => ReplyFormat::Line,
        }
    }

    /// What to try after a 400 or 422 whose text is `complaint`; `None` when it is about something
    /// else or nothing is left to give up.
    ///
    /// Only what does not change the meaning of the request is given up. A refused temperature or
    /// seed is an error, since dropping it silently would change the scores.
    pub(crate) fn after(self, complaint: &str, setting: ResponseFormat) -> Option<Self> {
        let complaint = complaint.to_lowercase();
        // Newer models of one vendor want the limit under its second name, and say so.
        if !self.new_token_limit && complaint.contains("max_completion_tokens") {
            return Some(Dialect { new_token_limit: true, ..self });
        }
        let about_format = [
            "response_format",
            "response format",
            "json_schema",
            "json_object",
            "json schema",
            "schema",
            "grammar",
        ];
        if setting != ResponseFormat::Auto || !about_format.iter().any(|w| complaint.contains(w)) {
            return None;
        }
        let format = match self.format {
            Format::Schema => Format::Object,
            Format::Object => Format::Text,
            Format::Text => return None,
        };
        Some(Dialect { format, ..self })
    }
}

/// The request for one sample.
pub(crate) fn body(settings: &Settings, dialect: Dialect, prompt: &str, sample: u32) -> Vec<u8> {
    let mut body = Map::new();
    if !settings.model.is_empty() {
        body.insert("model".into(), json!(settings.model));
    }
    body.insert("messages".into(), json!([{ "role": "user", "content": prompt }]));
    body.insert("stream".into(), json!(false));
    if let Some(t) = settings.temperature {
        // By way of its decimal text: 0.7_f32 as f64 would be sent as 0.699999988079071.
        body.insert("temperature".into(), json!(t.to_string().parse::<f64>().unwrap_or_default()));
    }
    if let Some(seed) = settings.seed {
        body.insert("seed".into(), json!(seed.wrapping_add(sample)));
    }
    if let Some(limit) = settings.max_tokens {
        let name = if dialect.new_token_limit { "max_completion_tokens" } else { "max_tokens" };
        body.insert(name.into(), json!(limit));
    }
    match dialect.format {
        Format::Schema => {
            let schema = json!({
                "type": "object",
                "properties": { "score": { "type": "integer", "minimum": 1, "maximum": 100 } },
                "required": ["score"],
                "additionalProperties": false,
            });
            let schema = json!({ "name": "score", "strict": true, "schema": schema });
            body.insert("response_format".into(), json!({ "type": "json_schema", "json_schema": schema }));
        }
        Format::Object => {
            body.insert("response_format".into(), json!({ "type": "json_object" }));
        }
        Format::Text => {}
    }
    Value::Object(body).to_string().into_bytes()
}

/// A reply that carries no text to read a score from.
#[derive(Debug, PartialEq)]
pub(crate) struct Unusable {
    pub(crate) why: String,
    /// What came back, for the excerpt.
    pub(crate) shown: String,
    /// True when the reply is no answer of the protocol at all (cut off, garbled, an error page of
    /// something in between), so that a retry is worthwhile.
    pub(crate) garbled: bool,
}

/// The judge's text in the body of a successful reply.
pub(crate) fn content(body: &[u8]) -> Result<String, Unusable> {
    let shown = String::from_utf8_lossy(body);
    let fail = |why: &str, garbled| Unusable { why: why.into(), shown: shown.to_string(), garbled };
    if std::str::from_utf8(body).is_err() {
        return Err(fail("the reply is not UTF-8", true));
    }
    let Ok(Value::Object(reply)) = serde_json::from_str(&shown) else {
        return Err(fail("the reply is not a JSON object", true));
    };
    if let Some(error) = reply.get("error").filter(|e| !e.is_null()) {
        let shown = message(error).unwrap_or_else(|| error.to_string());
        return Err(Unusable { why: "the server reports an error".into(), shown, garbled: false });
    }
    let choice = match reply.get("choices").and_then(Value::as_array).map(Vec::as_slice) {
        Some([choice]) => choice,
        Some([]) | None => return Err(fail("the reply has no choices", false)),
        Some(_) => return Err(fail("the reply has more than the one choice asked for", false)),
    };
    let message = &choice["message"];
    if let Some(refusal) = message["refusal"].as_str().filter(|r| !r.is_empty()) {
        return Err(Unusable { why: "the judge refused".into(), shown: refusal.into(), garbled: false });
    }
    let text = message["content"].as_str();
    let ended = |why| Unusable { why, shown: text.unwrap_or(&shown).to_string(), garbled: false };
    match choice["finish_reason"].as_str() {
        None | Some("stop" | "eos" | "end_turn") => {}
        Some("length") => {
            return Err(ended(
                "the reply was cut off at the token limit, raise the judge's max tokens".into(),
            ));
        }
        Some("content_filter") => return Err(ended("the server's content filter cut the reply off".into())),
        Some(other) => return Err(ended(format!("the reply ended with \"{}\"", excerpt(other)))),
    }
    text.map(str::to_string).ok_or_else(|| fail("the reply has no text content", false))
}

/// The human part of an error reply's body: the protocol's message, or the body itself.
pub(crate) fn complaint(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let value = serde_json::from_str::<Value>(&text).ok();
    value
        .as_ref()
        .and_then(|v| message(&v["error"]).or_else(|| message(v)))
        .unwrap_or_else(|| text.to_string())
}

fn message(error: &Value) -> Option<String> {
    error.as_str().or_else(|| error["message"].as_str()).filter(|m| !m.trim().is_empty()).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(change: impl FnOnce(&mut Settings), dialect: Option<Dialect>) -> Value {
        let mut s = Settings::new("http://h/v1", "judge-1");
        change(&mut s);
        let dialect = dialect.unwrap_or_else(|| Dialect::first(s.response_format));
        serde_json::from_slice(&body(&s, dialect, "the prompt", 2)).unwrap()
    }

    #[test]
    fn the_default_request_asks_for_a_schema_at_temperature_zero() {
        let v = sent(|_| {}, None);
        assert_eq!(v["model"], "judge-1");
        assert_eq!(v["messages"], json!([{ "role": "user", "content": "the prompt" }]));
        assert_eq!(v["temperature"], 0.0);
        assert_eq!(v["seed"], 3);
        assert_eq!(v["max_tokens"], 1024);
        assert_eq!(v["stream"], false);
        assert_eq!(v["response_format"]["json_schema"]["schema"]["properties"]["score"]["maximum"], 100);
    }

    #[test]
    fn whatever_is_none_is_not_sent() {
        let v = sent(
            |s| {
                (s.temperature, s.seed, s.max_tokens) = (None, None, None);
                s.model.clear();
                s.response_format = ResponseFormat::Text;
            },
            None,
        );
        let mut keys: Vec<&String> = v.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["messages", "stream"]);
        assert_eq!(sent(|s| s.temperature = Some(0.7), None)["temperature"].to_string(), "0.7");
    }

    #[test]
    fn a_refused_format_is_given_up_step_by_step_only_under_auto() {
        let first = Dialect::first(ResponseFormat::Auto);
        let second = first.after("This response_format type is unavailable", ResponseFormat::Auto).unwrap();
        assert_eq!(sent(|_| {}, Some(second))["response_format"]["type"], "json_object");
        let third = second.after("'json_object' is not one of", ResponseFormat::Auto).unwrap();
        assert!(sent(|_| {}, Some(third)).get("response_format").is_none());
        assert_eq!((second.reply(), third.reply()), (ReplyFormat::Json, ReplyFormat::Line));
        assert_eq!(third.after("response_format", ResponseFormat::Auto), None);
        assert_eq!(first.after("context is too long", ResponseFormat::Auto), None);
        assert_eq!(first.after("response_format", ResponseFormat::JsonSchema), None);
    }

    #[test]
    fn the_token_limit_is_renamed_when_the_server_names_its_name() {
        let text = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.";
        let renamed = Dialect::first(ResponseFormat::Text).after(text, ResponseFormat::Text).unwrap();
        let v = sent(|_| {}, Some(renamed));
        assert_eq!((v.get("max_tokens"), &v["max_completion_tokens"]), (None, &json!(1024)));
        assert_eq!(renamed.after(text, ResponseFormat::Text), None);
    }

    fn reply(choice: &str) -> Result<String, Unusable> {
        content(format!("{{\"choices\": [{choice}]}}").as_bytes())
    }

    #[test]
    fn a_finished_text_is_the_content() {
        for end in ["", ", \"finish_reason\": \"stop\"", ", \"finish_reason\": null"] {
            assert_eq!(reply(&format!("{{\"message\": {{\"content\": \"7\"}}{end}}}")).unwrap(), "7");
        }
    }

    #[test]
    fn every_unusable_reply_says_why() {
        let cases = [
            (content(b"\xff\xfe"), "not UTF-8", true),
            (content(b"<html>502</html>"), "not a JSON object", true),
            (content(b""), "not a JSON object", true),
            (content(b"{\"choices\": [{\"mess"), "not a JSON object", true),
            (content(b"[]"), "not a JSON object", true),
            (content(b"{}"), "no choices", false),
            (content(b"{\"choices\": []}"), "no choices", false),
            (content(b"{\"error\": {\"message\": \"overloaded\"}}"), "reports an error", false),
            (reply("{}, {}"), "more than the one choice", false),
            (reply("{}"), "no text content", false),
            (reply("{\"message\": {\"content\": null}}"), "no text content", false),
            (reply("{\"message\": {\"content\": [\"x\"]}}"), "no text content", false),
            (reply("{\"message\": {\"refusal\": \"I won't\"}}"), "refused", false),
            (
                reply("{\"message\": {\"content\": \"{\"}, \"finish_reason\": \"length\"}"),
                "token limit",
                false,
            ),
            (
                reply("{\"message\": {\"content\": \"\"}, \"finish_reason\": \"content_filter\"}"),
                "filter",
                false,
            ),
            (
                reply("{\"message\": {\"content\": \"\"}, \"finish_reason\": \"tool_calls\"}"),
                "tool_calls",
                false,
            ),
        ];
        for (result, why, garbled) in cases {
            let e = result.unwrap_err();
            assert!(e.why.contains(why), "{e:?}");
            assert_eq!(e.garbled, garbled, "{e:?}");
        }
    }

    #[test]
    fn an_error_replys_message_is_found() {
        assert_eq!(complaint(b"{\"error\": {\"message\": \"no such model\"}}"), "no such model");
        assert_eq!(complaint(b"{\"error\": \"no such model\"}"), "no such model");
        assert_eq!(complaint(b"{\"message\": \"no such model\"}"), "no such model");
        assert_eq!(complaint(b"{\"detail\": [1]}"), "{\"detail\": [1]}");
        assert_eq!(complaint(b"plain"), "plain");
    }
}
