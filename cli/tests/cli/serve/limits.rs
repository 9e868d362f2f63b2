//! Who may ask, how much, and how it ends.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Event, Server, chunks, question};

/// A text that goes on until it has all its tokens.
fn endless(tokens: u32) -> serde_json::Value {
    json!({ "prompt": "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,", "n_predict": tokens, "temperature": 0 })
}

#[test]
fn a_server_that_loads_its_model_says_so_and_needs_no_key_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("slow.gguf");
    // A model that never comes.
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let server = Server::listening(pipe.to_str().unwrap(), &["--api-key", "k"]);
    let reply = server.get("/health");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("2")));
    assert_eq!(reply.json()["error"]["message"], "Loading model");
    let key = [("authorization", "Bearer k")];
    let reply = server.post_with("/v1/chat/completions", &question("Hi", &json!({})).to_string(), &key);
    assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (503, Some("unavailable_error")));
    assert_eq!(server.get_with("/v1/models", &key).json()["data"][0]["meta"], json!(null));
}

#[test]
fn only_who_has_a_key_is_let_in_and_no_key_or_prompt_is_in_the_log() {
    let server = Server::start(&["-np", "1", "--api-key", "first-secret,second-secret", "--alias", "pirate"]);
    let body = question("A private matter", &json!({ "max_tokens": 1 })).to_string();
    let ask = |headers: &[(&str, &str)]| server.post_with("/v1/chat/completions", &body, headers);
    for headers in [&[][..], &[("authorization", "Bearer wrong-secret")], &[("x-api-key", "first")]] {
        let reply = ask(headers);
        assert_eq!((reply.status, &reply.json()["error"]["type"]), (401, &json!("authentication_error")));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(server.get("/v1/models").status, 401);
    let reply = ask(&[("authorization", "Bearer second-secret")]);
    assert_eq!((reply.status, &reply.json()["model"]), (200, &json!("pirate")));
    assert!(reply.header("x-request-id").is_some());
    assert_eq!(ask(&[("x-api-key", "first-secret")]).status, 200);
    assert_eq!(server.get("/health").status, 200);
    let page = server.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    server.signal("TERM");
    let (status, log) = server.wait();
    let log = log.join("\n");
    assert!(status.success() && log.contains("POST /v1/chat/completions 200"), "{log}");
    assert!(!log.contains("secret") && !log.contains("private"), "{log}");
}

#[test]
fn pages_of_other_sites_are_refused_unless_they_are_let_in() {
    let server = Server::start(&["-np", "1", "--cors-origins", "https://a.example"]);
    let body = question("Hi", &json!({ "max_tokens": 1 })).to_string();
    let ask = |origin| server.post_with("/v1/chat/completions", &body, &[("origin", origin)]);
    let reply = ask("https://evil.example");
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (403, &json!("permission_error")));
    assert_eq!(reply.header("access-control-allow-origin"), None);
    let reply = ask("https://a.example");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some("https://a.example")));
    let own = server.base().to_owned();
    assert_eq!(ask(&own).status, 200, "its own page");
}

#[test]
fn a_full_queue_refuses_and_a_client_that_goes_makes_room() {
    let server = Server::start(&["-np", "1", "--queue", "0", "--metrics"]);
    let mut long = server.stream("/completion", &endless(900));
    assert!(long.any(|event| matches!(event, Event::Data(_))), "it has begun");
    let short = endless(1);
    let refused = server.post("/completion", &short);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert!(refused.body.contains("queue is full"), "{}", refused.body);
    assert_eq!(server.get("/slots").json()[0]["is_processing"], true);
    assert_eq!(server.get("/slots?fail_on_no_slot=1").status, 503);
    drop(long);
    let start = Instant::now();
    while server.post("/completion", &short).status == 503 {
        assert!(start.elapsed() < Duration::from_secs(5), "the slot is not freed");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The reply is there before it is counted as gone.
    let metrics = std::iter::repeat_with(|| server.get("/metrics").body).find(|it| {
        it.contains("llamacpp:requests_processing 0\n") || start.elapsed() > Duration::from_secs(5)
    });
    let metrics = metrics.unwrap_or_default();
    for line in ["sda_answers_total{finish=\"cancelled\"} 1", "llamacpp:requests_processing 0", "# EOF"] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    let predicted = metrics.lines().find_map(|line| line.strip_prefix("llamacpp:tokens_predicted_total "));
    assert!(predicted.unwrap().parse::<u32>().unwrap() < 900, "{metrics}");
}

#[test]
fn what_is_not_asked_for_on_the_command_line_is_not_offered() {
    let server = Server::start(&["-np", "1", "--no-slots", "--no-webui", "--max-body", "1"]);
    assert_eq!(server.get("/").status, 404);
    assert_eq!((server.get("/slots").status, server.get("/metrics").status), (501, 501));
    let reply = server.post_with("/completion", &" ".repeat(1024 * 1024 + 1), &[]);
    assert_eq!(reply.status, 413, "{}", reply.body);
    let props = server.get("/props").json();
    assert_eq!((&props["total_slots"], &props["sda"]["max_instructions"]), (&json!(1), &json!(1)));
    assert!(props["chat_template"].as_str().unwrap().contains("im_start"));
}

#[test]
fn a_request_that_takes_too_long_is_ended() {
    let server = Server::start(&["-np", "1", "--timeout", "1"]);
    let reply = server.post("/completion", &endless(-1_i32 as u32 & 0x7fff_ffff));
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (504, &json!("timeout_error")));
    let events: Vec<Event> = server.stream("/completion", &endless(1_000_000)).collect();
    let last = chunks(&events).last().copied().unwrap().clone();
    assert_eq!(last["error"]["code"], 504, "{last}");
}

#[test]
fn a_server_that_is_stopped_ends_its_streams_properly() {
    for (grace, tokens) in [("0", 900), ("30", 60)] {
        let server = Server::start(&["-np", "1", "--shutdown-grace", grace]);
        let body =
            json!({ "prompt": "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,", "max_tokens": tokens, "temperature": 0 });
        let mut stream = server.stream("/v1/completions", &body);
        assert!(stream.any(|event| matches!(event, Event::Data(_))));
        server.signal("TERM");
        let events: Vec<Event> = stream.collect();
        assert_eq!(events.last(), Some(&Event::Done), "{events:?}");
        let chunks = chunks(&events);
        let last = chunks.last().unwrap();
        let finish = if grace == "0" { "cancelled" } else { "length" };
        assert_eq!(last["sda"]["finish"], finish, "{last}");
        assert_eq!(last["choices"][0]["finish_reason"], "length");
        let (status, _) = server.wait();
        assert_eq!(status.code(), Some(0));
    }
}

#[test]
fn what_cannot_be_served_is_said_before_anything_is_loaded() {
    use crate::command::{run, stderr};
    for (args, code, why) in [
        (&["--trace", "x.jsonl"][..], 2, "--trace is not for sda serve"),
        (&["--guidance", "nan"], 2, "guidance is NaN"),
        (&["--api-key", ""], 2, "--api-key is empty"),
        (&["--api-key-file", "no-such-file"], 1, "no-such-file"),
        (&["--host", "no host"], 1, "no host:0"),
    ] {
        let output = run(&[&["serve", "-m", "no-such-model.gguf", "--port", "0"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
    let output = run(&["serve", "-m", "no-such-model.gguf", "--port", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no-such-model.gguf"), "{}", stderr(&output));
}
