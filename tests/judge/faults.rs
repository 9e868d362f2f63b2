//! The HTTP judge against a server that fails in every way: what is retried, what is not, and what
//! the user gets to read.
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime};

use sda::Error;
use sda::judge::{ApiKey, Client, JudgeRequest, RetryPolicy, Settings, Verdict};
use sda_test_kit::fault_server::{FaultServer, Reply, chat, completion, json_reply, status};
use serde_json::json;

const REQUEST: JudgeRequest<'_> = JudgeRequest {
    query: "Why is the sky blue?",
    draft: "Because of scattering.",
    instruction: "Explain it to a child.",
    dimension: None,
};

/// Quick retries, so that the tests measure behaviour and not waiting.
fn settings(url: &str) -> Settings {
    let mut s = Settings::new(url, "judge-1");
    s.timeout = Duration::from_secs(5);
    s.connect_timeout = Duration::from_secs(2);
    s.retry = RetryPolicy {
        max_retries: 3,
        base: Duration::from_millis(1),
        cap: Duration::from_millis(4),
        retry_after_cap: Duration::from_secs(5),
    };
    s
}

fn score(settings: Settings) -> Result<Verdict, Error> {
    Client::new(settings).unwrap().score(&REQUEST, &|| false)
}

fn good() -> Reply {
    chat("{\"score\": 37}")
}

fn good_body() -> Vec<u8> {
    completion(json!("{\"score\": 37}"), "stop").to_string().into_bytes()
}

/// Asserts that the judge failed, and gives the message.
fn failure(result: Result<Verdict, Error>) -> String {
    match result {
        Err(e @ Error::Judge { .. }) => e.to_string(),
        other => panic!("expected a failed judge, got {other:?}"),
    }
}

#[test]
fn a_good_reply_is_the_score_after_one_request() {
    let server = FaultServer::replies(vec![good()]);
    let verdict = score(settings(&server.url())).unwrap();
    assert_eq!(
        verdict,
        Verdict { score: 37.0, samples: vec![37.0], deviation: None, cached: false, attempts: 1 }
    );
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].header("authorization"), None);
    assert_eq!(requests[0].json()["model"], "judge-1");
    assert!(requests[0].prompt().contains(REQUEST.draft));
}

#[test]
fn faults_that_may_pass_are_retried_until_the_score_arrives() {
    let body = good_body();
    let passing = [
        ("reset", Reply::Reset),
        ("reset in the body", Reply::ResetMidBody(body.clone())),
        ("closed in the body", Reply::CloseMidBody(body.clone())),
        ("closed without a reply", Reply::Raw(Vec::new())),
        ("no HTTP", Reply::Raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec())),
        ("headers cut off", Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())),
        (
            "bad chunk size",
            Reply::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}".to_vec()),
        ),
        (
            "chunks cut off",
            Reply::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"cho".to_vec()),
        ),
        ("no length and cut off", Reply::Raw([b"HTTP/1.0 200 OK\r\n\r\n", &body[..body.len() / 2]].concat())),
        (
            "not UTF-8",
            Reply::Http { status: 200, headers: vec![], body: b"{\"choices\": \"\xff\xfe\"}".to_vec() },
        ),
        ("an error page", Reply::Http { status: 200, headers: vec![], body: b"<html>oops</html>".to_vec() }),
        ("an empty body", Reply::Http { status: 200, headers: vec![], body: vec![] }),
        ("408", status(408, "too slow")),
        ("429", status(429, "too many")),
        ("500", status(500, "broken")),
        ("502", status(502, "gateway")),
        ("503", status(503, "busy")),
        ("504", status(504, "gateway timed out")),
    ];
    for (name, fault) in passing {
        let server = FaultServer::replies(vec![fault.clone(), fault, good()]);
        let verdict = score(settings(&server.url())).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((verdict.score, verdict.attempts), (37.0, 3), "{name}");
        assert_eq!(server.count(), 3, "{name}");
    }
}

#[test]
fn a_fault_that_stays_is_an_error_after_the_last_retry() {
    let cases = [
        (Reply::Reset, "connection failed"),
        (Reply::CloseMidBody(good_body()), "connection failed"),
        (status(503, "loading model"), "status 503"),
        (status(429, "slow down"), "status 429"),
        (Reply::Http { status: 200, headers: vec![], body: b"\xff".to_vec() }, "not UTF-8"),
    ];
    for (fault, text) in cases {
        let server = FaultServer::start(move |_, _| fault.clone());
        let message = failure(score(settings(&server.url())));
        assert_eq!(server.count(), 4, "{message}");
        assert!(message.contains(text) && message.contains("after 4 attempts in "), "{message}");
        assert!(message.contains(&server.address().to_string()), "{message}");
    }
}

