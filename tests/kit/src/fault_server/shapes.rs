//! Replies as the servers that people run send them: ways to give a score that must be taken, ways not to give one
//! that must not be, and failures that pass. Each names where it was seen.

use serde_json::{Value, json};

use super::{Reply, json_reply};

/// Where a shape comes from and what it is; the reply around a score.
pub type Shape = (&'static str, fn(u32) -> Reply);

fn object(n: u32) -> String {
    format!("{{\"score\": {n}}}")
}

fn choice(choice: Value) -> Reply {
    json_reply(200, &json!({ "id": "x", "object": "chat.completion", "choices": [choice] }))
}

fn message(message: Value) -> Reply {
    choice(json!({ "index": 0, "message": message, "finish_reason": "stop", "logprobs": null }))
}

fn text(content: impl Into<Value>) -> Reply {
    message(json!({ "role": "assistant", "content": content.into() }))
}

fn ending(reason: impl Into<Value>, n: u32) -> Reply {
    choice(json!({ "message": { "content": object(n) }, "finish_reason": reason.into() }))
}

fn body(body: impl Into<Vec<u8>>) -> Reply {
    Reply::Http { status: 200, headers: vec![], body: body.into() }
}

fn completion(n: u32) -> String {
    json!({ "choices": [{ "message": { "content": object(n) }, "finish_reason": "stop" }] }).to_string()
}

fn error(error: Value) -> Reply {
    json_reply(200, &json!({ "error": error }))
}

/// A stream of events with this text in two pieces, and this end.
fn stream(text: &str, reason: &str, end: &str) -> Reply {
    let (one, two) = text.split_at(text.len() - 2);
    let event = |choice: Value| format!("data: {}\n\n", json!({ "choices": [choice] }));
    let pieces = [
        event(json!({ "index": 0, "delta": { "role": "assistant", "content": "" }, "finish_reason": null })),
        event(json!({ "index": 0, "delta": { "content": one }, "finish_reason": null })),
        event(json!({ "index": 0, "delta": { "content": two }, "finish_reason": null })),
        event(json!({ "index": 0, "delta": {}, "finish_reason": reason })),
    ];
    let headers = vec![("Content-Type", "text/event-stream".to_string())];
    let body = format!(": OPENROUTER PROCESSING\n\n{}{end}", pieces.concat());
    Reply::Http { status: 200, headers, body: body.into_bytes() }
}

const DONE: &str = "data: [DONE]\n\n";

/// The score is there, whole and said by the judge.
pub const GOOD: &[Shape] = &[
    ("text-generation-inference 2344: eos_token", |n| ending("eos_token", n)),
    ("text-generation-inference: stop_sequence", |n| ending("stop_sequence", n)),
    ("Together, openai-dotnet 267: eos", |n| ending("eos", n)),
    ("Together, vespa 33327: the end token itself", |n| ending("<|eot_id|>", n)),
    ("Gemini behind gateways, qwen-code 9884: STOP", |n| ending("STOP", n)),
    ("Anthropic behind gateways: end_turn", |n| ending("end_turn", n)),
    ("OpenRouter, ayai 2: endturn", |n| ending("endturn", n)),
    ("Cohere: COMPLETE", |n| ending("COMPLETE", n)),
    ("tabbyAPI 83: Generated", |n| ending("Generated", n)),
    ("a gateway: an empty finish reason", |n| ending("", n)),
    ("vLLM 27572: no finish reason", |n| ending(Value::Null, n)),
    ("koboldcpp: finish reason \"null\"", |n| ending("null", n)),
    ("SGLang: a finish reason that is an object", |n| ending(json!({ "type": "stop", "matched": 2 }), n)),
    ("OpenRouter: native_finish_reason beside it", |n| {
        choice(json!({
            "message": { "content": object(n), "refusal": null, "reasoning": null },
            "finish_reason": "stop", "native_finish_reason": "STOP",
        }))
    }),
    ("llama-server, DeepSeek: reasoning_content beside the answer", |n| {
        message(json!({ "content": object(n), "reasoning_content": "{\"score\": 3}? No.\nSCORE: 4" }))
    }),
    ("ollama, vLLM 0.12: reasoning beside the answer", |n| {
        message(json!({ "content": object(n), "reasoning": "SCORE: 4", "tool_calls": [], "refusal": null }))
    }),
    ("LM Studio 1698: the object of the schema in reasoning_content", |n| {
        message(json!({ "content": "", "reasoning_content": format!("{{\n  \"score\": {n}\n}}\n") }))
    }),
    ("ollama 15288, vLLM 50948: the object of the schema in reasoning", |n| {
        message(json!({ "content": null, "reasoning": object(n) }))
    }),
    ("Mistral's Magistral: a thinking part and a text part", |n| {
        let thinking = json!({ "type": "thinking", "thinking": [{ "type": "text", "text": "SCORE: 4" }] });
        text(json!([thinking, { "type": "text", "text": object(n) }]))
    }),
    ("Databricks: a reasoning part with a summary", |n| {
        let summary = json!([{ "type": "summary_text", "text": "SCORE: 4" }]);
        text(json!([{ "type": "reasoning", "summary": summary }, { "type": "text", "text": object(n) }]))
    }),
    ("autogen 8154: output_text, in two pieces", |n| {
        let (one, two) = (json!({ "type": "output_text", "text": "{\"score\":" }), format!(" {n}}}"));
        text(json!([one, { "type": "output_text", "text": two }]))
    }),
    ("Mistral: a reference part", |n| {
        text(json!([{ "type": "text", "text": object(n) }, { "type": "reference", "reference_ids": [4] }]))
    }),
    ("Gemini: a part that is a thought", |n| {
        text(json!([{ "text": "SCORE: 4", "thought": true }, { "text": object(n) }]))
    }),
    ("DeepSeek: empty lines before the reply, to keep the connection", |n| {
        body(format!("\n\n\n   \n{}\n", completion(n)))
    }),
    ("a byte order mark before the reply", |n| body(format!("\u{feff}{}", completion(n)))),
    ("9router 3492: a stream's end behind the reply", |n| body(format!("{}\n\n{DONE}", completion(n)))),
    ("a gateway: the whole reply as one event", |n| body(format!("data: {}\n\n", completion(n)))),
    ("a gateway that ignores stream: false", |n| stream(&object(n), "stop", DONE)),
    ("a gateway: a stream without its last line", |n| stream(&object(n), "stop", "")),
    ("llama-server: chunked", |n| Reply::Chunked { body: completion(n).into_bytes(), size: 7 }),
    ("llama.cpp 11861: </think> alone, then pretty-printed JSON", |n| {
        text(format!("I would say 4.\nSCORE: 4\n</think>\n\n{{\n  \"score\": {n}\n}}\n"))
    }),
    ("llama.cpp 24671: <think> left in the text", |n| {
        text(format!("<think>\n{{\"score\": 4}}? No.\n</think>\n\n{}", object(n)))
    }),
    ("Magistral behind llama-server: [THINK]", |n| text(format!("[THINK]4?[/THINK]{}", object(n)))),
    ("Gemini with include_thoughts: <thought>", |n| text(format!("<thought>4?</thought>{}", object(n)))),
    ("Gemma 4: <|channel>thought", |n| text(format!("<|channel>thought\n4?<channel|>{}", object(n)))),
    ("gpt-oss behind mlx-lm 1867: its channels", |n| {
        let thought = "<|channel|>analysis<|message|>{\"score\": 4}<|end|>";
        text(format!("{thought}<|start|>assistant<|channel|>final<|message|>{}<|return|>", object(n)))
    }),
    ("gpt-oss, macprovider 743: channels without their marks", |n| {
        text(format!("analysisWe must score. 4?assistantfinal{}", object(n)))
    }),
    ("text-generation-inference 1724: the end token in the text", |n| {
        text(format!("{}<|im_end|>\n", object(n)))
    }),
    ("LM Studio 2403: a code fence", |n| text(format!("```json\n{}\n```", object(n)))),
    ("Anthropic's compatible endpoint, which ignores response_format: words and a fence", |n| {
        text(format!("The answer is kind.\n\n```json\n{{\n  \"score\": {n}\n}}\n```"))
    }),
    ("the same: words and pretty-printed JSON", |n| {
        text(format!("The answer is kind.\n\n{{\n  \"why\": \"}} {{\",\n  \"score\": {n}\n}}"))
    }),
    ("a model without a grammar: the number in quotes", |n| text(format!("{{\"score\": \"{n}\"}}"))),
    ("a model without a grammar: the line of text", |n| text(format!("It is kind.\n\nSCORE: {n}\n"))),
    ("an empty error beside the answer", |n| {
        let choices = json!([{ "message": { "content": object(n) }, "finish_reason": "stop" }]);
        json_reply(200, &json!({ "error": null, "choices": choices, "usage": null }))
    }),
];

/// Where a reply is documented, what the message about it says, and the reply with a number.
pub type Refused = (&'static str, &'static str, fn(u32) -> Reply);

/// Where a failure is documented, and the reply.
pub type Failure = (&'static str, fn() -> Reply);

/// Nobody gave this score, or not wholly, or another one too. With a part of the message that says so.
pub const BAD: &[Refused] = &[
    ("OpenAI: length", "token limit", |n| ending("length", n)),
    ("Mistral: model_length", "token limit", |n| ending("model_length", n)),
    ("Gemini behind gateways: MAX_TOKENS", "token limit", |n| ending("MAX_TOKENS", n)),
    ("qwen-code 9884: MAX_TOKENS and no content", "token limit", |_| {
        choice(json!({ "message": { "role": "assistant" }, "finish_reason": "MAX_TOKENS" }))
    }),
    ("SGLang: length in an object", "token limit", |n| ending(json!({ "type": "length", "length": 64 }), n)),
    ("litellm 10768: stop, but the provider says MAX_TOKENS", "token limit", |n| {
        choice(json!({
            "message": { "content": object(n) }, "finish_reason": "stop", "native_finish_reason": "MAX_TOKENS",
        }))
    }),
    ("no finish reason, and as many tokens as were allowed", "token limit", |n| {
        let choices = json!([{ "message": { "content": format!("SCORE: {n}") }, "finish_reason": null }]);
        json_reply(200, &json!({ "choices": choices, "usage": { "completion_tokens": 1024 } }))
    }),
    ("Azure: content_filter", "content filter", |n| ending("content_filter", n)),
    ("Gemini behind gateways: SAFETY", "content filter", |n| ending("SAFETY", n)),
    ("Zhipu, opencode 44092: sensitive", "content filter", |n| ending("sensitive", n)),
    ("Anthropic: refusal", "content filter", |n| ending("refusal", n)),
    ("OpenRouter: stop, but the provider says SAFETY", "SAFETY", |n| {
        choice(json!({
            "message": { "content": object(n) }, "finish_reason": "stop", "native_finish_reason": "SAFETY",
        }))
    }),
    ("OpenAI: a refusal beside the content", "refused", |n| {
        message(json!({ "content": object(n), "refusal": "I will not." }))
    }),
    ("a refusal as a part", "refused", |n| {
        text(json!([{ "type": "text", "text": object(n) }, { "type": "refusal", "refusal": "I will not." }]))
    }),
    ("a call of a tool", "tool_calls", |n| {
        let call = json!({ "type": "function", "function": { "name": "score", "arguments": object(n) } });
        choice(json!({ "message": { "content": null, "tool_calls": [call] }, "finish_reason": "tool_calls" }))
    }),
    ("a call of a tool that is said to have stopped", "no text content", |n| {
        let call = json!({ "type": "function", "function": { "name": "score", "arguments": object(n) } });
        message(json!({ "content": null, "tool_calls": [call] }))
    }),
    ("an unknown finish reason", "ended with \"gave up\"", |n| ending("gave up", n)),
    ("a finish reason that is a number", "ended with \"2\"", |n| ending(2, n)),
    ("a finish reason that is an unknown object", "ended with", |n| ending(json!({ "kind": "length" }), n)),
    ("ollama 15288: thinking only", "gave no answer", |n| {
        message(json!({ "content": "", "reasoning": format!("It is kind.\nSCORE: {n}") }))
    }),
    ("LM Studio: thinking that ends with an object", "gave no answer", |n| {
        message(json!({ "content": null, "reasoning_content": format!("Perhaps\n{}", object(n)) }))
    }),
    ("thinking that is another object", "gave no answer", |n| {
        message(json!({ "content": "", "reasoning_content": format!("{{\"first\": 1, \"score\": {n}}}") }))
    }),
    ("the schema's object in the thinking, cut off", "token limit", |n| {
        choice(json!({ "message": { "content": "", "reasoning": object(n) }, "finish_reason": "length" }))
    }),
    ("thinking that has no end", "still thinking", |n| text(format!("<think>\n{}", object(n)))),
    ("Magistral: thinking that has no end", "still thinking", |n| text(format!("[THINK]\nSCORE: {n}"))),
    ("gpt-oss: the analysis alone", "still thinking", |n| {
        text(format!("<|channel|>analysis<|message|>{}", object(n)))
    }),
    ("Mistral: a thinking part alone", "no text content", |n| {
        text(json!([{ "type": "thinking", "thinking": [{ "type": "text", "text": object(n) }] }]))
    }),
    ("two text parts with two scores", "agreed place", |n| {
        text(json!([{ "type": "text", "text": object(n) }, { "type": "text", "text": object(n - 1) }]))
    }),
    ("a part of a type that nobody knows", "\"oracle\"", |n| {
        text(json!([{ "type": "oracle", "text": object(n) }]))
    }),
    ("a content that is a number", "neither text nor a list", |n| text(n)),
    ("a stream that was cut off", "cut off", |n| {
        let Reply::Http { body: whole, .. } = stream(&object(n), "stop", "") else { unreachable!() };
        let whole = String::from_utf8(whole).unwrap();
        body(whole[..whole.rfind("data:").unwrap()].to_string())
    }),
    ("a stream that ended at the limit", "token limit", |n| stream(&object(n), "length", DONE)),
    ("vLLM 57082: a stream that was aborted", "abort", |n| stream(&object(n), "abort", DONE)),
    ("OpenRouter: an error behind a stream's content", "reports error 402", |n| {
        stream(&object(n), "stop", "data: {\"error\": {\"code\": 402, \"message\": \"m\"}}\n\n")
    }),
    ("a stream with two choices", "more than the one choice", |n| {
        let second = json!({ "choices": [{ "index": 1, "delta": { "content": object(n - 1) } }] });
        stream(&object(n), "stop", &format!("data: {second}\n\n{DONE}"))
    }),
    ("two replies in one body", "not a JSON object", |n| {
        body(format!("{}\n{}", completion(n), completion(n - 1)))
    }),
    ("two choices", "more than the one choice", |n| {
        let choice = |n| json!({ "message": { "content": object(n) }, "finish_reason": "stop" });
        json_reply(200, &json!({ "choices": [choice(n), choice(n - 1)] }))
    }),
    ("Azure: no choices", "no choices", |_| json_reply(200, &json!({ "choices": [] }))),
    ("MiniMax: choices null", "no choices", |_| json_reply(200, &json!({ "choices": null }))),
    ("an error beside an answer", "reports an error", |n| {
        let choices = json!([{ "message": { "content": object(n) }, "finish_reason": "stop" }]);
        json_reply(200, &json!({ "error": { "message": "broke" }, "choices": choices }))
    }),
    ("OpenRouter: an error in the choice", "reports error 403", |n| {
        let error = json!({ "code": 403, "message": "flagged" });
        choice(json!({ "message": { "content": object(n) }, "finish_reason": "stop", "error": error }))
    }),
    ("LM Studio 618: a wrong path with status 200", "ends in /v1", |_| {
        error(json!("Unexpected endpoint or method. (POST /chat/completions)"))
    }),
    ("vLLM: an error as an object, with status 200", "too long for this judge", |_| {
        let message = "This model's maximum context length is 4096 tokens.";
        json_reply(200, &json!({ "object": "error", "message": message, "code": 40303 }))
    }),
    ("Groq: what did not pass the check", "Failed to generate JSON", |n| {
        let message = "Failed to generate JSON. See 'failed_generation'.";
        let error =
            json!({ "message": message, "code": "json_validate_failed", "failed_generation": object(n) });
        json_reply(400, &json!({ "error": error }))
    }),
    ("FastAPI: the request in the error", "body.n: no", |n| {
        let detail = json!([{ "loc": ["body", "n"], "msg": "no", "input": object(n) }]);
        json_reply(422, &json!({ "detail": detail }))
    }),
    ("ollama: no such model", "named as the server names it", |_| {
        json_reply(404, &json!({ "error": { "message": "model 'x' not found", "code": null } }))
    }),
    ("vLLM: no model named", "name the judge's model", |_| {
        let detail = json!([{ "loc": ["body", "model"], "msg": "Field required" }]);
        json_reply(422, &json!({ "detail": detail }))
    }),
    ("a path without /v1", "ends in /v1", |_| json_reply(404, &json!({ "detail": "Not Found" }))),
    ("Mistral: a refused top_p", "Extra inputs", |_| {
        let detail = json!([{ "type": "extra_forbidden", "loc": ["body", "top_p"], "msg": "Extra inputs" }]);
        json_reply(422, &json!({ "detail": detail }))
    }),
    ("OpenAI: a refused temperature", "leave the judge's temperature out", |_| {
        let message = "Unsupported value: 'temperature' does not support 0 with this model.";
        json_reply(400, &json!({ "error": { "message": message, "param": "temperature" } }))
    }),
    ("OpenRouter: no credit", "no credit", |_| {
        json_reply(402, &json!({ "error": { "code": 402, "message": "Insufficient credits" } }))
    }),
    ("two pretty-printed objects", "several different", |n| {
        text(format!("{{\n  \"score\": {}\n}}\n{{\n  \"score\": {n}\n}}", n - 1))
    }),
    ("a pretty-printed object and then the line", "several different", |n| {
        text(format!("{{\n  \"score\": {}\n}}\nSCORE: {n}", n - 1))
    }),
    ("an object in the words before the object", "several different", |n| {
        text(format!("Say {} or\n{{\n  \"score\": {n}\n}}", object(n - 1)))
    }),
    ("the line and the object", "several different", |n| {
        text(format!("SCORE: {}\n```json\n{}\n```", n - 1, object(n)))
    }),
    ("out of a hundred, in quotes", "not a number", |n| text(format!("{{\"score\": \"{n}/100\"}}"))),
    ("words behind the object", "agreed place", |n| text(format!("{}\nI hope this helps.", object(n)))),
    ("a fence of another language", "agreed place", |n| {
        text(format!("Run\n```python\n{{\n\"score\": {n}\n}}\n```"))
    }),
    ("an object within another", "agreed place", |n| {
        text(format!("It is\n{{\"grades\":\n{{\n\"score\": {n}\n}}\n}}"))
    }),
    ("a list of objects", "agreed place", |n| text(format!("[\n{}\n]", object(n)))),
    ("a key in other letters", "agreed place", |n| text(format!("{{\"Score\": {n}}}"))),
    ("thinking quoted inside an object", "agreed place", |n| {
        text(json!({ "quote": format!("</think>\nSCORE: {n}") }).to_string())
    }),
];

/// Failures that pass: a retry gets the score.
pub const PASSING: &[Failure] = &[
    ("OpenRouter: error 429 with status 200", || {
        error(json!({ "code": 429, "message": "Rate limit exceeded" }))
    }),
    ("OpenRouter: error 502 within the choice", || {
        let error = json!({ "code": 502, "message": "Provider returned error" });
        choice(
            json!({ "message": { "content": "{\"score\": 4}" }, "finish_reason": "error", "error": error }),
        )
    }),
    ("bifrost 5425: finish reason error", || ending("error", 4)),
    ("vLLM 57082: finish reason abort", || ending("abort", 4)),
    ("DeepSeek: insufficient_system_resource", || ending("insufficient_system_resource", 4)),
    ("a code as a text", || error(json!({ "code": "503", "message": "busy" }))),
    ("Anthropic behind gateways: overloaded_error with status 200", || {
        json_reply(
            200,
            &json!({ "type": "error", "error": { "type": "overloaded_error", "message": "busy" } }),
        )
    }),
    ("Gemini: a list, with status 200", || {
        let details = json!([{ "retryDelay": "0.005s" }]);
        let error = json!({ "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": details });
        json_reply(200, &json!([{ "error": error }]))
    }),
    ("OpenRouter: an error as an event", || {
        body("data: {\"error\": {\"code\": 503, \"message\": \"no provider\"}, \"choices\": []}\n\n")
    }),
    ("a stream that was cut off", || {
        body("data: {\"choices\": [{\"delta\": {\"content\": \"SCORE: 4\"}, \"finish_reason\": null}]}\n\n")
    }),
    ("Anthropic: 529", || {
        json_reply(529, &json!({ "type": "error", "error": { "type": "overloaded_error" } }))
    }),
    ("llama-server: 503 while the model loads", || {
        let error = json!({ "code": 503, "message": "Loading model", "type": "unavailable_error" });
        json_reply(503, &json!({ "error": error }))
    }),
    ("text-generation-inference: 429 with a text", || {
        json_reply(429, &json!({ "error": "Model is overloaded", "error_type": "overloaded" }))
    }),
    ("Azure: retry-after-ms", || Reply::Http {
        status: 429,
        headers: vec![("retry-after-ms", "5".into()), ("Retry-After", "60".into())],
        body: vec![],
    }),
    ("Groq: Retry-After with a fraction", || Reply::Http {
        status: 429,
        headers: vec![("Retry-After", "0.005".into())],
        body: vec![],
    }),
];
