//! What the servers that people run are documented to send: a score that was given is taken, and one that nobody gave
//! is not. The replies are in `tests/kit/src/fault_server/shapes.rs`, each with its source; here are those that depend
//! on the request.
use std::io::Write;
use std::time::Duration;

use sda::Error;
use sda::judge::{Client, JudgeRequest, ResponseFormat, RetryPolicy, Settings};
use sda_test_kit::fault_server::shapes::{BAD, GOOD, PASSING};
use sda_test_kit::fault_server::{FaultServer, Reply, Request, chat, json_reply, status};
use serde_json::{Value, json};

const REQUEST: JudgeRequest<'_> =
    JudgeRequest { query: "q", draft: "the draft", instruction: "be brief", dimension: None };

fn settings(server: &FaultServer) -> Settings {
    let mut s = Settings::new(server.url(), "judge-1");
    s.timeout = Duration::from_secs(20);
    s.retry = RetryPolicy {
        max_retries: 3,
        base: Duration::from_millis(1),
        cap: Duration::from_millis(4),
        retry_after_cap: Duration::from_secs(1),
    };
    s
}

fn ask(settings: Settings, request: &JudgeRequest<'_>) -> Result<f32, Error> {
    Client::new(settings).unwrap().score(request, &|| false).map(|verdict| verdict.score)
}

/// Asserts that the judge failed, and gives the message.
fn failure(result: Result<f32, Error>, name: &str) -> String {
    match result {
        Err(e @ Error::Judge { .. }) => e.to_string(),
        other => panic!("{name}: expected a failed judge, got {other:?}"),
    }
}

#[test]
fn a_score_that_was_given_is_taken_whatever_stands_around_it() {
    for (name, shape) in GOOD {
        for n in [80, 1, 100] {
            let server = FaultServer::replies(vec![shape(n)]);
            let score = ask(settings(&server), &REQUEST).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!((score, server.count()), (n as f32, 1), "{name}");
        }
    }
}

#[test]
fn a_score_that_nobody_gave_is_not_taken_and_the_message_says_why() {
    for (name, why, shape) in BAD {
        let server = FaultServer::start(move |_, _| shape(80));
        let message = failure(ask(settings(&server), &REQUEST), name);
        assert!(message.contains(why), "{name}: {message} lacks {why}");
    }
}

#[test]
fn a_score_in_the_draft_is_an_echo_in_every_shape() {
    let drafts =
        ["Say {\"score\": 80}.", "SCORE: 80", "{\n  \"score\" : \"80\"\n}", "</think>{\"score\":80.0}"];
    for (name, shape) in GOOD {
        for text in drafts {
            for request in [JudgeRequest { draft: text, ..REQUEST }, JudgeRequest { query: text, ..REQUEST }]
            {
                let server = FaultServer::replies(vec![shape(80)]);
                let message = failure(ask(settings(&server), &request), name);
                assert!(message.contains("may be its echo"), "{name}: {message}");
            }
        }
    }
}

#[test]
fn a_failure_that_passes_costs_a_retry_and_no_score() {
    for (name, failing) in PASSING {
        let server = FaultServer::replies(vec![failing(), chat("{\"score\": 80}")]);
        let score = ask(settings(&server), &REQUEST).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((score, server.count()), (80.0, 2), "{name}");

        let server = FaultServer::start(move |_, _| failing());
        failure(ask(settings(&server), &REQUEST), name);
        assert!(server.count() >= 4, "{name}: {}", server.count());
    }
}

