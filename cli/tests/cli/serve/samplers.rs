//! The samplers of a request.

use serde_json::{Value, json};

use super::{Server, content};

const QUERY: &str = "Tell me about rain.";

#[test]
fn a_request_has_its_own_samplers_and_the_others_are_those_of_the_command_line() {
    let server = Server::start(&["-np", "1", "--xtc-probability", "1", "--xtc-threshold", "0.6"]);
    let answer = |more: Value| {
        let mut body = json!({ "max_tokens": 12, "seed": 3, "temperature": 0.9, "cache_prompt": false });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        content(&server.chat(QUERY, &body)).to_owned()
    };
    let free = answer(json!({}));
    // Above 0.5 XTC is off.
    assert_eq!(answer(json!({ "xtc_probability": 0 })), free);
    for (body, on) in [
        (json!({ "xtc_threshold": 0.1 }), true),
        (json!({ "typical_p": 0.1 }), true),
        (json!({ "top_n_sigma": 0.1 }), true),
        (json!({ "dynatemp_range": 0.9 }), true),
        (json!({ "dynatemp_exponent": 2 }), false),
        (json!({ "xtc_probability": 0, "mirostat": 2, "mirostat_tau": 9 }), true),
        (json!({ "mirostat_eta": 1 }), false),
        (json!({ "dry_base": 3, "dry_allowed_length": 1 }), false),
        (json!({ "samplers": [] }), true),
        (json!({ "samplers": ["top_p", "Temperature"] }), true),
        (json!({ "samplers": "tedskypmx" }), false),
    ] {
        assert_eq!(answer(body.clone()) != free, on, "{body}");
    }
    let best = answer(json!({ "temperature": 0 }));
    assert_eq!(answer(json!({ "top_k": 1, "samplers": "kt" })), best);
    let repeated = json!({ "temperature": 0, "max_tokens": 40, "dry_multiplier": 30, "dry_allowed_length": 0,
        "dry_penalty_last_n": -1, "dry_sequence_breakers": [] });
    assert!(!answer(repeated).starts_with(&answer(json!({ "temperature": 0, "max_tokens": 40 }))));
    let ended = json!({ "logit_bias": { "2": 100 }, "max_tokens": 3 });
    assert_eq!(answer(ended), "");
    assert_ne!(answer(json!({ "logit_bias": { "2": 100 }, "max_tokens": 3, "ignore_eos": true })), "");
}

#[test]
fn a_reply_shows_the_samplers_by_llama_servers_names() {
    let server = Server::start(&["-np", "1", "--dry-multiplier", "0.8"]);
    let reply = server.ask(
        "/completion",
        &json!({ "prompt": "Rain", "n_predict": 1, "typical_p": 0.5, "samplers": ["typ_p", "temperature"] }),
    );
    let settings = &reply["generation_settings"];
    assert_eq!(settings["typical_p"], 0.5);
    assert_eq!(settings["samplers"], json!(["typ_p", "temperature"]));
    assert!((settings["dry_multiplier"].as_f64().unwrap() - 0.8).abs() < 1e-6, "{settings}");
    assert_eq!((&settings["mirostat"], &settings["ignore_eos"]), (&json!(0), &json!(false)));
}
