//! The committed header is what the sources say, and compiles alone.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn header() -> String {
    std::fs::read_to_string(root().join("include/sda.h")).unwrap()
}

/// `make header` writes it anew.
#[cfg(feature = "header")]
#[test]
fn the_committed_header_is_the_rendered_one() {
    let rendered = std::fs::read_to_string(concat!(env!("OUT_DIR"), "/sda.h")).unwrap();
    let path = root().join("include/sda.h");
    if std::env::var_os("SDA_UPDATE_HEADER").is_some() {
        std::fs::write(&path, &rendered).unwrap();
    }
    assert!(rendered == header(), "include/sda.h is out of date: run `make header` and read the difference");
}

fn define(name: &str) -> String {
    let text = header();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")));
    line.unwrap_or_else(|| panic!("{name} is not in the header")).to_owned()
}

#[test]
fn versions_agree_everywhere() {
    let [major, minor, patch] =
        ["MAJOR", "MINOR", "PATCH"].map(|part| define(&format!("SDA_VERSION_{part}")));
    assert_eq!(format!("{major}.{minor}.{patch}"), env!("CARGO_PKG_VERSION"));
    let number = |text: &str| text.parse::<u64>().unwrap();
    let packed = number(&major) * 1_000_000 + number(&minor) * 1_000 + number(&patch);
    assert_eq!(number(&define("SDA_VERSION_NUMBER")), packed);
    let abi = define("SDA_ABI_VERSION");
    let build = std::fs::read_to_string(root().join("capi/build.rs")).unwrap();
    assert!(build.contains(&format!("const ABI_VERSION: u32 = {abi};")), "capi/build.rs names another ABI");
    // What cargo-c names the library after.
    let manifest = std::fs::read_to_string(root().join("capi/Cargo.toml")).unwrap();
    let (_, capi) = manifest.split_once("[package.metadata.capi.library]").unwrap();
    let version = capi.lines().find_map(|line| line.strip_prefix("version = ")).unwrap();
    assert_eq!(version, format!("\"{abi}.0.0\""), "capi/Cargo.toml names another ABI");
}

/// Compiles a file that includes the headers, and returns what the compiler complains about.
fn compile(compiler: &str, flags: &[&str], name: &str, source: &str) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(name);
    std::fs::write(&file, source).unwrap();
    let output = Command::new(compiler)
        .args(flags)
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I"])
        .arg(root().join("include"))
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn compiler(variable: &str, default: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.to_owned())
}

#[test]
fn the_header_compiles_alone_as_c99_and_as_cxx17() {
    let c = "#include \"sda.h\"\nint main(void) { return sda_abi_version() == SDA_ABI_VERSION ? 0 : 1; }\n";
    for (defines, name) in [(&[][..], "alone"), (&["-DSDA_BUNDLED"], "bundled")] {
        let flags = |standard| [&[standard], defines].concat();
        compile(&compiler("CC", "cc"), &flags("-std=c99"), &format!("{name}.c"), c);
        compile(&compiler("CXX", "c++"), &flags("-std=c++17"), &format!("{name}.cpp"), c);
    }
}

#[test]
fn structs_are_laid_out_as_in_rust() {
    use sda::ffi::{CJudgeRequest, CJudgement, CParams, CPrefill, CStats, CStep};
    use sda::host::{HostTable, Row};
    let size =
        |name: &str, size: usize| format!("typedef char check_{name}[sizeof({name}) == {size} ? 1 : -1];\n");
    let at = |name: &str, field: &str, offset: usize| {
        format!("typedef char check_{name}_{field}[offsetof({name}, {field}) == {offset} ? 1 : -1];\n")
    };
    #[allow(unused_mut, reason = "the bundled library has more structs")]
    let mut source = [
        "#include \"sda.h\"\n".to_owned(),
        size("sda_params", size_of::<CParams>()),
        at("sda_params", "amplification", std::mem::offset_of!(CParams, amplification)),
        at("sda_params", "t_min", std::mem::offset_of!(CParams, t_min)),
        size("sda_step", size_of::<CStep>()),
        size("sda_prefill", size_of::<CPrefill>()),
        size("sda_stats", size_of::<CStats>()),
        size("sda_judge_request", size_of::<CJudgeRequest>()),
        at("sda_judge_request", "dimension", std::mem::offset_of!(CJudgeRequest, dimension)),
        size("sda_judgement", size_of::<CJudgement>()),
        at("sda_judgement", "amplification", std::mem::offset_of!(CJudgement, amplification)),
        size("sda_row", size_of::<Row>()),
        at("sda_row", "wants_logits", std::mem::offset_of!(Row, wants_logits)),
        size("sda_host", size_of::<HostTable>()),
        at("sda_host", "context_new", std::mem::offset_of!(HostTable, context_new)),
        at("sda_host", "log_data", std::mem::offset_of!(HostTable, log_data)),
    ]
    .concat();
    #[cfg(feature = "bundled")]
    {
        use sda::ffi::{CAnswer, CEngineParams, CGenerateParams, CModelParams, CToken, CTurn};
        source += &[
            size("sda_model_params", size_of::<CModelParams>()),
            at("sda_model_params", "progress", std::mem::offset_of!(CModelParams, progress)),
            size("sda_engine_params", size_of::<CEngineParams>()),
            at("sda_engine_params", "swa_full", std::mem::offset_of!(CEngineParams, swa_full)),
            size("sda_generate_params", size_of::<CGenerateParams>()),
            at("sda_generate_params", "steering", std::mem::offset_of!(CGenerateParams, steering)),
            at("sda_generate_params", "trace", std::mem::offset_of!(CGenerateParams, trace)),
            size("sda_turn", size_of::<CTurn>()),
            size("sda_token", size_of::<CToken>()),
            at("sda_token", "logprob_instructed", std::mem::offset_of!(CToken, logprob_instructed)),
            size("sda_answer", size_of::<CAnswer>()),
            at("sda_answer", "sample_ms", std::mem::offset_of!(CAnswer, sample_ms)),
        ]
        .concat();
    }
    compile(&compiler("CC", "cc"), &["-std=c99", "-DSDA_BUNDLED"], "layout.c", &source);
}
