//! Steering by requests and by the command line.

use serde_json::{Value, json};

use super::{CAPITAL, Event, Server, chunks, content, generated, question};

const PIRATE: &str = "Answer like a pirate.";

#[test]
fn a_steered_answer_is_the_one_of_sda_generate() {
    let server = Server::start(&["-np", "1"]);
    for (more, args) in [
        (
            json!({ "seed": 7, "temperature": 0.8, "sda": { "instruction": PIRATE, "guidance": 2.5 } }),
            &["-s", "7", "--temp", "0.8", "-i", PIRATE, "--guidance", "2.5"][..],
        ),
        (
            json!({ "seed": 8, "temperature": 1, "top_k": 20, "top_p": 0.9, "min_p": 0.01,
                "repeat_penalty": 1.1, "repeat_last_n": 32, "frequency_penalty": 0.1, "presence_penalty": 0.1,
                "sda": { "instruction": PIRATE, "score": 30, "k": 3, "sigma": "inf", "t_min": 0.2,
                    "max_kl": 2, "mean_kl": "inf", "amplify": "linear", "placement": "system" } }),
            &[
                "-s",
                "8",
                "--temp",
                "1",
                "--top-k",
                "20",
                "--top-p",
                "0.9",
                "--min-p",
                "0.01",
                "--repeat-penalty",
                "1.1",
                "--repeat-last-n",
                "32",
                "--frequency-penalty",
                "0.1",
                "--presence-penalty",
                "0.1",
                "-i",
                PIRATE,
                "--score",
                "30",
                "-k",
                "3",
                "--sigma",
                "inf",
                "--t-min",
                "0.2",
                "--max-kl",
                "2",
                "--mean-kl",
                "inf",
                "--amplify",
                "linear",
                "--instruction-placement",
                "system",
            ],
        ),
        (
            json!({ "temperature": 0, "sda": { "preset": "empathy", "amplification": 0.25 } }),
            &["--temp", "0", "--preset", "empathy", "-a", "0.25"],
        ),
        (
            json!({ "temperature": 0, "guidance_scale": 2, "negative_prompt": "Answer in French.",
                "sda": { "instruction": PIRATE } }),
            &["--temp", "0", "-i", PIRATE, "--guidance", "2", "--negative-prompt", "Answer in French."],
        ),
        (json!({ "temperature": 0 }), &["--temp", "0"]),
    ] {
        let mut more = more;
        (more["max_tokens"], more["cache_prompt"]) = (24.into(), false.into());
        let reply = server.chat(CAPITAL, &more);
        let expected = generated(&[&["-n", "24"], args].concat());
        assert_eq!(content(&reply), expected["text"].as_str().unwrap(), "{more}");
        if reply["sda"]["arm"] == "steered" {
            for field in ["guidance", "amplification", "score", "mean_js"] {
                assert_eq!(reply["sda"][field], expected[field], "{field} of {more}");
            }
        }
    }
}

#[test]
fn an_unmodified_client_is_steered_by_the_command_line_and_may_say_otherwise() {
    let server = Server::start(&["-np", "1", "-i", PIRATE, "--guidance", "1.5", "-n", "16", "-s", "1"]);
    let ask = |more: Value| {
        let mut more = more;
        more["cache_prompt"] = false.into();
        server.chat(CAPITAL, &more)
    };
    let steered = ask(json!({}));
    assert_eq!((&steered["sda"]["arm"], &steered["sda"]["guidance"]), (&json!("steered"), &json!(1.5)));
    assert_eq!(steered["timings"]["rows_per_token"], 2);
    let args = ["-n", "16", "--temp", "0", "-i", PIRATE, "--guidance", "1.5"];
    assert_eq!(content(&steered), generated(&args)["text"].as_str().unwrap());
    let stronger = ask(json!({ "cfg_scale": 3 }));
    assert_eq!(stronger["sda"]["guidance"], 3.0);
    // 1 is off, whatever else is sent: the instruction is asked for, and not amplified.
    for more in [
        json!({ "guidance_scale": 1 }),
        json!({ "guidance_scale": 1, "negative_prompt": "" }),
        json!({ "cfg_scale": 1, "cfg_negative_prompt": "In French." }),
        json!({ "sda": { "guidance": 1 } }),
    ] {
        let off = ask(more.clone());
        assert_eq!(
            (&off["sda"]["arm"], &off["timings"]["rows_per_token"]),
            (&json!("instructed"), &json!(1))
        );
        assert_eq!(off["sda"]["guidance"], Value::Null, "{more}");
    }
    let none = ask(json!({ "sda": { "instruction": "" } }));
    assert_eq!(none["sda"]["arm"], "plain");
    // Text completions are steered, too: the instruction goes before the text.
    let text = server.ask("/v1/completions", &json!({ "prompt": "Once upon a time", "max_tokens": 4 }));
    assert_eq!(text["sda"]["arm"], "steered");
}

#[test]
fn a_negative_prompt_of_a_text_is_the_whole_plain_prompt() {
    let server = Server::start(&["-np", "1"]);
    let ask = |more: Value| {
        let mut body = json!({ "prompt": "The capital of France is", "n_predict": 4, "temperature": 0,
            "cache_prompt": false });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.ask("/completion", &body)
    };
    let plain = ask(json!({}));
    let off = ask(json!({ "guidance_scale": 1, "negative_prompt": "The capital of France is" }));
    assert_eq!((&plain["content"], &plain["sda"]["arm"]), (&json!(" Paris.\n\n"), &json!("plain")));
    assert_eq!(off["content"], plain["content"], "what SillyTavern sends where nothing is to be steered");
    // Paris, unless it is what the plain prompt leads to.
    let away =
        ask(json!({ "guidance_scale": 4, "negative_prompt": "France: Paris. Germany: Berlin. France:",
        "sda": { "mean_kl": "inf" } }));
    assert_eq!(away["sda"]["arm"], "steered");
    assert_ne!(away["content"], plain["content"]);
    assert_eq!(away["timings"]["rows_per_token"], 2);
}

#[test]
fn a_trace_has_what_each_token_was_drawn_from() {
    let server = Server::start(&["-np", "1", "--max-instructions", "2"]);
    let more = json!({ "max_tokens": 5, "sda": { "instruction": PIRATE, "guidance": 2, "trace": true,
        "trace_top": 2 } });
    let reply = server.chat(CAPITAL, &more);
    let trace = reply["choices"][0]["sda"]["trace"].as_array().unwrap();
    assert_eq!(trace.len(), 5);
    let text: String = trace.iter().map(|token| token["text"].as_str().unwrap()).collect();
    assert_eq!(text, content(&reply));
    for token in trace {
        assert!(token["js"].as_f64().unwrap() >= 0.0 && token["logprob_plain"].is_number(), "{token}");
        assert_eq!(token["top_steered"].as_array().unwrap().len(), 2);
    }
    let events: Vec<Event> = server.stream("/v1/chat/completions", &question(CAPITAL, &more)).collect();
    let streamed = chunks(&events);
    let streamed: Vec<&Value> =
        streamed.iter().map(|chunk| &chunk["sda"]["token"]).filter(|token| token.is_object()).collect();
    assert_eq!(streamed.len(), 5, "{events:?}");
    // Several instructions, of which one is to be avoided.
    let several = json!({ "max_tokens": 4, "sda": { "guidance": 2, "instruction": [PIRATE,
        { "text": "Mention Paris.", "weight": -0.5 }] } });
    let several = server.chat(CAPITAL, &several);
    assert_eq!(several["timings"]["rows_per_token"], 3, "{several}");
}
