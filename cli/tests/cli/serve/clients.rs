//! Bodies of requests as programs that many people use send them.

use serde_json::{Value, json};

use super::{CAPITAL, Event, Server, chunks};

const PIRATE: &str = "Answer like a pirate.";

fn with(mut body: Value, more: Value) -> Value {
    if let Value::Object(more) = more {
        body.as_object_mut().unwrap().extend(more);
    }
    body
}

/// What SillyTavern sends to a text completion server of the type llama.cpp, with its settings untouched.
fn sillytavern(prompt: &str) -> Value {
    let body = r#"{
        "model": "SmolLM2", "max_new_tokens": 4, "max_tokens": 4, "n_predict": 4, "num_predict": 4,
        "temperature": 0, "top_p": 1, "typical_p": 1, "typical": 1, "min_p": 0, "top_k": 0, "skew": 0, "top_a": 0,
        "tfs": 1, "repetition_penalty": 1, "rep_pen": 1, "repeat_penalty": 1, "rep_pen_range": 0,
        "repetition_penalty_range": 0, "repeat_last_n": 0, "rep_pen_slope": 1, "frequency_penalty": 0,
        "presence_penalty": 0, "min_tokens": 0, "add_bos_token": true, "smoothing_factor": 0, "smoothing_curve": 1,
        "dry_allowed_length": 2, "dry_multiplier": 0, "dry_base": 1.75, "dry_penalty_last_n": 0,
        "dry_sequence_breakers": ["\n", ":", "\"", "*"], "max_tokens_second": 0,
        "samplers": ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature",
            "adaptive_p"],
        "stopping_strings": ["\nUser:"], "stop": ["\nUser:"], "truncation_length": 1024, "num_ctx": 1024,
        "ban_eos_token": false, "ignore_eos": false, "skip_special_tokens": true, "include_reasoning": true,
        "mirostat": 0, "mirostat_mode": 0, "mirostat_tau": 5, "mirostat_eta": 0.1, "custom_token_bans": "",
        "banned_strings": [], "xtc_threshold": 0.1, "xtc_probability": 0, "nsigma": 0, "top_n_sigma": 0, "min_keep": 0,
        "adaptive_target": -0.01, "adaptive_decay": 0.9, "guidance_scale": 1, "negative_prompt": "", "n": 1,
        "logit_bias": [], "grammar": "", "cache_prompt": true, "api_type": "llamacpp",
        "api_server": "http://127.0.0.1:8080/"
    }"#;
    with(serde_json::from_str(body).unwrap(), json!({ "prompt": prompt }))
}

#[test]
fn sillytavern_is_answered_with_its_settings_untouched_and_steered_by_its_cfg() {
    let server = Server::start(&["-np", "1"]);
    // What it asks before the first message.
    assert!(server.get("/v1/models").json()["data"][0]["id"].is_string());
    assert!(server.get("/props").json()["chat_template"].is_string());
    assert!(server.ask("/tokenize", &json!({ "content": "Hi" }))["tokens"].is_array());
    let prompt = "The capital of France is";
    let plain = server.ask("/completion", &sillytavern(prompt));
    assert_eq!((&plain["content"], &plain["sda"]["arm"]), (&json!(" Paris.\n\n"), &json!("plain")));
    let events: Vec<Event> = server.stream("/completion", &sillytavern(prompt)).collect();
    let chunks = chunks(&events);
    let text: String = chunks.iter().map(|chunk| chunk["content"].as_str().unwrap()).collect();
    assert_eq!((text.as_str(), &chunks.last().unwrap()["stop"]), (" Paris.\n\n", &json!(true)));
    // The CFG of a chat: the scale, and the whole prompt with its negative text.
    let cfg = json!({ "guidance_scale": 3, "negative_prompt": "Speak of Paris.\nThe capital of France is", "n_probs": 10 });
    let steered = server.ask("/completion", &with(sillytavern(prompt), cfg));
    assert_eq!((&steered["sda"]["arm"], &steered["sda"]["guidance"]), (&json!("steered"), &json!(3.0)));
    assert_eq!(steered["timings"]["rows_per_token"], 2);
    assert_eq!(steered["completion_probabilities"][0]["top_logprobs"].as_array().unwrap().len(), 10);
    // A sampler that is not there is refused once it is turned on.
    let on = server.post("/completion", &with(sillytavern(prompt), json!({ "adaptive_target": 0.5 })));
    assert_eq!((on.status, &on.json()["error"]["param"]), (400, &json!("adaptive_target")));
}

