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

/// C that does not compile unless a struct has the size and the fields that Rust has, each in its place. One
/// that can grow ends with a field and not with padding, since an older caller's padding would be read as the
/// next field.
macro_rules! layout {
    ($type:ident as $name:ident: $($field:ident),* $(,)?) => {{
        let name = stringify!($name);
        let fields = [$((stringify!($field), std::mem::offset_of!($type, $field))),*];
        let mut source = format!("typedef char check_{name}[sizeof({name}) == {} ? 1 : -1];\n", size_of::<$type>());
        for (field, offset) in fields {
            source += &format!(
                "typedef char check_{name}_{field}[offsetof({name}, {field}) == {offset} ? 1 : -1];\n"
            );
        }
        let (last, offset) = fields[fields.len() - 1];
        if fields[0].0 == "struct_size" {
            source += &format!(
                "typedef char no_padding_{name}[{offset} + sizeof((({name} *)0)->{last}) == sizeof({name}) ? 1 : -1];\n"
            );
        }
        // A field that is missing here does not compile.
        let _ = |all: $type| { let $type { $($field: _),* } = all; };
        source
    }};
}

#[test]
fn structs_are_laid_out_as_in_rust() {
    use sda::ffi::{CJudgeRequest, CJudgement, CParams, CPrefill, CPrompt, CStats, CStep, CStepInfo};
    use sda::host::{HostTable, Row};
    #[allow(unused_mut, reason = "the bundled library has more structs")]
    let mut source = [
        "#include \"sda.h\"\n".to_owned(),
        layout!(CParams as sda_params: struct_size, amplification, k, temperature, sigma, t_min, flags, top_p, max_kl, mean_kl, reserved),
        layout!(CStep as sda_step: divergence, temperature),
        layout!(CStepInfo as sda_step_info: struct_size, divergence, temperature, gain, kl),
        layout!(CPrefill as sda_prefill: struct_size, shared, decoded, reused),
        layout!(CPrompt as sda_prompt: tokens, n_tokens),
        layout!(CStats as sda_stats: struct_size, steered, refused, repeated_accepts),
        layout!(CJudgeRequest as sda_judge_request: struct_size, query, draft, instruction, dimension, flags),
        layout!(CJudgement as sda_judgement: struct_size, arm, judge_status, score, amplification),
        layout!(Row as sda_row: token, pos, seq, wants_logits),
        layout!(HostTable as sda_host: struct_size, decode, get_logits_ith, seq_cp, seq_rm, seq_pos_min, n_vocab,
            n_ctx, n_ctx_seq, n_batch, n_seq_max, context_new, context_free, sampler_new, log, log_data),
    ]
    .concat();
    #[cfg(feature = "bundled")]
    {
        use sda::ffi::{
            CAdapter, CAnswer, CDevice, CEngineParams, CGenerateParams, CLogitBias, CModelParams, CToken,
            CTurn,
        };
        source += &[
            layout!(CModelParams as sda_model_params: struct_size, n_gpu_layers, use_mmap, use_mlock, progress,
                progress_data, devices, tensor_split, n_tensor_split, split_mode, main_gpu,
                rpc_servers, lora, n_lora, control_vectors, n_control_vectors, control_first, control_last,
                kv_overrides, tensor_overrides, repack, check_tensors),
            layout!(CAdapter as sda_adapter: path, scale, reserved),
            layout!(CDevice as sda_device: struct_size, name, description, backend, memory_total, memory_free, kind,
                reserved),
            layout!(CEngineParams as sda_engine_params: struct_size, n_ctx, n_batch, n_ubatch, n_threads,
                n_threads_batch, flash_attn, swa_full, judge_n_ctx, judge_model, max_instructions, reserved,
                cache_type_k, cache_type_v, offload_kqv, op_offload, rope_scaling, rope_freq_base, rope_freq_scale,
                yarn_orig_ctx, yarn_ext_factor, yarn_attn_factor, yarn_beta_fast, yarn_beta_slow),
            layout!(CGenerateParams as sda_generate_params: struct_size, prompt, on_text, user_data, instruction,
                preset, negative, system, chat_template, history, n_history, stop, n_stop, steering, score, amplify,
                placement, arm, n_predict, seed, top_k, top_p, min_p, repeat_last_n, repeat_penalty,
                frequency_penalty, presence_penalty, steer_after_think, trace, judge, judge_dimension,
                on_judge_failure, instructions, weights, n_instructions,
                chat_template_kwargs, grammar, json_schema, logit_bias, n_logit_bias, typical_p, top_n_sigma, xtc_probability,
                xtc_threshold, dry_multiplier, dry_base, dry_allowed_length, dry_penalty_last_n, dry_sequence_breakers,
                n_dry_sequence_breakers, dynatemp_range, dynatemp_exponent, mirostat, mirostat_tau, mirostat_eta,
                ignore_eos, context_shift, reserved, samplers),
            layout!(CTurn as sda_turn: query, answer),
            layout!(CLogitBias as sda_logit_bias: token, bias),
            layout!(CToken as sda_token: struct_size, index, token, divergence, temperature, guidance,
                logprob_plain, logprob_instructed),
            layout!(CAnswer as sda_answer: struct_size, n_tokens, finish, mean_divergence, prefill_shared,
                prefill_decoded, prefill_reused, prefill_ms, decode_ms, sample_ms, n_draft, arm, judge_status, score,
                spread),
        ]
        .concat();
    }
    compile(&compiler("CC", "cc"), &["-std=c99", "-DSDA_BUNDLED"], "layout.c", &source);
}