#[test]
fn statuses_that_will_not_pass_are_not_retried_and_show_the_servers_words() {
    for code in [400, 401, 403, 404, 405, 413, 422] {
        let server = FaultServer::start(move |_, _| status(code, "this is the reason"));
        let message = failure(score(settings(&server.url())));
        assert_eq!(server.count(), 1, "{message}");
        assert!(message.contains(&format!("status {code}")), "{message}");
        assert!(
            message.contains("after 1 attempt in") && message.contains("this is the reason"),
            "{message}"
        );
    }
}

#[test]
fn replies_without_one_good_score_are_not_retried_and_are_shown() {
    let cases = [
        (chat("I would say about 80."), "I would say about 80."),
        (chat("{\"score\": 0}"), "not from 1 to 100"),
        (chat("{\"score\": 101}"), "{\"score\": 101}"),
        (chat("SCORE: 85/100"), "85/100"),
        (chat("SCORE: 10\nSCORE: 90"), "several different scores"),
        (chat(""), "the reply is empty"),
        (chat("I cannot rate this content."), "I cannot rate this content."),
        (json_reply(200, &completion(json!("{\"score\": 3"), "length")), "token limit"),
        (json_reply(200, &completion(json!("{\"score\": 30}"), "length")), "token limit"),
        (json_reply(200, &completion(json!("SCORE: 30"), "content_filter")), "content filter"),
        (json_reply(200, &completion(json!(null), "stop")), "no text content"),
        (json_reply(200, &json!({ "choices": [{ "message": {} }] })), "no text content"),
        (json_reply(200, &json!({ "choices": [] })), "no choices"),
        (json_reply(200, &json!({ "error": { "message": "quota is used up" } })), "quota is used up"),
        (json_reply(200, &json!({ "choices": [{ "message": { "refusal": "No." } }] })), "refused"),
    ];
    for (reply, text) in cases {
        let server = FaultServer::start(move |_, _| reply.clone());
        let message = failure(score(settings(&server.url())));
        assert_eq!(server.count(), 1, "{message}");
        assert!(message.contains(text), "{message} lacks {text}");
    }
}

#[test]
fn a_long_reply_is_shown_shortened_and_cannot_act_on_the_terminal() {
    let server = FaultServer::replies(vec![chat(&format!("\u{1b}[2J{}", "blah ".repeat(2000)))]);
    let message = failure(score(settings(&server.url())));
    assert!(message.len() < 500 && message.contains("\\u{1b}[2J") && message.ends_with("...\""), "{message}");
}

#[test]
fn a_server_that_is_too_slow_times_out_and_is_asked_again() {
    let slow = Reply::After(Duration::from_secs(30), Box::new(good()));
    let server = FaultServer::replies(vec![slow, Reply::Drip(Duration::from_millis(20)), good()]);
    let mut s = settings(&server.url());
    s.timeout = Duration::from_millis(250);
    let start = Instant::now();
    let verdict = score(s.clone()).unwrap();
    assert_eq!((verdict.score, verdict.attempts), (37.0, 3));
    assert!((0.5..3.0).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());

    let server = FaultServer::start(|_, _| Reply::Drip(Duration::from_millis(20)));
    s.url = server.url();
    s.retry.max_retries = 1;
    let message = failure(score(s));
    assert!(message.contains("no complete reply within 0.25 s, after 2 attempts"), "{message}");
}

#[test]
fn nobody_listening_is_retried_and_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let message = failure(score(settings(&format!("http://{address}"))));
    assert!(message.contains("connection failed") && message.contains("after 4 attempts"), "{message}");
}

fn with_retry_after(value: String) -> Reply {
    Reply::Http { status: 429, headers: vec![("Retry-After", value)], body: vec![] }
}

