//! What the sources must be like: every function that C calls is one guarded expression, so that no export and
//! no callback lacks the guard, and unsafe code stands in three folders.

use std::collections::BTreeSet;
use std::path::Path;

use sda_test_kit::sda_h;

/// The sources, with their paths.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((
                path.display().to_string().replace(std::path::MAIN_SEPARATOR, "/"),
                std::fs::read_to_string(&path).unwrap(),
            ));
        }
    }
}

/// Where the bracket that `text` begins with is closed.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    let at = text.char_indices().find(|(_, c)| {
        depth += match c {
            '(' | '{' | '[' => 1,
            ')' | '}' | ']' => -1,
            _ => 0,
        };
        depth == 0
    });
    at.expect("brackets in the sources are balanced").0
}

/// Names and bodies of the functions with C's calling convention. Types such as `extern "C" fn(i32)` and
/// declarations have no body.
fn c_functions(source: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (at, keyword) in source.match_indices("extern \"C\" fn ") {
        let rest = &source[at + keyword.len()..];
        let parameters = rest.find('(').unwrap();
        let tail = &rest[parameters..];
        let tail = &tail[closing(tail)..];
        let (open, end) = (tail.find('{'), tail.find(';').unwrap_or(tail.len()));
        if let Some(open) = open.filter(|&open| open < end) {
            let body = &tail[open..];
            found.push((&rest[..parameters], &body[1..closing(body)]));
        }
    }
    found
}

/// Whether a body is a single call of the guard.
fn is_guarded(body: &str) -> bool {
    let code: Vec<&str> = body.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
    let code = code.join("\n");
    let code = code.trim();
    let call = code.strip_prefix("guard_or").or_else(|| code.strip_prefix("guard"));
    call.is_some_and(|call| call.starts_with('(') && matches!(&call[closing(call) + 1..], "" | ";"))
}

#[test]
fn every_export_and_every_callback_is_guarded() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let (mut exports, mut callbacks, mut public) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (path, source) in &files {
        for (name, body) in c_functions(source) {
            assert!(is_guarded(body), "{path}: {name} is not one guarded expression:\n{body}");
            (if name.starts_with("sda_") { &mut exports } else { &mut callbacks }).insert(name.to_owned());
        }
        public += source.matches("no_mangle").count() + source.matches("export_name").count();
        for other in ["extern \"C-unwind\"", "extern \"system\"", "extern \"cdecl\""] {
            assert!(!source.contains(other), "{path}: {other} is not looked at here");
        }
    }
    // None was missed: the scan finds what the header declares, and nothing else is exported.
    assert_eq!(exports, sda_h::functions(true));
    assert_eq!(public, exports.len(), "functions with a public symbol");
    for callback in ["name", "accept", "apply", "reset", "clone", "free"] {
        assert!(callbacks.contains(callback), "{callback} of a llama_sampler was not found in {callbacks:?}");
    }
}

/// Cargo.toml denies unsafe code; these are the rooms that lift it.
#[test]
fn unsafe_code_is_allowed_in_three_folders_only() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut rooms: Vec<&str> = files
        .iter()
        .filter(|(_, source)| source.contains("allow(unsafe_code"))
        .map(|(path, _)| path.rsplit_once("src/").unwrap().1)
        .collect();
    rooms.sort_unstable();
    assert_eq!(rooms, ["ffi/mod.rs", "host/mod.rs", "llama/mod.rs"]);
}

#[test]
fn a_function_without_a_guard_is_noticed() {
    let source = r#"
        type Callback = unsafe extern "C" fn(i32) -> i32;
        unsafe extern "C" fn good(a: Option<unsafe extern "C" fn(i32)>) -> i32 {
            // SAFETY: none.
            guard(|| Ok(()))
        }
        unsafe extern "C" fn early(a: i32) { if a == 0 { return; } guard_or((), || ()); }
        unsafe extern "C" fn late(a: i32) { guard_or((), || ()); work(a); }
        unsafe extern "C" fn none() -> i32 { work(1) }
    "#;
    let found: Vec<(&str, bool)> =
        c_functions(source).into_iter().map(|(name, body)| (name, is_guarded(body))).collect();
    assert_eq!(found, [("good", true), ("early", false), ("late", false), ("none", false)]);
}
