//! Bytes to text, never in the middle of a character.

/// Turns a stream of bytes into text: incomplete characters are held back, bytes that can never become
/// one are replaced by U+FFFD. All pieces together are what [`String::from_utf8_lossy`] gives for all
/// bytes together.
#[derive(Debug, Default)]
pub struct Utf8Stream {
    held: Vec<u8>,
    text: String,
}

impl Utf8Stream {
    /// Adds bytes; returns the text that is complete now.
    pub fn push(&mut self, bytes: &[u8]) -> &str {
        self.held.extend_from_slice(bytes);
        self.text.clear();
        let mut done = 0;
        loop {
            match std::str::from_utf8(&self.held[done..]) {
                Ok(text) => {
                    self.text.push_str(text);
                    done = self.held.len();
                    break;
                }
                Err(error) => {
                    let valid = done + error.valid_up_to();
                    self.text.push_str(&String::from_utf8_lossy(&self.held[done..valid]));
                    match error.error_len() {
                        Some(n) => {
                            self.text.push(char::REPLACEMENT_CHARACTER);
                            done = valid + n;
                        }
                        None => {
                            done = valid;
                            break;
                        }
                    }
                }
            }
        }
        self.held.drain(..done);
        &self.text
    }

    /// Ends the stream; returns what an incomplete character at the end becomes.
    pub fn finish(&mut self) -> String {
        let tail = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_character_split_over_tokens_comes_out_whole() {
        let mut stream = Utf8Stream::default();
        let bytes = "é🦀".as_bytes();
        let pieces: Vec<String> = bytes.iter().map(|&b| stream.push(&[b]).to_owned()).collect();
        assert_eq!(pieces, ["", "é", "", "", "", "🦀"]);
    }

    proptest! {
        #[test]
        fn any_split_of_any_bytes_gives_the_lossy_text(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xF0), Just(0x9F), Just(0xA6)], 0..40),
            cuts in proptest::collection::vec(0usize..40, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut stream, mut text, mut from) = (Utf8Stream::default(), String::new(), 0);
            for cut in cuts {
                text.push_str(stream.push(&bytes[from..cut]));
                from = cut;
            }
            text.push_str(&stream.finish());
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
