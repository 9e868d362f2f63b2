//! What a server tells of itself.

use serde_json::json;

use super::Server;
use crate::command::model;

#[test]
fn its_properties_are_those_of_the_command_line() {
    let args =
        ["-np", "3", "-i", "Be brief.", "--guidance", "1.5", "--temp", "0.25", "--top-k", "7", "-n", "99"];
    let more = ["--alias", "guide", "--queue", "5", "--trace-top", "4", "--sigma", "inf", "-k", "2"];
    let server = Server::start(&[&args[..], &more].concat());
    let props = server.get("/props").json();
    let settings = &props["default_generation_settings"];
    assert_eq!(settings["n_ctx"], 1024);
    let params = &settings["params"];
    for (name, value) in [
        ("temperature", json!(0.25)),
        ("top_k", json!(7)),
        ("n_predict", json!(99)),
        ("max_tokens", json!(99)),
        ("stop", json!([])),
        ("grammar", json!("")),
    ] {
        assert_eq!(params[name], value, "{name}");
    }
    assert_eq!((&params["sda"]["sigma"], &params["sda"]["k"]), (&json!("inf"), &json!(2.0)));
    for (name, value) in [
        ("total_slots", json!(3)),
        ("model_alias", json!("guide")),
        ("model_path", json!(model())),
        ("modalities", json!({ "vision": false, "audio": false })),
        ("is_sleeping", json!(false)),
    ] {
        assert_eq!(props[name], value, "{name}");
    }
    assert!(props["chat_template"].as_str().unwrap().contains("im_start"));
    assert!(props["build_info"].as_str().unwrap().starts_with("sda-"));
    let expected = json!({ "instruction": "Be brief.", "guidance": 1.5, "judge": false, "max_instructions": 1,
        "queue": 5, "trace_top": 4 });
    assert_eq!(props["sda"], expected);
    let model = server.get("/v1/models").json()["data"][0].clone();
    assert_eq!((&model["id"], &model["meta"]["n_ctx"]), (&json!("guide"), &json!(1024)));
    assert_eq!(model["meta"]["n_vocab"], 49152);
    let slots = server.get("/slots").json();
    assert_eq!(slots.as_array().unwrap().len(), 3);
    assert_eq!((&slots[2]["id"], &slots[2]["sda"]["phase"]), (&json!(2), &json!("idle")));
    // There is nothing to set, as in a llama-server without --props.
    let set = server.post("/props", &json!({ "chat_template": "x" }));
    assert_eq!((set.status, &set.json()["error"]["type"]), (501, &json!("not_supported_error")));
}

#[test]
fn a_judge_of_the_command_line_decides_the_guidance_and_the_properties_say_so() {
    let server = Server::start(&["-np", "1", "-i", "Be brief.", "--judge", "local", "--no-template"]);
    let props = server.get("/props").json();
    assert_eq!((&props["sda"]["judge"], &props["sda"]["guidance"]), (&json!(true), &json!(null)));
    assert_eq!(props["chat_template"], "");
}
