//! A file that no other process writes to.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::Path;

/// A file, open for reading and appending, and locked until it is dropped.
#[derive(Debug)]
pub struct Locked(File);

impl Locked {
    /// Opens a file, or makes it.
    pub fn open(path: &Path) -> Result<Locked, String> {
        let options = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = options.map_err(|e| e.to_string())?;
        match file.try_lock() {
            Ok(()) => Ok(Locked(file)),
            Err(TryLockError::WouldBlock) => Err("another process is writing to it".into()),
            // File systems without locks are used without.
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => Ok(Locked(file)),
            Err(TryLockError::Error(e)) => Err(e.to_string()),
        }
    }
}

impl Drop for Locked {
    /// The lock belongs to the open file, of which a child process that another thread just starts has a copy until
    /// it runs its program: closing this one would not end it.
    fn drop(&mut self) {
        // Not locked where the file system has no locks.
        let _ = self.0.unlock();
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_owner_though_a_copy_of_the_open_file_lives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        let locked = Locked::open(&path).unwrap();
        let copy = locked.try_clone().unwrap();
        assert_eq!(Locked::open(&path).unwrap_err(), "another process is writing to it");
        drop(locked);
        Locked::open(&path).unwrap();
        drop(copy);
    }
}
