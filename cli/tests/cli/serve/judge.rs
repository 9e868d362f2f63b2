//! A judge decides the strength of a request.

use std::time::Instant;

use sda_test_kit::fault_server::{FaultServer, chat, status};
use serde_json::json;

use super::{CAPITAL, Event, Server, chunks, content, generated, question};
use crate::command::model;

const PIRATE: &str = "Answer like a pirate.";

fn comments(events: &[Event]) -> Vec<&str> {
    let mut found = Vec::new();
    for event in events {
        if let Event::Comment(text) = event {
            found.push(text.as_str());
        }
    }
    found
}

#[test]
fn a_draft_is_scored_and_the_answer_is_steered_by_the_score() {
    let judge = FaultServer::start(|_, _| chat("{\"score\": 40}"));
    let url = judge.url();
    let server = Server::start(&["-np", "1", "-i", PIRATE, "--judge", &url, "-n", "12", "--no-judge-cache"]);
    let reply = server.chat(CAPITAL, &json!({ "cache_prompt": false }));
    assert_eq!((&reply["sda"]["arm"], &reply["sda"]["score"]), (&json!("steered"), &json!(40.0)), "{reply}");
    assert_eq!(reply["sda"]["judge"]["attempts"], 1);
    let score = json!({ "cache_prompt": false, "sda": { "score": 40 } });
    assert_eq!(content(&reply), content(&server.chat(CAPITAL, &score)), "the same as with that score");
    assert_eq!(judge.count(), 1);
    let events: Vec<Event> =
        server.stream("/v1/chat/completions", &question(CAPITAL, &json!({ "n": 2 }))).collect();
    let comments = comments(&events);
    assert_eq!(comments[..2], ["sda drafting", "sda judging"]);
    assert!(comments[2].starts_with("sda score 40.0, guidance "), "{comments:?}");
    assert_eq!((judge.count(), events.last()), (2, Some(&Event::Done)), "one draft for both answers");
    for more in
        [json!({ "sda": { "judge": false } }), json!({ "guidance_scale": 1 }), json!({ "cfg_scale": 2 })]
    {
        server.chat(CAPITAL, &more);
    }
    let unsteered = server.chat(CAPITAL, &json!({ "sda": { "instruction": "" } }));
    assert_eq!((judge.count(), &unsteered["sda"]["arm"]), (2, &json!("plain")), "nothing to score for");
}

#[test]
fn the_loaded_model_scores_if_it_is_asked_to() {
    let server = Server::start(&["-np", "2"]);
    let more = json!({ "max_tokens": 6, "sda": { "judge": "local", "instruction": PIRATE } });
    let reply = server.chat(CAPITAL, &more);
    let score = reply["sda"]["score"].as_f64().unwrap();
    assert!((1.0..=100.0).contains(&score), "{reply}");
    assert_eq!((&reply["sda"]["judge"]["name"], &reply["sda"]["arm"]), (&json!("local"), &json!("steered")));
}

#[test]
fn a_judge_in_a_file_scores_as_for_the_command() {
    let judge = model();
    let args = ["-i", PIRATE, "-n", "12", "--judge", &judge];
    let expected = generated(&[&args[..], &["--temp", "0"]].concat());
    let server = Server::start(&[&["-np", "1"][..], &args].concat());
    let reply = server.chat(CAPITAL, &json!({ "cache_prompt": false }));
    let file = judge.rsplit('/').next().unwrap();
    assert_eq!((&reply["sda"]["judge"]["name"], &reply["sda"]["arm"]), (&json!(file), &json!("steered")));
    assert_eq!(reply["sda"]["score"], expected["score"], "{reply}");
    assert_eq!(content(&reply), expected["text"].as_str().unwrap());
    let body = question(CAPITAL, &json!({ "cache_prompt": false }));
    let events: Vec<Event> = server.stream("/v1/chat/completions", &body).collect();
    let comments = comments(&events);
    assert_eq!(comments[..2], ["sda drafting", "sda judging"]);
    assert!(comments[2].starts_with("sda score ") && comments.len() == 3, "{comments:?}");
    let last = *chunks(&events).last().unwrap();
    assert_eq!((&last["sda"]["score"], &last["sda"]["judge"]["name"]), (&expected["score"], &json!(file)));
}

#[test]
fn an_answer_goes_on_while_a_draft_of_another_is_judged() {
    let file = model();
    for judge in ["local", &file] {
        let server = Server::start(&["-np", "2", "-i", PIRATE, "-n", "12", "--judge", judge]);
        let endless = json!({ "max_tokens": 900, "ignore_eos": true, "sda": { "guidance": 1 } });
        let mut long = server.stream("/v1/chat/completions", &question("Count to a thousand.", &endless));
        assert!(long.any(|event| matches!(event, Event::Data(_))), "it has begun");
        let (to, done) = std::sync::mpsc::channel();
        let counter = std::thread::spawn(move || {
            let mut times = Vec::new();
            while done.try_recv().is_err() && long.next().is_some() {
                times.push(Instant::now());
            }
            times
        });
        let mut times = Vec::new();
        for event in server.stream("/v1/chat/completions", &question(CAPITAL, &json!({ "max_tokens": 1 }))) {
            if let Event::Comment(_) = event {
                times.push(Instant::now());
            }
        }
        let _ = to.send(());
        let tokens = counter.join().unwrap();
        let [_, judging, judged] = times[..] else { panic!("{times:?}") };
        let meanwhile = tokens.iter().filter(|time| (judging..judged).contains(time)).count();
        assert!(meanwhile >= 5, "{judge}: {meanwhile} tokens in {:?}", judged - judging);
    }
}

#[test]
fn a_judge_that_fails_is_an_error_or_what_the_command_line_chose() {
    for (choice, arm) in [("error", None), ("plain", Some("plain")), ("instructed", Some("instructed"))] {
        let judge = FaultServer::start(|_, _| status(400, "no"));
        let url = judge.url();
        let args = ["-np", "1", "-i", PIRATE, "-n", "4", "--judge", &url, "--no-judge-cache"];
        let server =
            Server::start(&[&args[..], &["--judge-retries", "0", "--on-judge-failure", choice]].concat());
        let body = question(CAPITAL, &json!({}));
        let reply = server.post("/v1/chat/completions", &body);
        let Some(arm) = arm else {
            assert_eq!((reply.status, &reply.json()["error"]["type"]), (502, &json!("judge_error")));
            let events: Vec<Event> = server.stream("/v1/chat/completions", &body).collect();
            assert_eq!(chunks(&events).last().unwrap()["error"]["type"], "judge_error");
            assert_eq!(events.last(), Some(&Event::Done));
            continue;
        };
        let sda = &reply.json()["sda"];
        assert_eq!((&sda["arm"], &sda["score"]), (&json!(arm), &json!(null)));
        assert!(sda["judge_error"].as_str().unwrap().contains("judge gave no score"), "{sda}");
    }
}
