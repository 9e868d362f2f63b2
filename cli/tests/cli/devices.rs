//! Which devices compute. These tests hold for a build without a backend for devices; `make test-vulkan` has others.

use crate::command::{model, one_thread, refused, run, stderr, stdout};

#[test]
fn devices_are_listed_without_a_model_or_a_prompt() {
    for args in [
        &["generate", "--list-devices"][..],
        &["serve", "--list-devices", "-m", "x.gguf"],
        &["score", "--list-devices"],
    ] {
        let text = stdout(&run(args));
        assert!(text.starts_with("Available devices:\n  "), "{text}");
        assert!(!text.contains("CPU:"), "{text}");
    }
    // After -- it is a text like others.
    assert_eq!(run(&["generate", "--", "--list-devices"]).status.code(), Some(2));
}

#[test]
fn layers_on_devices_are_said_to_be_of_no_effect_where_there_is_none() {
    if !stdout(&run(&["generate", "--list-devices"])).contains("(none)") {
        return;
    }
    // Apple's builds have Metal, also where the machine has no GPU for it.
    let reason = if cfg!(target_vendor = "apple") { "" } else { "this build has no backend for devices" };
    let generate = |args: &[&str]| {
        let model = model();
        let common = ["generate", "-m", &model, "-p", "Hi", "-i", "Be brief.", "-n", "2", "--temp", "0"];
        one_thread(&[&common, args].concat()).output().unwrap()
    };
    let plain = stdout(&generate(&[]));
    for (args, option) in [
        (&["-ngl", "99"][..], "--n-gpu-layers"),
        (&["-ngl", "all"], "--n-gpu-layers"),
        (&["-sm", "row"], "--split-mode"),
        (&["-ts", "3,1"], "--tensor-split"),
        (&["-mg", "1"], "--main-gpu"),
    ] {
        let output = generate(args);
        assert_eq!(stdout(&output), plain);
        let warning = format!("sda: warning: {option} is of no effect: {reason}");
        assert!(stderr(&output).contains(&warning), "{}", stderr(&output));
    }
    for args in [&[][..], &["-ngl", "auto"], &["-ngl", "0"], &["-dev", "none"]] {
        let output = generate(args);
        assert_eq!((stdout(&output), stderr(&output).contains("warning")), (plain.clone(), false));
    }
}

#[test]
fn what_no_device_is_called_and_what_no_split_can_be_is_refused() {
    assert!(refused(&["-dev", "Foo9"]).contains("devices is Foo9, must be "));
    assert!(refused(&["-ngl", "-5"]).contains("must be auto, all, or 0 to 2147483647"));
    assert!(refused(&["-sm", "rows"]).contains("must be none, layer, row or tensor"));
    assert!(refused(&["-ts", "1,-1"]).contains("tensor_split is -1, must be at least 0 and finite"));
    assert!(refused(&["-ts", "0"]).contains("tensor_split is 0 for each device"));
}