#[test]
fn retry_after_in_seconds_is_waited_for() {
    let server = FaultServer::replies(vec![with_retry_after("1".into()), good()]);
    let start = Instant::now();
    assert_eq!(score(settings(&server.url())).unwrap().score, 37.0);
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn retry_after_as_a_date_is_waited_for() {
    // Dates have whole seconds, so a wait of two is at least one.
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    let server = FaultServer::replies(vec![with_retry_after(date), good()]);
    let start = Instant::now();
    assert_eq!(score(settings(&server.url())).unwrap().score, 37.0);
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
}

#[test]
fn retry_after_is_followed_only_up_to_its_cap() {
    let server = FaultServer::replies(vec![with_retry_after("86400".into()), good()]);
    let mut s = settings(&server.url());
    s.retry.retry_after_cap = Duration::from_millis(100);
    let start = Instant::now();
    assert_eq!(score(s).unwrap().score, 37.0);
    assert!((0.1..2.0).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
}

#[test]
fn a_body_without_end_is_read_only_up_to_the_limit() {
    for chunked in [false, true] {
        let server = FaultServer::start(move |_, _| Reply::Endless { chunked });
        let mut s = settings(&server.url());
        s.max_response_bytes = 64 << 10;
        let message = failure(score(s));
        assert!(message.contains("larger than 65536 bytes, after 1 attempt"), "{message}");
        // What the sockets' buffers hold comes on top of the limit.
        assert!(server.sent() < 16 << 20, "{} bytes", server.sent());
    }
}

#[test]
fn an_error_reply_without_end_is_cut_short() {
    let head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 99999999\r\n\r\n".to_vec();
    let body = [head, b"not here ".repeat(1 << 16)].concat();
    let server = FaultServer::start(move |_, _| Reply::Raw(body.clone()));
    let message = failure(score(settings(&server.url())));
    assert!(
        message.contains("status 404") && message.contains("not here") && message.len() < 500,
        "{message}"
    );
}

#[test]
fn a_compressed_bomb_is_bounded_by_what_it_unpacks_to() {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&vec![b' '; 32 << 20]).unwrap();
    let packed = packer.finish().unwrap();
    assert!(packed.len() < 64 << 10);
    let headers = vec![("Content-Encoding", "gzip".to_string())];
    let bomb = Reply::Http { status: 200, headers, body: packed };
    let server = FaultServer::start(move |_, _| bomb.clone());
    let message = failure(score(settings(&server.url())));
    assert!(message.contains("larger than 1048576 bytes"), "{message}");
}

#[test]
fn a_chunked_reply_is_read_whatever_the_chunks() {
    for size in [1, 7, 4096] {
        let server = FaultServer::replies(vec![Reply::Chunked { body: good_body(), size }]);
        assert_eq!(score(settings(&server.url())).unwrap().score, 37.0, "{size}");
    }
}

fn key(text: &str) -> ApiKey {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, format!("{text}\n")).unwrap();
    ApiKey::from_file(&path).unwrap()
}

#[test]
fn the_key_is_sent_as_a_bearer_token_and_never_shown() {
    const SECRET: &str = "sk-test-s3cr3t/with\"marks";
    let echoes: [fn() -> Reply; 5] = [
        || status(401, &format!("Incorrect API key provided: {SECRET}")),
        || Reply::Http {
            status: 403,
            headers: vec![],
            body: format!("{{\"bad\": {}}}", json!(SECRET)).into_bytes(),
        },
        || chat(&format!("your key is {SECRET}")),
        || json_reply(200, &json!({ "error": { "message": SECRET } })),
        || Reply::Http {
            status: 307,
            headers: vec![("Location", format!("http://h/{SECRET}?k={SECRET}"))],
            body: vec![],
        },
    ];
    for echo in echoes {
        let server = FaultServer::start(move |_, _| echo());
        let mut s = settings(&server.url());
        s.key = Some(key(SECRET));
        let client = Client::new(s).unwrap();
        let result = client.score(&REQUEST, &|| false);
        for shown in [failure(result.clone()), format!("{result:?}"), format!("{client:?}")] {
            assert!(!shown.contains("s3cr3t"), "{shown}");
        }
        assert!(failure(result).contains("[redacted]"));
        assert_eq!(server.requests()[0].header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    }
}

#[test]
fn a_query_string_is_sent_and_never_shown() {
    let server = FaultServer::start(|_, _| status(404, "no"));
    let message = failure(score(settings(&format!("{}?key=hunter2", server.url()))));
    assert!(!message.contains("hunter2") && !message.contains("key="), "{message}");
    assert_eq!(server.requests()[0].line, "POST /v1/chat/completions?key=hunter2 HTTP/1.1");
}

#[test]
fn a_redirect_is_not_followed_and_leaks_nothing() {
    for code in [301, 302, 303, 307, 308] {
        let other = FaultServer::start(|_, _| good());
        let target = format!("{}/chat/completions", other.url());
        let server = FaultServer::start(move |_, _| Reply::Http {
            status: code,
            headers: vec![("Location", target.clone())],
            body: vec![],
        });
        let mut s = settings(&server.url());
        s.key = Some(key("sk-test"));
        let message = failure(score(s));
        assert!(message.contains(&format!("status {code}: redirects are not followed")), "{message}");
        assert!(message.contains(&other.address().to_string()), "{message}");
        assert_eq!((server.count(), other.connections()), (1, 0));
    }
}
