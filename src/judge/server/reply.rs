//! What the body of a successful reply says: the judge's text, or why there is none.

use serde_json::Value;

use super::complaint::{self, Complaint};
use super::shapes::{self, End, Part, THOUGHTS};
use super::sse;
use crate::error::excerpt;

/// What the reader has to know of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The reply was to be the JSON object of the schema.
    pub(super) json: bool,
    /// The limit of tokens that was sent.
    pub(super) limit: Option<u32>,
}

/// A reply that carries no text to read a score from.
#[derive(Debug, PartialEq)]
pub(super) struct Unusable {
    pub(super) why: String,
    /// What came back, for the excerpt.
    pub(super) shown: String,
    pub(super) kind: Kind,
}

/// What an unusable reply is, which decides how to go on.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// No answer of the protocol at all (cut off, garbled, an error page of something in between): a retry is
    /// worthwhile.
    Garbled,
    /// An answer without a score. The judge would give it again.
    Final,
    /// The server failed while the judge wrote: as a reply of status 500.
    Broken,
    /// An error in the server's words.
    Refused(Complaint),
}

impl Unusable {
    fn new(why: impl Into<String>, shown: impl Into<String>, kind: Kind) -> Self {
        Unusable { why: why.into(), shown: shown.into(), kind }
    }
}

/// The judge's text in the body of a successful reply.
pub(super) fn text(body: &[u8], asked: Asked) -> Result<String, Unusable> {
    let Ok(body) = std::str::from_utf8(body) else {
        return Err(Unusable::new("the reply is not UTF-8", String::from_utf8_lossy(body), Kind::Garbled));
    };
    let body = body.trim_start_matches('\u{feff}');
    let reply = value(body).map_err(|why| Unusable::new(why, body, Kind::Garbled))?;
    if let Some(complaint) = complaint::in_reply(&reply) {
        let why = match complaint.code {
            Some(code) => format!("the server reports error {code}"),
            None => "the server reports an error".into(),
        };
        return Err(Unusable::new(why, complaint.text.clone(), Kind::Refused(complaint)));
    }
    let fail = |why: &str| Err(Unusable::new(why, body, Kind::Final));
    let choice = match reply["choices"].as_array().map(Vec::as_slice) {
        Some([choice]) => choice,
        Some([]) | None => return fail("the reply has no choices"),
        Some(_) => return fail("the reply has more than the one choice asked for"),
    };
    let message = &choice["message"];
    if let Some(refusal) = message["refusal"].as_str().filter(|r| !r.is_empty()) {
        return Err(Unusable::new("the judge refused", refusal, Kind::Final));
    }
    let text = content(&message["content"]);
    let shown = || text.clone().ok().flatten().unwrap_or_else(|| body.to_string());
    ended(choice, &reply["usage"], asked).map_err(|(why, kind)| Unusable::new(why, shown(), kind))?;
    let text = text.map_err(|why| Unusable::new(why, body, Kind::Final))?;
    if let Some(text) = text.as_ref().filter(|t| !t.trim().is_empty()) {
        return Ok(text.clone());
    }
    let thought = THOUGHTS.iter().find_map(|key| message[*key].as_str().filter(|t| !t.trim().is_empty()));
    match (thought, text) {
        // The schema was held against the thinking, which ended there: LM Studio's issues 1698, 1773 and 1971,
        // ollama 15288, vLLM 50948.
        (Some(thought), _) if asked.json && is_bare_score(thought) => Ok(thought.to_string()),
        (Some(thought), _) => {
            let why =
                "the judge thought and gave no answer: raise its max tokens, or switch its thinking off";
            Err(Unusable::new(why, thought, Kind::Final))
        }
        (None, Some(text)) => Ok(text),
        (None, None) => fail("the reply has no text content"),
    }
}

/// The JSON of a body, also of one that came as a stream of events.
fn value(body: &str) -> Result<Value, &'static str> {
    if let Some(gathered) = sse::gather(body) {
        return gathered;
    }
    let mut values = serde_json::Deserializer::from_str(body).into_iter();
    match values.next() {
        Some(Ok(value @ (Value::Object(_) | Value::Array(_))))
            if sse::is_end(&body[values.byte_offset()..]) =>
        {
            Ok(value)
        }
        _ => Err("the reply is not a JSON object"),
    }
}

/// The text of a content; `None` when there is none. A list is joined without its thinking.
fn content(content: &Value) -> Result<Option<String>, String> {
    let list = match content {
        Value::Null => return Ok(None),
        Value::String(text) => return Ok(Some(text.clone())),
        Value::Array(list) => list,
        _ => return Err("the reply's content is neither text nor a list".into()),
    };
    let mut text = None;
    for part in list {
        if let Some(piece) = part.as_str() {
            text.get_or_insert_with(String::new).push_str(piece);
            continue;
        }
        // Gemini marks its thoughts so.
        if part["thought"] == true {
            continue;
        }
        let kind = part["type"].as_str().unwrap_or_default();
        match (shapes::part(kind), part["text"].as_str()) {
            (Some(Part::Text), Some(piece)) => text.get_or_insert_with(String::new).push_str(piece),
            (Some(Part::Aside), _) => {}
            (Some(Part::Refusal), _) => return Err("the judge refused".into()),
            _ => return Err(format!("the reply's content has a part \"{}\" that is no text", excerpt(kind))),
        }
    }
    Ok(text)
}

