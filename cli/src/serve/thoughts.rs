//! The reasoning of an answer, apart from the rest, as the text comes.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// A part of an answer's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    pub reasoning: String,
    pub content: String,
}

/// Takes the `<think>` block out that an answer begins with, or that its prompt has opened, as
/// [`sda::text::strip_think`] does for whole texts. White space around both parts goes.
#[derive(Debug)]
pub struct Splitter {
    place: Place,
    /// What may be a part of a tag, or white space before a part.
    held: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing but white space so far, or a beginning of the opening tag.
    Start,
    /// In the block; true before its first letter.
    Inside(bool),
    /// Behind the block, before the first letter of the answer.
    Behind,
    /// In the answer.
    Answer,
}

impl Splitter {
    pub fn new(thinking: bool) -> Splitter {
        Splitter { place: if thinking { Place::Inside(true) } else { Place::Start }, held: String::new() }
    }

    /// Adds text; gives what is certain.
    pub fn push(&mut self, text: &str) -> Piece {
        self.held.push_str(text);
        let mut piece = Piece::default();
        if self.place == Place::Start {
            let begun = self.held.trim_start();
            if let Some(rest) = begun.strip_prefix(OPEN) {
                self.held = rest.to_owned();
                self.place = Place::Inside(true);
            } else if OPEN.starts_with(begun) {
                return piece;
            } else {
                self.place = Place::Answer;
            }
        }
        if let Place::Inside(first) = self.place {
            if first {
                self.held = self.held.trim_start().to_owned();
                self.place = Place::Inside(self.held.is_empty());
            }
            match self.held.find(CLOSE) {
                Some(at) => {
                    piece.reasoning = self.held[..at].trim_end().to_owned();
                    self.held.drain(..at + CLOSE.len());
                    self.place = Place::Behind;
                }
                None => {
                    let keep = held_back(&self.held);
                    piece.reasoning = self.held.drain(..self.held.len() - keep).collect();
                    return piece;
                }
            }
        }
        if self.place == Place::Behind {
            self.held = self.held.trim_start().to_owned();
            if self.held.is_empty() {
                return piece;
            }
            self.place = Place::Answer;
        }
        piece.content = std::mem::take(&mut self.held);
        piece
    }

    /// Ends the text; gives what was held back.
    pub fn finish(&mut self) -> Piece {
        let held = std::mem::take(&mut self.held);
        match self.place {
            Place::Inside(_) => Piece { reasoning: held.trim_end().to_owned(), content: String::new() },
            Place::Behind => Piece::default(),
            Place::Start | Place::Answer => Piece { reasoning: String::new(), content: held },
        }
    }
}

/// Bytes at the end of a block that may be white space before the closing tag, and a beginning of it.
fn held_back(text: &str) -> usize {
    let tag = (1..CLOSE.len()).rev().find(|&n| text.ends_with(&CLOSE[..n])).unwrap_or(0);
    text.len() - text[..text.len() - tag].trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, thinking: bool, cut: usize) -> Piece {
        let mut splitter = Splitter::new(thinking);
        let (a, b) = text.split_at(cut);
        let mut whole = Piece::default();
        for piece in [splitter.push(a), splitter.push(b), splitter.finish()] {
            whole.reasoning.push_str(&piece.reasoning);
            whole.content.push_str(&piece.content);
        }
        whole
    }

    #[test]
    fn both_parts_come_out_the_same_however_the_text_is_split() {
        for (text, thinking, reasoning, content) in [
            ("<think>\nh é m\n</think>\n\nYes </think>", false, "h é m", "Yes </think>"),
            (" \n<think>a</think>", false, "a", ""),
            ("a < b\n</thin </think>\nYes", true, "a < b\n</thin", "Yes"),
            ("<think>never\nends </th", false, "never\nends </th", ""),
            (" Yes, <think> is a tag.", false, "", " Yes, <think> is a tag."),
            ("  <thin", false, "", "  <thin"),
            ("</think>x", false, "", "</think>x"),
            ("", true, "", ""),
        ] {
            let expected = Piece { reasoning: reasoning.into(), content: content.into() };
            for cut in (0..=text.len()).filter(|&cut| text.is_char_boundary(cut)) {
                assert_eq!(split(text, thinking, cut), expected, "{text:?} cut at {cut}");
            }
        }
    }
}
