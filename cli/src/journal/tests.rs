use super::*;
use crate::failure::message;
use crate::input::Source;
use serde::Deserialize;

/// A result of a command, and of one that has failed.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Scored {
    score: usize,
    draft: Option<String>,
}

#[derive(Serialize)]
struct Failed {
    error: &'static str,
}

const INPUT: &str = "{\"query\":\"a\"}\n\n{\"id\":7,\"query\":\"b\"}\r\n{\"id\":\"x\",\"query\":\"ü\"}";

fn given(text: &str) -> Result<Vec<Given>, String> {
    given::parse(&Source::new("in.jsonl", text)).map_err(|failure| message(&failure).to_owned())
}

fn read(text: &str, settings: &str) -> Vec<Input> {
    given(text).unwrap().iter().map(|given| given.input("q", None, &settings)).collect()
}

fn inputs() -> Vec<Input> {
    read(INPUT, "settings")
}

fn scored(score: usize) -> Scored {
    Scored { score, draft: Some("é".into()) }
}

fn open(path: &Path, inputs: &[Input]) -> Result<Journal<Scored>, String> {
    Journal::open_file(path, inputs, false)
}

/// A folder and a file in it with a result for each input, the second one failed.
fn run() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    let mut journal = open(&path, &inputs()).unwrap();
    for (n, input) in inputs().iter().enumerate() {
        let written = match n {
            1 => journal.append_failure(input, &Failed { error: "no" }),
            n => journal.append(input, scored(n)),
        };
        assert!(written.is_ok());
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
    let other = read(INPUT, "other settings");
    assert!(other.iter().zip(&keys).all(|(input, key)| input.key != *key));
    let moved = read("{ \"query\": \"ü\", \"id\": \"x\" }", "settings");
    assert_eq!(moved[0].key, keys[2], "order and white space do not count");
    let digits = read("{\"id\":10000000000000000000001}\n{\"id\":10000000000000000000002}", "settings");
    assert!(digits[0].key.starts_with("10000000000000000000001#") && digits[0].key != digits[1].key);
}

#[test]
fn a_result_holds_the_record_as_it_was_whatever_its_fields_are_called() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    let record = r#"{"score": "mine", "key": 1000, "record": [], "n": 123456789012345678901234, "x": 1e400}"#;
    let inputs = read(record, "settings");
    assert!(open(&path, &inputs).unwrap().append(&inputs[0], scored(7)).is_ok());
    let text = std::fs::read_to_string(&path).unwrap();
    let rest = r#","draft":"é","query":"q","record":{"score":"mine","key":1000,"record":[],"n":123456789012345678901234,"x":1e400},"score":7}"#;
    assert_eq!(text, format!("{{\"key\":{}{rest}\n", Value::from(inputs[0].key.as_str())));
    assert_eq!(open(&path, &inputs).unwrap().result(&inputs[0].key), Some(&scored(7)));
    // It can be read as a record, which is the one that it is the result of.
    let again = &given(&text).unwrap()[0];
    assert_eq!(again.record, given(record).unwrap()[0].record);
    assert_eq!(again.scored(), Some(Ok(7.0)));
    let failed = text.replace("\"score\":7", "\"error\":\"no\",\"score\":null");
    assert_eq!(given(&failed).unwrap()[0].scored(), Some(Err("no".into())));
    // A result of 0.1.0 is a record like any other.
    let old = "{\"key\":\"x#0f1e2d3c4b5a6978\",\"query\":\"a\",\"record\":{},\"score\":1}";
    let old = &given(old).unwrap()[0];
    assert_eq!((old.record.fields().len(), old.scored()), (4, None));
}

#[test]
fn a_record_with_two_scores_is_two_records() {
    let scored =
        |score| format!("{{\"key\":\"1#2:0f1e2d3c4b5a6978\",\"record\":{{\"id\":1}},\"score\":{score}}}\n");
    let inputs = read(&(scored(3) + &scored(51)), "settings");
    assert_ne!(inputs[0].key, inputs[1].key);
}