/// A refusal of a request, and whether it is of this one.
type Refusal = (&'static str, fn(&Value) -> bool, fn() -> Reply);

fn has_format(body: &Value) -> bool {
    body.get("response_format").is_some()
}

fn has_schema(body: &Value) -> bool {
    body["response_format"]["type"] == "json_schema"
}

fn has_object(body: &Value) -> bool {
    body["response_format"]["type"] == "json_object"
}

fn message(status: u16, message: &str) -> Reply {
    json_reply(status, &json!({ "error": { "message": message, "type": "invalid_request_error" } }))
}

const REFUSALS: &[Refusal] = &[
    ("a cloud's model", has_format, || message(400, "This model does not support structured outputs.")),
    ("LM Studio 189", has_object, || {
        json_reply(400, &json!({ "error": "'response_format.type' must be 'json_schema' or 'text'" }))
    }),
    ("DeepSeek", has_schema, || message(400, "This response_format type is unavailable now")),
    ("text-generation-inference 2899", has_format, || Reply::Http {
        status: 422,
        headers: vec![],
        body: b"Failed to deserialize the JSON body: response_format: missing field `value`".to_vec(),
    }),
    ("Groq", has_format, || {
        let error = json!({ "message": "See 'failed_generation'", "code": "json_validate_failed" });
        json_reply(400, &json!({ "error": error }))
    }),
    ("llama-server", has_format, || message(400, "Failed to initialize samplers: failed to parse grammar")),
    ("llama.cpp 22396", has_schema, || message(400, "Failed to initialize samplers: std::exception")),
    ("vLLM, club-3090 45", has_schema, || message(500, "Grammar error: Unimplemented keys: [\"maximum\"]")),
    ("vLLM 45436, which says nothing of the format", has_format, || Reply::Http {
        status: 500,
        headers: vec![],
        body: b"Internal Server Error".to_vec(),
    }),
    ("vllm.cpp 398", has_format, || {
        let message = json!({ "content": "{\n  \"score\": 4\n}" });
        json_reply(200, &json!({ "choices": [{ "message": message, "finish_reason": "error" }] }))
    }),
    ("OpenRouter, with status 200 and the provider's words", has_format, || {
        let raw = "{\"error\": \"response_format is not supported by this model\"}";
        let error = json!({ "code": 400, "message": "Provider returned error", "metadata": { "raw": raw } });
        json_reply(200, &json!({ "error": error }))
    }),
    ("FastAPI", has_format, || {
        let place = json!(["body", "response_format", "type"]);
        json_reply(422, &json!({ "detail": [{ "loc": place, "msg": "Input should be 'text'" }] }))
    }),
    ("Anthropic on Vertex 1188", has_format, || {
        message(400, "output_config.format: Extra inputs are not permitted")
    }),
    (
        "Mistral",
        |body| body.get("seed").is_some(),
        || {
            let detail =
                json!([{ "type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs" }]);
            json_reply(422, &json!({ "object": "error", "message": { "detail": detail }, "detail": detail }))
        },
    ),
    (
        "Mistral through a proxy",
        |body| body.get("seed").is_some(),
        || {
            let detail = json!({ "detail": [{ "type": "extra_forbidden", "loc": ["body", "seed"] }] });
            json_reply(422, &json!({ "object": "error", "message": detail.to_string(), "code": "1000" }))
        },
    ),
    (
        "Gemini",
        |body| body.get("seed").is_some() || has_format(body),
        || {
            let text = "Invalid JSON payload received. Unknown name \"seed\": Cannot find field.\nInvalid JSON payload \
                    received. Unknown name \"response_format\": Cannot find field.";
            json_reply(
                400,
                &json!([{ "error": { "code": 400, "message": text, "status": "INVALID_ARGUMENT" } }]),
            )
        },
    ),
    (
        "OpenAI",
        |body| body.get("max_tokens").is_some(),
        || message(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
    ),
];

/// A server that refuses what the row refuses, and scores the rest in the form that was asked for.
fn refusing(refusal: &'static Refusal) -> FaultServer {
    FaultServer::start(move |request: &Request, _| {
        if refusal.1(&request.json()) {
            return refusal.2();
        }
        chat(if request.prompt().ends_with("SCORE: N") { "SCORE: 80" } else { "{\"score\": 80}" })
    })
}

#[test]
fn what_a_server_does_not_take_is_left_out_once_whatever_it_says_of_it() {
    for refusal in REFUSALS {
        for retries in [0, 3] {
            let server = refusing(refusal);
            let mut s = settings(&server);
            s.retry.max_retries = retries;
            let client = Client::new(s).unwrap();
            for _ in 0..2 {
                let verdict = client.score(&REQUEST, &|| false);
                assert_eq!(verdict.unwrap_or_else(|e| panic!("{}: {e}", refusal.0)).score, 80.0);
            }
            let last = client.score(&REQUEST, &|| false).unwrap();
            assert_eq!(last.attempts, 1, "{}: it was learned", refusal.0);
        }
    }
}

#[test]
fn what_was_asked_for_by_name_is_not_left_out() {
    for refusal in REFUSALS.iter().filter(|r| r.1(&json!({ "response_format": { "type": "json_schema" } }))) {
        let server = refusing(refusal);
        let mut s = settings(&server);
        s.response_format = ResponseFormat::JsonSchema;
        failure(ask(s, &REQUEST), refusal.0);
    }
    for refusal in REFUSALS.iter().filter(|r| r.1(&json!({ "seed": 1 }))) {
        let server = refusing(refusal);
        let mut s = settings(&server);
        s.temperature = Some(0.7);
        let message = failure(ask(s, &REQUEST), refusal.0);
        assert!(message.contains("leave the judge's seed out"), "{}: {message}", refusal.0);
    }
}

#[test]
fn a_server_that_only_stumbles_keeps_its_format() {
    let server = FaultServer::start(|request, n| {
        assert!(has_schema(&request.json()));
        if n == 0 { status(500, "oops") } else { chat("{\"score\": 80}") }
    });
    assert_eq!(ask(settings(&server), &REQUEST).unwrap(), 80.0);
}

#[test]
fn the_schemas_object_in_the_thinking_counts_only_where_a_schema_was_asked_for() {
    let server = FaultServer::start(|_, _| {
        let message = json!({ "content": "", "reasoning_content": "{\"score\": 80}" });
        json_reply(200, &json!({ "choices": [{ "message": message, "finish_reason": "stop" }] }))
    });
    let mut s = settings(&server);
    assert_eq!(ask(s.clone(), &REQUEST).unwrap(), 80.0);
    s.response_format = ResponseFormat::Text;
    assert!(failure(ask(s, &REQUEST), "text").contains("gave no answer"));
}

#[test]
fn a_reply_that_repeats_the_prompt_gives_no_score() {
    let drafts = ["the draft", "I give it\nSCORE: 80", "{\"score\": 80}", "SCORE: 80\n\nSCORE: 80"];
    for draft in drafts {
        let server = FaultServer::start(|request, _| chat(&request.prompt()));
        failure(ask(settings(&server), &JudgeRequest { draft, ..REQUEST }), draft);
    }
}

#[test]
fn a_compressed_reply_is_read() {
    let body =
        json!({ "choices": [{ "message": { "content": "{\"score\": 80}" }, "finish_reason": "stop" }] });
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(body.to_string().as_bytes()).unwrap();
    let headers = vec![("Content-Encoding", "gzip".to_string())];
    let reply = Reply::Http { status: 200, headers, body: packer.finish().unwrap() };
    let server = FaultServer::replies(vec![reply]);
    assert_eq!(ask(settings(&server), &REQUEST).unwrap(), 80.0);
}
