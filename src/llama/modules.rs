//! Backends as modules: which folder llama.cpp takes them from.

#![cfg_attr(
    not(feature = "dynamic-backends"),
    allow(dead_code, reason = "other builds compile it for its test")
)]

use std::ffi::CString;
use std::path::{Path, PathBuf};

use llama_cpp_sys_2 as sys;

/// Loads the backends beside the program, or those of the build where there are none. Not those of the working folder,
/// where llama.cpp would look, too: its files are not the program's.
pub(super) fn load() {
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned()));
    let built = sys::BACKENDS_DIR.map(PathBuf::from);
    let Some(folder) = beside.filter(|folder| has_modules(folder)).or(built) else { return };
    let Some(folder) = folder.to_str().and_then(|folder| CString::new(folder).ok()) else { return };
    // SAFETY: the path is a text; llama.cpp looks at the files in it.
    unsafe { sys::ggml_backend_load_all_from_path(folder.as_ptr()) };
}

/// True if a folder has modules for the CPU, without which llama.cpp computes nothing.
fn has_modules(folder: &Path) -> bool {
    let is_one = |name: &str| {
        ["libggml-cpu", "ggml-cpu"].iter().any(|start| name.starts_with(start))
            && [".so", ".dll"].iter().any(|end| name.ends_with(end))
    };
    let Ok(files) = std::fs::read_dir(folder) else { return false };
    files.flatten().any(|file| file.file_name().to_str().is_some_and(is_one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_module_for_the_cpu_is_one_of_backends() {
        let folder = tempfile::tempdir().unwrap();
        let with = |name: &str| {
            std::fs::write(folder.path().join(name), "").unwrap();
            has_modules(folder.path())
        };
        assert!(!with("sda"));
        assert!(!with("libggml-cpu.a"));
        assert!(!with("libggml-vulkan.so"));
        assert!(with("libggml-cpu-haswell.so"));
        assert!(!has_modules(&folder.path().join("missing")));
    }
}