#[test]
fn bad_input_is_refused_with_its_line() {
    for (text, why) in [
        ("\n \n", "in.jsonl: holds no record, must hold at least 1"),
        ("{}\nnull", "in.jsonl: line 2: not a JSON object"),
        ("{\"a\":1", "in.jsonl: line 1: not a JSON object"),
        ("\n{\"id\":[1]}", "in.jsonl: line 2: \"id\" is neither"),
        ("{\"id\":1}\n{\"id\":2}\n{\"id\":1}", "in.jsonl: lines 1 and 3 are the same record"),
    ] {
        let error = given(text).unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
}

#[test]
fn a_field_of_another_type_is_named_with_its_line() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Asked {
        query: Option<String>,
        score: Option<f32>,
    }
    let input = &given("\n{\"query\":\"q\",\"score\":null,\"x\":1e999}").unwrap()[0];
    assert_eq!(input.typed(), Ok(Asked { query: Some("q".into()), score: None }));
    let input = &given("\n{\"query\":1}").unwrap()[0];
    assert_eq!(input.typed::<Asked>().unwrap_err(), "line 2: query is 1, must be a text");
}

#[test]
fn a_second_run_finds_what_is_done_and_drops_what_has_failed() {
    let (dir, path) = run();
    let inputs = inputs();
    assert_eq!(keys(&path).len(), 3);
    let mut journal = open(&path, &inputs).unwrap();
    assert_eq!(journal.len(), 2);
    assert_eq!(journal.result(&inputs[2].key), Some(&scored(2)));
    assert!(journal.result(&inputs[1].key).is_none());
    assert_eq!(keys(&path), [&*inputs[0].key, &*inputs[2].key]);
    assert!(journal.append(&inputs[1], scored(1)).is_ok());
    assert_eq!(journal.len(), 3);
    drop(journal);
    assert_eq!(open(&path, &inputs).unwrap().len(), 3);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside");
}

#[test]
fn a_result_is_found_again_whatever_number_the_id_of_its_record_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    let inputs = read("{\"id\":1e999}\n{\"id\":-0.50}\n{\"id\":\"a\"}", "settings");
    let mut journal = open(&path, &inputs).unwrap();
    assert!(inputs.iter().all(|input| journal.append(input, scored(1)).is_ok()));
    drop(journal);
    assert_eq!(open(&path, &inputs).unwrap().len(), 3);
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
                assert!(journal.append(input, scored(9)).is_ok());
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
fn a_result_of_the_first_version_is_told_from_one_of_other_settings() {
    let (_dir, path) = run();
    let old = "{\"key\":\"line 1#0f1e2d3c4b5a6978\",\"query\":\"a\",\"score\":1}\n";
    std::fs::write(&path, old).unwrap();
    let why = open(&path, &inputs()).unwrap_err();
    assert!(why.starts_with("line 1: ") && why.contains("sda 0.1.0") && why.contains("start over"), "{why}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), old);
    assert_eq!(Journal::<Scored>::open_file(&path, &inputs(), true).unwrap().len(), 0);
}

#[test]
fn a_result_that_lacks_a_field_is_refused_and_the_file_left_as_it_is() {
    let (_dir, path) = run();
    let changed = std::fs::read_to_string(&path).unwrap().replacen("\"score\"", "\"scor\"", 1);
    std::fs::write(&path, &changed).unwrap();
    let why = open(&path, &inputs()).unwrap_err();
    assert!(why.starts_with("line 1: not a result of this command (score is missing)"), "{why}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), changed);
}

#[test]
fn starting_over_drops_results_of_any_settings_but_no_other_text() {
    let (_dir, path) = run();
    let other = read(INPUT, "other settings");
    assert!(open(&path, &other).unwrap_err().contains("other input or settings"));
    assert_eq!(Journal::<Scored>::open_file(&path, &other, true).unwrap().len(), 0);
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    std::fs::write(&path, INPUT).unwrap();
    assert!(Journal::<Scored>::open_file(&path, &other, true).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), INPUT);
}

#[test]
fn a_file_in_use_cannot_be_opened_again_also_after_it_was_exchanged() {
    let (_dir, path) = run();
    let before = std::fs::File::open(&path).unwrap();
    let journal = open(&path, &inputs()).unwrap();
    for _ in 0..2 {
        assert_eq!(open(&path, &inputs()).unwrap_err(), "another process is writing to it");
    }
    assert!(before.try_lock().is_err(), "the file that was there before is locked, too");
    drop(journal);
    assert!(open(&path, &inputs()).is_ok());
}