#[test]
fn sillytaverns_chat_completion_is_steered_by_what_its_user_adds_to_the_body() {
    let server = Server::start(&["-np", "1"]);
    let body = json!({
        "messages": [
            { "role": "system", "content": "Write the assistant's next reply in a fictional chat." },
            { "role": "system", "content": "[Start a new Chat]" },
            { "role": "assistant", "content": "Ahoy! What do you want to know?" },
            { "role": "user", "content": CAPITAL },
        ],
        "model": "SmolLM2", "temperature": 1, "max_tokens": 8, "stream": true, "presence_penalty": 0,
        "frequency_penalty": 0, "top_p": 1, "stop": [], "chat_completion_source": "custom", "user_name": "User",
        "char_name": "Assistant", "group_names": [], "include_reasoning": true, "reasoning_effort": "medium",
        "enable_web_search": false, "request_images": false, "custom_url": "http://127.0.0.1:8080/v1",
        "custom_include_body": "", "custom_exclude_body": "", "custom_include_headers": "", "seed": 3,
    });
    for (added, arm) in
        [(json!({}), "plain"), (json!({ "sda": { "instruction": PIRATE, "guidance": 1.8 } }), "steered")]
    {
        let events: Vec<Event> = server.stream("/v1/chat/completions", &with(body.clone(), added)).collect();
        assert_eq!(events.last(), Some(&Event::Done));
        let chunks = chunks(&events);
        let text: String =
            chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert!(!text.is_empty(), "{events:?}");
        assert_eq!(chunks.last().unwrap()["sda"]["arm"], arm);
    }
}

#[test]
fn open_webui_is_answered_steered_by_the_command_line_and_by_its_custom_parameters() {
    let server = Server::start(&["-np", "1", "-i", PIRATE, "--guidance", "1.5", "--api-key", "k"]);
    let headers = [
        ("authorization", "Bearer k"),
        ("x-openwebui-user-name", "A%20User"),
        ("x-openwebui-user-role", "admin"),
    ];
    let id = server.get_with("/v1/models", &headers).json()["data"][0]["id"].clone();
    let body = json!({
        "stream": true, "model": id, "stream_options": { "include_usage": true },
        "messages": [
            { "role": "system", "content": "You are a guide." },
            { "role": "user", "content": [{ "type": "text", "text": CAPITAL }] },
        ],
        "temperature": 0.8, "top_p": 0.9, "min_p": 0.0, "max_tokens": 6, "frequency_penalty": 0.0, "seed": 42,
        "stop": ["\nUser:"], "logit_bias": { "10": -100 }, "tool_ids": [], "features": { "web_search": false },
        "session_id": "x", "chat_id": "y", "id": "z", "background_tasks": { "title_generation": true },
    });
    for (added, guidance) in [
        (json!({}), json!(1.5)),
        (json!({ "sda": { "instruction": "Answer in verse.", "guidance": 2 } }), json!(2.0)),
        (json!({ "sda": { "guidance": 1 } }), Value::Null),
    ] {
        let reply =
            server.post_with("/v1/chat/completions", &with(body.clone(), added).to_string(), &headers);
        assert_eq!(reply.status, 200, "{}", reply.body);
        let lines: Vec<&str> = reply.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let [.., last, usage, "[DONE]"] = lines[..] else { panic!("{}", reply.body) };
        let (last, usage): (Value, Value) =
            (serde_json::from_str(last).unwrap(), serde_json::from_str(usage).unwrap());
        assert_eq!(last["sda"]["guidance"], guidance);
        assert!(usage["usage"]["total_tokens"].as_u64().unwrap() > 6, "{usage}");
    }
    // The title of a chat is asked for without a stream.
    let title = json!({ "model": id, "stream": false, "max_completion_tokens": 8,
        "messages": [{ "role": "user", "content": "### Task:\nName this chat." }] });
    let reply = server.post_with("/v1/chat/completions", &title.to_string(), &headers).json();
    assert!(reply["choices"][0]["message"]["content"].is_string(), "{reply}");
}
