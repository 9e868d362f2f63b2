//! Changes the metadata of a GGUF file, for models as other people have them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// What is changed on the way from one file to another.
pub enum Edit<'a> {
    /// Sets a key to a bool, whether it is there or not.
    Bool(&'a str, bool),
    /// Gives a token of the vocabulary another text.
    Token(&'a str, &'a str),
}

/// Writes `source` to `target` with changes.
///
/// # Panics
/// Panics if the file is no GGUF, or does not hold what is to be changed.
pub fn edit(source: &Path, target: &Path, edits: &[Edit]) {
    let mut file = File::open(source).unwrap();
    // The metadata of a model lies in its first part.
    let mut bytes = vec![0; 64 << 20];
    let n = read_up_to(&mut file, &mut bytes).unwrap();
    bytes.truncate(n);
    let mut at = Reader { bytes: &bytes, at: 0 };
    assert_eq!(at.take(4), b"GGUF");
    let version = at.u32();
    let (n_tensors, n_keys) = (at.u64(), at.u64());
    let (mut entries, mut renamed) = (Vec::new(), 0);
    for _ in 0..n_keys {
        let key = at.text();
        let kind = at.u32();
        let start = at.at;
        at.skip(kind);
        entries.push((key, kind, bytes[start..at.at].to_vec()));
    }
    let infos = at.at;
    for _ in 0..n_tensors {
        at.text();
        let n_dims = at.u32();
        at.take(8 * n_dims as usize + 4 + 8);
    }
    let infos = &bytes[infos..at.at];
    for edit in edits {
        match *edit {
            Edit::Bool(key, value) => {
                entries.retain(|(other, ..)| other != key);
                entries.push((key.to_owned(), BOOL, vec![value.into()]));
            }
            Edit::Token(from, to) => {
                let tokens = entries.iter_mut().find(|(key, ..)| key == "tokenizer.ggml.tokens");
                let list = &mut tokens.unwrap().2;
                let [from, to] =
                    [from, to].map(|text| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat());
                let place = list.windows(from.len()).position(|window| window == from).unwrap();
                list.splice(place..place + from.len(), to);
                renamed += 1;
            }
        }
    }
    assert_eq!(renamed, edits.iter().filter(|edit| matches!(edit, Edit::Token(..))).count());
    let mut out = b"GGUF".to_vec();
    out.extend(version.to_le_bytes());
    out.extend(n_tensors.to_le_bytes());
    out.extend((entries.len() as u64).to_le_bytes());
    for (key, kind, value) in entries {
        out.extend((key.len() as u64).to_le_bytes());
        out.extend(key.as_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(value);
    }
    out.extend(infos);
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    let mut target = File::create(target).unwrap();
    target.write_all(&out).unwrap();
    file.seek(SeekFrom::Start(at.at.next_multiple_of(ALIGNMENT) as u64)).unwrap();
    io::copy(&mut file, &mut target).unwrap();
}

/// GGUF's default.
const ALIGNMENT: usize = 32;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

fn read_up_to(file: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < bytes.len() {
        match file.read(&mut bytes[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let taken = &self.bytes[self.at..self.at + n];
        self.at += n;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let n = self.u64() as usize;
        String::from_utf8(self.take(n).to_vec()).unwrap()
    }

    fn skip(&mut self, kind: u32) {
        match kind {
            0 | 1 | BOOL => drop(self.take(1)),
            2 | 3 => drop(self.take(2)),
            4..=6 => drop(self.take(4)),
            STRING => {
                let n = self.u64() as usize;
                self.take(n);
            }
            ARRAY => {
                let (kind, n) = (self.u32(), self.u64());
                (0..n).for_each(|_| self.skip(kind));
            }
            10..=12 => drop(self.take(8)),
            other => panic!("metadata of type {other}"),
        }
    }
}
