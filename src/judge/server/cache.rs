//! Verdicts kept on disk, found by a hash of everything that they depend on.
//!
//! One small JSON file per verdict, two levels of folders, no lock: a file is written whole under
//! another name and then renamed, so that readers in this and other processes see the old file, the
//! new file or none. Two writers of one key write the same verdict, and the later rename stays. A file
//! that a power loss or another program has broken is a miss, and is replaced. The texts are not
//! kept, only their hash.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::judge::Verdict;

/// Layout of an entry and of what is hashed. A change of either makes all older entries misses.
const VERSION: u32 = 1;

/// Entries take some hundred bytes; this bounds what a foreign file can load.
const MAX_ENTRY: u64 = 64 << 10;

/// A folder of verdicts. Any number of threads and processes can use one at once.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Uses `dir`, which is made when the first verdict is stored.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Cache { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, key: &CacheKey) -> PathBuf {
        self.dir.join(&key.0[..2]).join(&key.0[2..4]).join(format!("{}.json", key.0))
    }

    /// The verdict stored under `key`; `None` when there is none or its file is broken.
    ///
    /// # Errors
    /// [`Error::Io`] when the file is there and cannot be read.
    pub(crate) fn get(&self, key: &CacheKey) -> Result<Option<Verdict>> {
        let path = self.path(key);
        let bytes = match crate::judge::read_bounded(&path, MAX_ENTRY) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            // Not one of ours: treated as broken.
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => return Ok(None),
            Err(e) => return Err(io_error(&path, &e)),
        };
        Ok(decode(&bytes, key))
    }

    fn holds(&self, key: &CacheKey) -> bool {
        matches!(self.get(key), Ok(Some(_)))
    }

    /// Stores a verdict, replacing what is there.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing is left behind then.
    pub(crate) fn put(&self, key: &CacheKey, verdict: &Verdict) -> Result<()> {
        let path = self.path(key);
        let entry = json!({ "version": VERSION, "key": key.0, "samples": verdict.samples });
        match replace(&path, entry.to_string().as_bytes()) {
            // Windows refuses to replace a file that is open. Another process has just stored the same verdict.
            Err(e) if cfg!(windows) && e.kind() == io::ErrorKind::PermissionDenied && self.holds(key) => {
                Ok(())
            }
            stored => stored.map_err(|e| io_error(&path, &e)),
        }
    }
}

fn decode(bytes: &[u8], key: &CacheKey) -> Option<Verdict> {
    let entry: Value = serde_json::from_slice(bytes).ok()?;
    if entry["version"] != VERSION || entry["key"] != key.0 {
        return None;
    }
    let samples = entry["samples"].as_array()?;
    let samples = samples.iter().map(|s| s.as_f64().map(|s| s as f32)).collect::<Option<Vec<f32>>>()?;
    let verdict = Verdict::from_samples(samples).ok()?;
    Some(Verdict { cached: true, ..verdict })
}

/// Writes a file whole or not at all. It is not synced to the disk: after a power loss it may be
/// empty, which reads as a miss.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
    // The same folder, so that the rename stays on one file system.
    let temporary = folder.join(format!(".{:016x}.tmp", u64::from_le_bytes(random)));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Best effort; the first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn io_error(path: &Path, e: &io::Error) -> Error {
    Error::Io { path: path.display().to_string(), reason: e.to_string() }
}

/// Hash of everything that a verdict depends on, as 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheKey(String);

impl CacheKey {
    /// Hashes the parts, each with its length, so that no two lists of parts run into one another.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"sda judge verdict");
        hash.update(VERSION.to_le_bytes());
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        CacheKey(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The usual place: `sda/judge` in `$XDG_CACHE_HOME`, or in `~/.cache`; on Windows in
/// `%LOCALAPPDATA%`. `None` when the environment names no such folder. Only programs should ask;
/// a library in somebody's process takes the folder that it is given.
pub fn default_cache_dir() -> Option<PathBuf> {
    // The convention wants relative paths in these variables ignored.
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = folder("XDG_CACHE_HOME").or_else(|| {
        if cfg!(windows) { folder("LOCALAPPDATA") } else { folder("HOME").map(|h| h.join(".cache")) }
    })?;
    Some(base.join("sda").join("judge"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(samples: &[f32]) -> Verdict {
        Verdict::from_samples(samples.to_vec()).unwrap()
    }

    #[test]
    fn parts_that_join_to_the_same_text_have_different_keys() {
        let keys = [
            CacheKey::of(&[b"ab", b"c"]),
            CacheKey::of(&[b"a", b"bc"]),
            CacheKey::of(&[b"abc"]),
            CacheKey::of(&[b"abc", b""]),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key));
            assert_eq!(key.0.len(), 64);
        }
        assert_eq!(keys[0], CacheKey::of(&[b"ab", b"c"]));
    }

    #[test]
    fn a_stored_verdict_comes_back_marked_as_cached() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("new/folder"));
        let (a, b) = (CacheKey::of(&[b"a"]), CacheKey::of(&[b"b"]));
        assert_eq!(cache.get(&a).unwrap(), None);
        cache.put(&a, &verdict(&[33.3, 70.0])).unwrap();
        let back = cache.get(&a).unwrap().unwrap();
        assert_eq!(back, Verdict { cached: true, ..verdict(&[33.3, 70.0]) });
        assert_eq!(cache.get(&b).unwrap(), None);
    }

    #[test]
    fn a_broken_entry_is_a_miss_and_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        let key = CacheKey::of(&[b"a"]);
        cache.put(&key, &verdict(&[50.0])).unwrap();
        let path = cache.path(&key);
        let good = fs::read_to_string(&path).unwrap();
        let other = good.replace(&key.0, &CacheKey::of(&[b"b"]).0);
        let huge = " ".repeat(MAX_ENTRY as usize) + &good;
        let broken = [
            "",
            "{",
            "null",
            "{}",
            &good.replace("50", "500"),
            &good.replace("50", "0"),
            &good.replace("[50.0]", "[]"),
            &good.replace("[50.0]", "[\"50\"]"),
            &good.replace("\"version\":1", "\"version\":2"),
            &good[..good.len() - 1],
            &other,
            &huge,
        ];
        for text in broken {
            assert_ne!(text, good);
            fs::write(&path, text).unwrap();
            assert_eq!(cache.get(&key).unwrap(), None, "{:.80}", text.trim());
            cache.put(&key, &verdict(&[50.0])).unwrap();
            assert!(cache.get(&key).unwrap().is_some());
        }
        fs::write(&path, b"\xff\xfe\x00").unwrap();
        assert_eq!(cache.get(&key).unwrap(), None);
    }

    #[test]
    fn no_temporary_file_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        let key = CacheKey::of(&[b"a"]);
        cache.put(&key, &verdict(&[50.0])).unwrap();
        let path = cache.path(&key);
        // A folder in the entry's place makes the rename fail.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(cache.put(&key, &verdict(&[50.0])), Err(Error::Io { .. })));
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(left, [path]);
    }
}
