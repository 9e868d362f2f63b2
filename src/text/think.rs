//! `<think>` blocks of reasoning models. A block counts only where the chat template opens it for the answer, or where
//! the answer begins with it: texts of users, and answers that are about such tags, hold them, too.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// True for the tags of a block, which are shown in an answer even where they are control tokens.
pub fn is_think_tag(text: &str) -> bool {
    [OPEN, CLOSE].contains(&text)
}

/// True if a text of the template's leaves a block open.
pub(super) fn is_left_open(text: &str) -> bool {
    text.rfind(OPEN).is_some_and(|open| !text[open..].contains(CLOSE))
}

/// True if a raw prompt ends with the opening of a block, so that the answer continues in it.
pub(super) fn ends_open(prompt: &str) -> bool {
    prompt.trim_end().ends_with(OPEN)
}

/// An answer without its reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripped<'a> {
    /// What follows the reasoning, white space included; all of the text if there is none.
    pub text: &'a str,
    /// True if the reasoning was begun and not closed; `text` is empty then.
    pub unfinished: bool,
}

/// Cuts the `<think>` block off that an answer begins with. `thinking` says that the prompt has opened it
/// ([`PromptPair::thinking`](super::PromptPair::thinking)), so that the answer holds its end only.
pub fn strip_think(text: &str, thinking: bool) -> Stripped<'_> {
    if !thinking && !text.trim_start().starts_with(OPEN) {
        return Stripped { text, unfinished: false };
    }
    match text.find(CLOSE) {
        Some(at) => Stripped { text: &text[at + CLOSE.len()..], unfinished: false },
        None => Stripped { text: "", unfinished: true },
    }
}

/// Follows an answer as it comes, and tells whether its reasoning is over.
#[derive(Debug)]
pub struct ThinkTracker {
    place: Place,
    /// End of the text that may be a part of a tag.
    tail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing but white space so far, or a beginning of the opening tag.
    Start,
    Inside,
    /// Behind the block, or in an answer that has none.
    Done,
}

impl ThinkTracker {
    /// Before the first token; `thinking` as for [`strip_think`].
    pub fn new(thinking: bool) -> ThinkTracker {
        ThinkTracker { place: if thinking { Place::Inside } else { Place::Start }, tail: String::new() }
    }

    /// Adds the answer's text as it comes, split anywhere.
    pub fn push(&mut self, text: &str) {
        if self.place == Place::Done {
            return;
        }
        self.tail.push_str(text);
        if self.place == Place::Start {
            let begun = self.tail.trim_start();
            if begun.starts_with(OPEN) {
                self.place = Place::Inside;
            } else if !OPEN.starts_with(begun) {
                self.place = Place::Done;
            }
        }
        if self.place == Place::Inside && self.tail.contains(CLOSE) {
            self.place = Place::Done;
        }
        if self.place == Place::Inside {
            let mut keep = self.tail.len().saturating_sub(CLOSE.len() - 1);
            while !self.tail.is_char_boundary(keep) {
                keep -= 1;
            }
            self.tail.drain(..keep);
        }
    }

    /// True outside of a block.
    pub fn is_done(&self) -> bool {
        self.place != Place::Inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_is_cut_and_the_rest_kept_verbatim() {
        assert_eq!(strip_think("<think>hm</think>\n\nYes", false).text, "\n\nYes");
        assert_eq!(strip_think("hm</think>Yes", true).text, "Yes");
        assert_eq!(strip_think("Yes", false).text, "Yes");
        let unfinished = Stripped { text: "", unfinished: true };
        assert_eq!(strip_think(" <think>hm", false), unfinished);
        assert_eq!(strip_think("hm", true), unfinished);
    }

    #[test]
    fn an_answer_about_the_tags_is_kept_whole() {
        for text in ["It ends with </think>, as in <think>hm</think>.", "A <think> tag.", "</think>"] {
            assert_eq!(strip_think(text, false), Stripped { text, unfinished: false });
            let mut tracker = ThinkTracker::new(false);
            for piece in text.split_inclusive(' ') {
                tracker.push(piece);
                assert!(tracker.is_done(), "{text}");
            }
        }
    }

    #[test]
    fn a_tag_is_seen_however_it_is_split() {
        let text = "\n<think>b é c</think>d <think>";
        let (open, close) = (text.find('>').unwrap() + 1, text.find('d').unwrap());
        for cut in (0..=text.len()).filter(|&cut| text.is_char_boundary(cut)) {
            let mut tracker = ThinkTracker::new(false);
            tracker.push(&text[..cut]);
            assert_eq!(tracker.is_done(), cut < open || cut >= close, "cut at {cut}");
            tracker.push(&text[cut..]);
            assert!(tracker.is_done());
        }
    }

    #[test]
    fn a_block_may_be_opened_by_the_prompt() {
        for (tail, open) in [
            ("<|im_end|>\n<|im_start|>assistant\n<think>\n", true),
            ("<|im_start|>assistant\n<think>\n\n</think>\n\n", false),
            ("<|im_start|>assistant\n", false),
        ] {
            assert_eq!(is_left_open(tail), open, "{tail}");
        }
        assert!(ends_open("Q: x\nA: <think>\n") && !ends_open("What is <think>?"));
        let mut tracker = ThinkTracker::new(true);
        assert!(!tracker.is_done());
        tracker.push("so</thi");
        tracker.push("nk>");
        assert!(tracker.is_done());
    }
}
