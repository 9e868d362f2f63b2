//! Requests that no client library sends.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, Server, question};

/// A body that ends before it should.
const HALF: &[u8] = b"{\"mess";

/// Sends bytes and reads until the server closes the connection. Half a request is one that the client has given up.
fn talk(server: &Server, sent: &[u8], is_half: bool) -> String {
    let address = server.base().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A server may refuse before it has read all.
    let _ = stream.write_all(sent);
    if is_half {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

fn request(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    request("POST /v1/chat/completions", headers, body)
}

fn sized(body: &[u8]) -> Vec<u8> {
    post(&format!("Content-Length: {}\r\n", body.len()), body)
}

/// The status of a reply, and its error.
fn error(reply: &str) -> (u16, Value) {
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {reply:?}"));
    assert!(head.to_lowercase().contains("content-type: application/json"), "{reply}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {reply}"));
    (status.unwrap(), body["error"].clone())
}

#[test]
fn what_is_no_good_request_gets_an_error_object_and_the_next_one_its_answer() {
    let server = Server::start(&["-np", "1", "--max-body", "1"]);
    let good = question("Hi", &json!({ "max_tokens": 1 })).to_string();
    let twice = good.replacen('{', "{\"max_tokens\":2,", 1);
    let deep = format!("{{\"messages\":{}", "[".repeat(100_000));
    let of_message = |message: &str| format!("{{\"messages\":[{message}]}}").into_bytes();
    for (sent, param, why) in [
        (sized(b"{\"messages\": [}"), None, "not a JSON object"),
        (sized(format!("{good} x").as_bytes()), None, "trailing characters"),
        (sized(b"a=b"), None, "not a JSON object"),
        (sized(b"null"), None, "not a JSON object"),
        (sized(deep.as_bytes()), None, "not a JSON object"),
        (sized(b"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}"), None, "not UTF-8"),
        (sized(twice.as_bytes()), Some("max_tokens"), "max_tokens is given twice"),
        (sized(&of_message("\"Hi\"")), Some("messages[0]"), "is \"Hi\", must be an object"),
        (sized(&of_message("{\"role\":1}")), Some("messages[0].role"), "is 1, must be a text"),
        (
            sized(&of_message("{\"role\":\"user\",\"content\":\"\\ud800\"}")),
            Some("messages[0].content"),
            "hex escape",
        ),
        (post("Content-Length: 100\r\n", HALF), None, "the body cannot be read"),
        (post("Transfer-Encoding: chunked\r\n", b"ZZ\r\nx\r\n"), None, "the body cannot be read"),
        (
            request("GET /slots?fail_on_no_slot=1&fail_on_no_slot=0", "", b""),
            None,
            "the query cannot be read",
        ),
    ] {
        let (status, error) = error(&talk(&server, &sent, sent.ends_with(HALF)));
        let name = String::from_utf8_lossy(&sent).chars().take(300).collect::<String>();
        assert_eq!(
            (status, &error["code"], &error["param"]),
            (400, &json!(400), &json!(param)),
            "{name}: {error}"
        );
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["message"].as_str().unwrap().contains(why), "{name}: {error}");
    }
    for (line, status) in [
        ("GET /nope", 404),
        ("POST /v1/../../etc/passwd", 404),
        ("DELETE /v1/chat/completions", 405),
        ("FOO /health", 405),
    ] {
        let (got, error) = error(&talk(&server, &request(line, "", b""), false));
        assert_eq!((got, &error["type"]), (status, &json!("not_found_error")), "{line}");
    }
    // It is not waited for a body that is known to be too long.
    let announced = post("Content-Length: 99999999\r\nExpect: 100-continue\r\n", b"");
    let reply = talk(&server, &announced, false);
    let (status, error) = error(&reply);
    assert_eq!((status, &error["code"]), (413, &json!(413)), "{reply}");
    // As is what says nothing of its type, or a wrong one: llama-server reads it, too.
    for headers in ["", "Content-Type: text/plain\r\n"] {
        let sent = post(&format!("{headers}Content-Length: {}\r\n", good.len()), good.as_bytes());
        let reply = talk(&server, &sent, false);
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    }
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for_longer_than_a_request_may_take() {
    let server = Server::start(&["-np", "1", "--timeout", "1"]);
    let (status, error) = error(&talk(&server, &post("Content-Length: 100\r\n", HALF), false));
    assert_eq!((status, &error["type"]), (504, &json!("timeout_error")));
    assert_eq!(error["message"], "the body did not come within 1 seconds");
}

#[test]
fn what_is_no_http_is_refused_and_the_next_request_is_answered() {
    let server = Server::start(&["-np", "1"]);
    let headers: String = (0..500).map(|i| format!("X-{i}: a\r\n")).collect();
    for (sent, status) in [
        (b"hello there\r\n\r\n".to_vec(), "400"),
        (post("Content-Length: abc\r\n", b""), "400"),
        (request("GET /health", &format!("X-A: {}\r\n", "a".repeat(600_000)), b""), "431"),
        (request("GET /health", &headers, b""), "431"),
        (request(&format!("GET /{}", "a".repeat(100_000)), "", b""), "414"),
    ] {
        let reply = talk(&server, &sent, false);
        // A connection that is closed while bytes arrive may lose the reply.
        let is_told = reply.starts_with(&format!("HTTP/1.1 {status} "));
        assert!(is_told || reply.is_empty() && sent.len() > 100_000, "{reply}");
    }
    // Half a request that is not ended holds nobody up.
    let address = server.base().strip_prefix("http://").unwrap();
    let mut half = TcpStream::connect(address).unwrap();
    half.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{\"mes")
        .unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let reply = server.chat("Hi", &json!({ "max_tokens": 1 }));
    assert_eq!(reply["usage"]["completion_tokens"], 1);
    drop(half);
}
