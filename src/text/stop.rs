//! Texts that end an answer.

use crate::error::{Error, Result};

/// Watches a stream of text for stop texts. Text that might become one is held back, so nothing of a
/// stop text is ever shown. The one that begins first in the text ends it.
#[derive(Debug, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
    /// For each byte of it, whether it is shown.
    shown: Vec<bool>,
    /// The stop text that has come, by its place.
    found: Option<usize>,
}

impl StopMatcher {
    /// Watches for these texts.
    pub fn new(stops: &[String]) -> Result<StopMatcher> {
        if stops.iter().any(String::is_empty) {
            return Err(Error::param("stop", "\"\"", "a text of at least one character"));
        }
        Ok(StopMatcher { stops: stops.to_vec(), held: String::new(), shown: Vec::new(), found: None })
    }

    /// Adds text. Returns what may be shown now, and whether a stop text has come; after that nothing
    /// more may be added.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.add(text, true)
    }

    /// Adds text that is not shown, such as a control token's, and may be a stop text or a part of one.
    pub fn push_hidden(&mut self, text: &str) -> (String, bool) {
        self.add(text, false)
    }

    fn add(&mut self, text: &str, shown: bool) -> (String, bool) {
        self.held.push_str(text);
        self.shown.resize(self.held.len(), shown);
        let places = self.stops.iter().enumerate();
        let found = places.filter_map(|(i, stop)| Some((self.held.find(stop.as_str())?, i))).min();
        if let Some((start, i)) = found {
            self.found = Some(i);
            return (self.release(start), true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        (self.release(self.held.len() - keep), false)
    }

    /// Lets go of the first bytes, and returns what is shown of them.
    fn release(&mut self, bytes: usize) -> String {
        let mut shown = self.shown.drain(..bytes);
        // All bytes of a character are alike, and all are taken.
        let is_shown = |c: &char| shown.by_ref().take(c.len_utf8()).filter(|shown| !shown).count() == 0;
        self.held.drain(..bytes).filter(is_shown).collect()
    }

    /// The stop text that has come; of several that begin together the first of the list.
    pub fn found(&self) -> Option<&str> {
        self.found.map(|i| self.stops[i].as_str())
    }

    /// Ends the stream; returns what was held back.
    pub fn finish(&mut self) -> String {
        self.release(self.held.len())
    }
}

/// Length of the longest end of `text` that is a beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let ends = stop.char_indices().map(|(i, _)| i).skip(1);
    ends.filter(|&n| text.ends_with(&stop[..n])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All that is shown, and whether the text was stopped.
    fn stream(pieces: &[String], stops: &[String]) -> (String, bool) {
        let mut matcher = StopMatcher::new(stops).unwrap();
        let mut shown = String::new();
        for piece in pieces {
            let (text, stopped) = matcher.push(piece);
            shown.push_str(&text);
            if stopped {
                return (shown, true);
            }
        }
        shown.push_str(&matcher.finish());
        (shown, false)
    }

    #[test]
    fn an_empty_stop_text_is_refused() {
        let error = StopMatcher::new(&[String::new()]).unwrap_err();
        assert_eq!(error.to_string(), "stop is \"\", must be a text of at least one character");
    }

    #[test]
    fn a_false_start_is_shown_in_the_end() {
        let pieces = ["a\nUs", "ing"].map(String::from);
        assert_eq!(stream(&pieces, &["\nUser:".into()]), ("a\nUsing".into(), false));
    }

    #[test]
    fn hidden_text_is_matched_and_never_shown() {
        let stops = ["<|user|>".to_owned(), "a<|b|>".to_owned()];
        let mut matcher = StopMatcher::new(&stops).unwrap();
        let told = |(text, stopped): (String, bool)| format!("{text} {stopped}");
        assert_eq!(told(matcher.push("é")), "é false");
        assert_eq!(told(matcher.push_hidden("<|im|>")), " false");
        assert_eq!(told(matcher.push("xa")), "x false");
        assert_eq!(told(matcher.push_hidden("<|c|>")), "a false");
        assert_eq!(told(matcher.push("ya")), "y false");
        assert_eq!(told(matcher.push_hidden("<|b|>")), " true");
        let mut matcher = StopMatcher::new(&stops).unwrap();
        assert_eq!(told(matcher.push_hidden("<|user|>")), " true");
        let mut matcher = StopMatcher::new(&stops).unwrap();
        assert_eq!(told(matcher.push("z<|us")), "z false");
        assert_eq!(matcher.finish(), "<|us");
    }

    #[test]
    fn the_stop_text_that_has_come_is_named() {
        let stops = ["nowhere", "bcd", "b", "c"].map(String::from);
        for (pieces, found) in [
            (&["a", "bc"][..], Some("b")),
            (&["abcd"], Some("bcd")),
            (&["ac", "b"], Some("c")),
            (&["no", "where"], Some("nowhere")),
            (&["a", "nowher"], None),
        ] {
            let mut matcher = StopMatcher::new(&stops).unwrap();
            let stopped = pieces.iter().any(|piece| matcher.push(piece).1);
            assert_eq!((matcher.found(), stopped), (found, found.is_some()), "{pieces:?}");
        }
    }

    proptest! {
        #[test]
        fn one_stop_text_is_found_where_a_plain_search_finds_it(
            pieces in proptest::collection::vec("[abé]{0,4}", 0..8),
            stop in "[abé]{1,4}",
        ) {
            let whole = pieces.concat();
            let expected = match whole.find(&stop) {
                Some(at) => (whole[..at].to_owned(), true),
                None => (whole, false),
            };
            prop_assert_eq!(stream(&pieces, &[stop]), expected);
        }

        #[test]
        fn nothing_that_is_shown_holds_a_stop_text(
            pieces in proptest::collection::vec("[ab]{0,4}", 0..8),
            stops in proptest::collection::vec("[ab]{1,4}", 1..4),
        ) {
            let (shown, stopped) = stream(&pieces, &stops);
            prop_assert!(stops.iter().all(|stop| !shown.contains(stop.as_str())));
            prop_assert!(pieces.concat().starts_with(&shown));
            prop_assert_eq!(stopped, stops.iter().any(|stop| pieces.concat().contains(stop.as_str())));
        }
    }
}
