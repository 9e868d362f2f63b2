//! What must hold for any list of records, and for any file that results are to go into.

use super::{Input, given, held, line};
use crate::input::{self, Source};
use crate::prompts;
use crate::record::{Answer, Assessed, Draft, EvalReport, Judgement, Query, Scored};

/// Checks some bytes as a list, as a file of results and as typed lines.
///
/// # Panics
/// Where something does not hold.
pub fn lines(bytes: &[u8]) {
    let mut typed = bytes;
    let mut is_first = true;
    while let Ok(Some(text)) = input::read_line(&mut typed, is_first) {
        assert!(!text.ends_with('\n'));
        is_first = false;
    }
    let score = 51.5;
    let judge = Judgement { name: "j".into(), ms: 1.0, attempts: None, cached: None, spread: None };
    let assessed = Assessed { score: Some(score), samples: None, error: None, judge };
    let scored = Scored { assessed, draft: None };
    let _ = held::<Scored>(bytes, &[], true);
    let Ok(source) = Source::of("list.jsonl".into(), bytes.to_vec()) else { return };
    assert!(!source.text.starts_with('\u{feff}') || bytes.starts_with(b"\xef\xbb\xbf\xef\xbb\xbf"));
    let _ = prompts::is_list(&source.text);
    for (_, text) in source.lines() {
        let _ = EvalReport::read(text);
        let _ = input::object::<Answer>(text);
    }
    let Ok(records) = given::parse(&source) else { return };
    assert_eq!(records.len(), source.lines().count());
    let mut inputs: Vec<Input> = Vec::new();
    for given in &records {
        let record = given.record.as_str();
        assert!(!record.contains('\n') && input::object::<serde::de::IgnoredAny>(record).is_ok());
        let _ = given.scored();
        let _ = given.typed::<Draft>();
        let query = given.typed::<Query>().ok().and_then(|asked| asked.query.or(asked.prompt));
        inputs.push(given.input(&query.unwrap_or_default(), None, &"settings"));
    }
    // What is written is what the next run reads, and a list again.
    let written: String = inputs.iter().map(|input| line(input, &scored)).collect();
    let keys: std::collections::HashSet<&str> = inputs.iter().map(|input| input.key.as_str()).collect();
    assert_eq!(keys.len(), inputs.len(), "two records have the same key");
    let held = held::<Scored>(written.as_bytes(), &inputs, false);
    let held = held.unwrap_or_else(|why| panic!("{why}: {written}"));
    assert!(inputs.iter().all(|input| held.results.get(&input.key) == Some(&scored)));
    let Ok(again) = given::parse(&Source { name: String::new(), text: written.clone() }) else {
        // A record that was there with two scores has got the same one twice.
        return assert!(records.iter().any(|given| given.scored().is_some()), "{written}");
    };
    for (given, again) in records.iter().zip(&again) {
        assert_eq!((&given.record, Some(Ok(score))), (&again.record, again.scored()), "{written}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_must_hold_for_any_list_holds_for_the_seeds() {
        crate::fuzz::each_seed("json_lines", super::lines);
    }
}
