//! `<think>` blocks of reasoning models.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// An answer without its reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripped<'a> {
    /// What follows the reasoning, white space included; all of the text if there is none.
    pub text: &'a str,
    /// True if the reasoning was begun and not closed; `text` is empty then.
    pub unfinished: bool,
}

/// Cuts everything up to the end of the first `<think>` block. Templates that open the block in the
/// prompt leave only its end in the answer.
pub fn strip_think(text: &str) -> Stripped<'_> {
    match (text.find(CLOSE), text.trim_start().starts_with(OPEN)) {
        (Some(at), _) => Stripped { text: &text[at + CLOSE.len()..], unfinished: false },
        (None, true) => Stripped { text: "", unfinished: true },
        (None, false) => Stripped { text, unfinished: false },
    }
}

/// Follows a stream of text and tells whether the reasoning is over.
#[derive(Debug, Default)]
pub struct ThinkTracker {
    inside: bool,
    /// End of the text that may be a part of a tag.
    tail: String,
}

impl ThinkTracker {
    /// Adds text: first the prompt, then the answer as it comes, split anywhere.
    pub fn push(&mut self, text: &str) {
        self.tail.push_str(text);
        loop {
            let tag = if self.inside { CLOSE } else { OPEN };
            let Some(at) = self.tail.find(tag) else { break };
            self.tail.drain(..at + tag.len());
            self.inside = !self.inside;
        }
        let mut keep = self.tail.len().saturating_sub(CLOSE.len() - 1);
        while !self.tail.is_char_boundary(keep) {
            keep -= 1;
        }
        self.tail.drain(..keep);
    }

    /// True outside of a block.
    pub fn is_done(&self) -> bool {
        !self.inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_is_cut_and_the_rest_kept_verbatim() {
        assert_eq!(strip_think("<think>hm</think>\n\nYes").text, "\n\nYes");
        assert_eq!(strip_think("hm</think>Yes").text, "Yes");
        assert_eq!(strip_think("Yes").text, "Yes");
        assert_eq!(strip_think(" <think>hm"), Stripped { text: "", unfinished: true });
    }

    #[test]
    fn a_tag_is_seen_however_it_is_split() {
        let text = "a<think>b é c</think>d";
        for cut in (0..=text.len()).filter(|&cut| text.is_char_boundary(cut)) {
            let mut tracker = ThinkTracker::default();
            let (open, close) = (text.find(OPEN).unwrap() + OPEN.len(), text.len() - 1);
            tracker.push(&text[..cut]);
            assert_eq!(tracker.is_done(), cut < open || cut >= close, "cut at {cut}");
            tracker.push(&text[cut..]);
            assert!(tracker.is_done());
        }
    }

    #[test]
    fn a_block_may_be_opened_by_the_prompt() {
        let mut tracker = ThinkTracker::default();
        tracker.push("<|assistant|><think>\n");
        assert!(!tracker.is_done());
        tracker.push("so</thi");
        tracker.push("nk>");
        assert!(tracker.is_done());
    }
}
