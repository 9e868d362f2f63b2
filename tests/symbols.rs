//! What the libraries export: the functions of the header, and nothing of llama.cpp. The plugin those
//! without SDA_BUNDLED, the bundled library all.
//!
//! The plugin's tests need `SDA_PLUGIN_LIB`, the path of the pure `libsda.so`; `make test-core` builds it and sets
//! it. With feature `bundled` the library with llama.cpp inside is looked at, too: `SDA_BUNDLED_LIB`, as
//! `make test-bundled` sets it. `SDA_BINUTILS` is a prefix of nm, readelf and objdump, for libraries of another machine.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use sda_test_kit::sda_h;

/// A library that make has built, or None where it was not asked for; in the gate it has to be there.
fn library(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable);
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set: run `make test`");
        eprintln!("skipped: {variable} is not set, `make test` builds the library and sets it");
    }
    path.map(PathBuf::from)
}

fn plugin() -> Option<PathBuf> {
    // With feature `bundled` the same tests have run without it.
    if cfg!(feature = "bundled") { None } else { library("SDA_PLUGIN_LIB") }
}

fn run(program: &str, arguments: &[&str], library: &PathBuf) -> String {
    let program = std::env::var("SDA_BINUTILS").unwrap_or_default() + program;
    let output = Command::new(&program).args(arguments).arg(library).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn exported(library: &PathBuf) -> BTreeSet<String> {
    let symbols = run("nm", &["-D", "--defined-only"], library);
    symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect()
}

fn assert_soname(library: &PathBuf) {
    let dynamic = run("readelf", &["-d"], library);
    let soname = format!("[libsda.so.{}]", sda::ffi::SDA_ABI_VERSION);
    assert!(dynamic.lines().any(|line| line.contains("SONAME") && line.contains(&soname)), "{dynamic}");
}

#[test]
fn the_plugin_exports_the_functions_of_the_header_and_no_others() {
    let Some(library) = plugin() else { return };
    assert!(sda_h::functions(false).len() > 20, "{:?}", sda_h::functions(false));
    assert_eq!(exported(&library), sda_h::functions(false));
    assert_soname(&library);
}

#[test]
fn the_plugin_neither_holds_nor_needs_llama_cpp() {
    let Some(library) = plugin() else { return };
    let symbols = run("nm", &["-D"], &library);
    let foreign = |line: &&str| line.contains("llama_") || line.contains("ggml_");
    let ours = |line: &&str| line.contains(" T sda_");
    let found: Vec<&str> = symbols.lines().filter(foreign).filter(|line| !ours(line)).collect();
    assert_eq!(found, Vec::<&str>::new());
}

#[cfg(feature = "bundled")]
#[test]
fn the_library_with_llama_cpp_exports_all_functions_of_the_header_and_no_others() {
    let Some(library) = library("SDA_BUNDLED_LIB") else { return };
    assert!(
        sda_h::functions(true).len() > sda_h::functions(false).len() + 10,
        "{:?}",
        sda_h::functions(true)
    );
    assert_eq!(exported(&library), sda_h::functions(true));
    assert_soname(&library);
}

/// The lines of `objdump -p` below a heading, until the next empty one.
fn section<'a>(text: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    let (_, below) = text.split_once(heading).unwrap_or_else(|| panic!("no {heading}: {text}"));
    below.lines().skip(1).take_while(|line| !line.trim().is_empty())
}

/// What Windows has itself. The C compiler's own (libgcc_s_seh-1.dll, libwinpthread-1.dll) would have to be shipped.
const WINDOWS: [&str; 8] =
    ["kernel32", "ntdll", "msvcrt", "userenv", "ws2_32", "bcryptprimitives", "advapi32", "api-ms-win-"];

#[test]
#[ignore = "`make test-windows` builds the DLL"]
fn the_dll_exports_the_functions_of_the_header_and_no_others() {
    let dll = std::env::var_os("SDA_PLUGIN_DLL").expect("SDA_PLUGIN_DLL is set by make").into();
    let text = run("objdump", &["-p"], &dll);
    let names = section(&text, "[Ordinal/Name Pointer] Table");
    let exported: BTreeSet<_> =
        names.filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect();
    assert_eq!(exported, sda_h::functions(false));
}

#[test]
#[ignore = "`make test-windows` builds the DLL"]
fn the_dll_needs_no_others_than_those_of_windows() {
    let dll = std::env::var_os("SDA_PLUGIN_DLL").expect("SDA_PLUGIN_DLL is set by make").into();
    let text = run("objdump", &["-p"], &dll);
    let needed: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("DLL Name: ")).collect();
    assert!(needed.contains(&"KERNEL32.dll"), "{needed:?}");
    let foreign = |name: &&str| !WINDOWS.iter().any(|known| name.to_lowercase().starts_with(known));
    assert_eq!(needed.into_iter().filter(foreign).collect::<Vec<_>>(), Vec::<&str>::new());
}

/// A library that was built for one CPU has wide vectors everywhere.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_plugin_uses_avx_only_in_functions_that_are_chosen_at_run_time() {
    let Some(library) = plugin() else { return };
    let code = run("objdump", &["--disassemble", "--demangle", "--no-show-raw-insn"], &library);
    let (mut function, mut wide) = ("", BTreeSet::new());
    for line in code.lines() {
        if line.ends_with(">:") {
            function = line;
        } else if line.contains("%ymm") || line.contains("%zmm") {
            wide.insert(function);
        }
    }
    assert!(wide.iter().any(|name| name.contains("Avx512")), "{wide:#?}");
    wide.retain(|name| !name.to_lowercase().contains("avx"));
    assert!(wide.is_empty(), "{wide:#?}");
}
