use super::*;
use serde_json::json;

const INPUT: &str = "{\"query\":\"a\"}\n\n{\"id\":7,\"query\":\"b\"}\r\n{\"id\":\"x\",\"query\":\"ü\"}";

fn inputs() -> Vec<Input> {
    parse(INPUT.as_bytes(), "settings").unwrap()
}

fn fields(value: Value) -> Fields {
    value.as_object().unwrap().clone()
}

fn open(path: &Path, inputs: &[Input]) -> Result<Journal, String> {
    Journal::open_file(path, inputs, false)
}

/// A folder and a file in it with a result for each input, the second one failed.
fn run() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    let mut journal = open(&path, &inputs()).unwrap();
    for (n, input) in inputs().iter().enumerate() {
        let result = if n == 1 { json!({ "error": "no" }) } else { json!({ "score": n, "draft": "é" }) };
        assert!(journal.append(input, fields(result)).is_ok());
    }
    (dir, path)
}

fn keys(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| result(line.as_bytes()).unwrap().0).collect()
}

#[test]
fn a_key_is_the_id_or_the_line_and_a_hash_of_content_and_settings() {
    let keys: Vec<String> = inputs().into_iter().map(|input| input.key).collect();
    let names: Vec<&str> = keys.iter().map(|key| key.rsplit_once('#').unwrap().0).collect();
    assert_eq!(names, ["line 1", "7", "x"]);
    let other = parse(INPUT.as_bytes(), "other settings").unwrap();
    assert!(other.iter().zip(&keys).all(|(input, key)| input.key != *key));
    let moved = parse(b"{\"id\":\"x\",\"query\":\"\xc3\xbc\",\"error\":\"old\",\"key\":\"old\"}", "settings");
    let moved = &moved.unwrap()[0];
    assert_eq!(moved.key, keys[2], "what another command left does not count");
    assert_eq!(moved.error.as_deref(), Some("old"), "but a failure is not forgotten");
}

#[test]
fn bad_input_is_refused_with_its_line() {
    let cases: [(&[u8], &str); 5] = [
        (b"{}\nnull", "line 2: not a JSON object"),
        (b"{\"a\":1", "line 1: not a JSON object"),
        (b"{\"id\":[1]}", "line 1: \"id\" is neither"),
        (b"{\"id\":1}\n{\"id\":2}\n{\"id\":1}", "lines 1 and 3 are the same record"),
        (b"\xff", "not UTF-8"),
    ];
    for (bytes, message) in cases {
        let why = parse(bytes, "").unwrap_err();
        assert!(why.contains(message), "{why}");
    }
}

#[test]
fn a_field_of_another_type_is_named_with_its_line() {
    let input = &parse(b"\n{\"query\":1,\"score\":\"2\",\"x\":null}", "").unwrap()[0];
    assert!(matches!(input.text("x"), Ok(None)));
    assert!(matches!(input.number("query"), Ok(Some(1.0))));
    for bad in [input.text("query").map(drop), input.number("score").map(drop)] {
        assert!(matches!(bad, Err(Failure::Failed(why)) if why.starts_with("line 2: ")));
    }
}

#[test]
fn a_second_run_finds_what_is_done_and_drops_what_has_failed() {
    let (dir, path) = run();
    let inputs = inputs();
    assert_eq!(keys(&path).len(), 3);
    let mut journal = open(&path, &inputs).unwrap();
    assert_eq!(journal.len(), 2);
    assert_eq!(journal.result(&inputs[2].key).unwrap()["score"], 2);
    assert_eq!(journal.result(&inputs[2].key).unwrap()["query"], "ü");
    assert!(journal.result(&inputs[1].key).is_none());
    assert_eq!(keys(&path), [&*inputs[0].key, &*inputs[2].key]);
    assert!(journal.append(&inputs[1], fields(json!({ "score": 1 }))).is_ok());
    assert_eq!(journal.len(), 3);
    drop(journal);
    assert_eq!(open(&path, &inputs).unwrap().len(), 3);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside");
}

#[test]
fn a_file_cut_at_any_byte_loses_only_the_torn_result() {
    let (_dir, path) = run();
    let inputs = inputs();
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut journal = open(&path, &inputs).unwrap();
        // A line that lacks only its end is whole.
        let ends = whole.iter().enumerate().filter(|&(at, &b)| b == b'\n' && at <= cut).count();
        assert_eq!(journal.len(), ends - usize::from(ends >= 2), "cut at {cut}");
        for input in &inputs {
            if journal.result(&input.key).is_none() {
                assert!(journal.append(input, fields(json!({ "score": 9 }))).is_ok());
            }
        }
        drop(journal);
        let mut found = keys(&path);
        found.sort();
        let mut wanted: Vec<&str> = inputs.iter().map(|input| input.key.as_str()).collect();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "cut at {cut}");
    }
}

#[test]
fn a_file_of_somebody_else_is_left_as_it_is() {
    let (_dir, path) = run();
    let good = std::fs::read_to_string(&path).unwrap();
    let first = good.lines().next().unwrap();
    for text in [
        INPUT.to_owned(),
        "notes".to_owned(),
        "{\"query\":\"a\"}".to_owned(),
        format!("{good}notes\n"),
        format!("notes\n{good}"),
        format!("{good}{first}\n"),
        good.replace("line 1#", "line 9#"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let why = open(&path, &inputs()).unwrap_err();
        assert!(why.starts_with("line "), "{why}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn starting_over_drops_results_of_any_settings_but_no_other_text() {
    let (_dir, path) = run();
    let other = parse(INPUT.as_bytes(), "other settings").unwrap();
    assert!(open(&path, &other).unwrap_err().contains("other input or settings"));
    assert_eq!(Journal::open_file(&path, &other, true).unwrap().len(), 0);
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    std::fs::write(&path, INPUT).unwrap();
    assert!(Journal::open_file(&path, &other, true).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), INPUT);
}

#[test]
fn a_file_in_use_cannot_be_opened_again_also_after_it_was_exchanged() {
    let (_dir, path) = run();
    let before = File::open(&path).unwrap();
    let journal = open(&path, &inputs()).unwrap();
    for _ in 0..2 {
        assert_eq!(open(&path, &inputs()).unwrap_err(), "another process is writing to it");
    }
    assert!(before.try_lock().is_err(), "the file that was there before is locked, too");
    drop(journal);
    assert!(open(&path, &inputs()).is_ok());
}