/// Checks that the model came to an end of its own.
fn ended(choice: &Value, usage: &Value, asked: Asked) -> Result<(), (String, Kind)> {
    let cut =
        || ("the reply was cut off at the token limit, raise the judge's max tokens".into(), Kind::Final);
    let reason = match &choice["finish_reason"] {
        Value::Null => String::new(),
        Value::String(reason) => reason.clone(),
        // SGLang's own form.
        other => other["type"].as_str().map_or_else(|| other.to_string(), str::to_string),
    };
    let end = shapes::end(&reason);
    // Gateways may call every end "stop" (litellm 10768), and keep the provider's word beside it (OpenRouter).
    let native = choice["native_finish_reason"].as_str().and_then(shapes::end).unwrap_or(End::Finished);
    match end {
        Some(End::Finished) if native != End::Finished => match native {
            End::Cut => Err(cut()),
            _ => {
                let native = excerpt(choice["native_finish_reason"].as_str().unwrap_or_default());
                Err((format!("the reply ended with \"{native}\""), Kind::Final))
            }
        },
        // Nobody said how it ended.
        Some(End::Finished) if reason.is_empty() || reason == "null" => {
            let written = usage["completion_tokens"].as_u64();
            let full = written.zip(asked.limit).is_some_and(|(n, limit)| n >= u64::from(limit));
            if full { Err(cut()) } else { Ok(()) }
        }
        Some(End::Finished) => Ok(()),
        Some(End::Cut) => Err(cut()),
        Some(End::Filtered) => Err((
            format!("the server's content filter cut the reply off ({})", excerpt(&reason)),
            Kind::Final,
        )),
        Some(End::Broken) => {
            Err((format!("the server failed within the reply (\"{}\")", excerpt(&reason)), Kind::Broken))
        }
        Some(End::Tool) | None => {
            Err((format!("the reply ended with \"{}\"", excerpt(&reason)), Kind::Final))
        }
    }
}

/// True for the object of the schema and nothing else: a score, not a thought about one.
fn is_bare_score(text: &str) -> bool {
    matches!(serde_json::from_str(text), Ok(Value::Object(o)) if o.len() == 1 && o.contains_key("score"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked = Asked { json: true, limit: Some(64) };

    fn reply(choice: &str) -> Result<String, Unusable> {
        text(format!("{{\"choices\": [{choice}]}}").as_bytes(), ASKED)
    }

    #[test]
    fn a_finished_text_is_the_content() {
        for end in ["", ", \"finish_reason\": \"stop\"", ", \"finish_reason\": null"] {
            assert_eq!(reply(&format!("{{\"message\": {{\"content\": \"7\"}}{end}}}")).unwrap(), "7");
        }
    }

    #[test]
    fn every_unusable_reply_says_why_and_what_it_is() {
        let of = |body: &[u8]| text(body, ASKED).unwrap_err();
        let cases = [
            (of(b"\xff\xfe"), "not UTF-8", Kind::Garbled),
            (of(b"<html>502</html>"), "not a JSON object", Kind::Garbled),
            (of(b""), "not a JSON object", Kind::Garbled),
            (of(b"{\"choices\": [{\"mess"), "not a JSON object", Kind::Garbled),
            (of(b"{} {}"), "not a JSON object", Kind::Garbled),
            (of(b"data: {\"choices\": [{\"delta\": {}}]}"), "cut off", Kind::Garbled),
            (of(b"[]"), "no choices", Kind::Final),
            (of(b"{}"), "no choices", Kind::Final),
            (of(b"{\"choices\": []}"), "no choices", Kind::Final),
            (reply("{}, {}").unwrap_err(), "more than the one choice", Kind::Final),
            (reply("{}").unwrap_err(), "no text content", Kind::Final),
            (reply("{\"message\": {\"content\": null}}").unwrap_err(), "no text content", Kind::Final),
            (reply("{\"message\": {\"content\": 7}}").unwrap_err(), "neither text nor a list", Kind::Final),
            (
                reply("{\"message\": {\"content\": [{\"type\": \"audio\"}]}}").unwrap_err(),
                "audio",
                Kind::Final,
            ),
            (reply("{\"message\": {\"refusal\": \"I won't\"}}").unwrap_err(), "refused", Kind::Final),
            (reply("{\"finish_reason\": \"length\"}").unwrap_err(), "token limit", Kind::Final),
            (reply("{\"finish_reason\": \"content_filter\"}").unwrap_err(), "filter", Kind::Final),
            (reply("{\"finish_reason\": \"tool_calls\"}").unwrap_err(), "tool_calls", Kind::Final),
            (reply("{\"finish_reason\": \"abort\"}").unwrap_err(), "abort", Kind::Broken),
            (reply("{\"finish_reason\": 2}").unwrap_err(), "ended with \"2\"", Kind::Final),
        ];
        for (e, why, kind) in cases {
            assert!(e.why.contains(why), "{e:?}");
            assert_eq!(e.kind, kind, "{e:?}");
        }
        let e = of(b"{\"error\": {\"message\": \"overloaded\", \"code\": 503}}");
        assert!(e.why.contains("error 503") && e.shown == "overloaded", "{e:?}");
        assert!(matches!(e.kind, Kind::Refused(_)));
    }
}
