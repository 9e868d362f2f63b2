//! With feature `header`, renders the C header.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // `make build` sets it; a plain cargo in the wrong shell would only be slow.
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if cfg!(feature = "bundled") && !flags.contains("target-cpu=") {
        println!(
            "cargo:warning=llama.cpp is built without the newer instructions of this CPU and is slow: \
             run `make build`, or set the variables of `make env` first"
        );
    }
    backends();
    #[cfg(feature = "header")]
    header();
}

/// What llama-cpp-sys-2's build leaves to others.
fn backends() {
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    println!("cargo:rerun-if-env-changed=GGML_RPC");
    if cfg!(feature = "rpc") && !std::env::var("GGML_RPC").is_ok_and(|value| value == "ON") {
        println!(
            "cargo::error=feature rpc needs GGML_RPC=ON in the environment, and a target folder of its own: \
             `make build BACKEND=rpc` sees to both"
        );
    }
    // The loader of the drivers.
    if cfg!(feature = "opencl") && !cfg!(feature = "dynamic-link") {
        println!("cargo:rustc-link-lib=OpenCL");
    }
    if cfg!(feature = "webgpu") && target != "emscripten" {
        println!(
            "cargo::error=feature webgpu is of no effect on this target: llama-cpp-sys-2 builds it for Emscripten only"
        );
    }
}

/// Renders the header into OUT_DIR; the committed one is never touched by a build.
#[cfg(feature = "header")]
fn header() {
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    let root = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("sda.h");
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is valid");
    let mut header = Vec::new();
    cbindgen::Builder::new()
        .with_src(root.join("src/host/table.rs"))
        .with_src(root.join("src/ffi/status.rs"))
        .with_src(root.join("src/ffi/version.rs"))
        .with_src(root.join("src/ffi/arm.rs"))
        .with_src(root.join("src/ffi/params.rs"))
        .with_src(root.join("src/ffi/steer.rs"))
        .with_src(root.join("src/ffi/pair.rs"))
        .with_src(root.join("src/ffi/pair_many.rs"))
        .with_src(root.join("src/ffi/sampler.rs"))
        .with_src(root.join("src/ffi/report.rs"))
        .with_src(root.join("src/ffi/judge.rs"))
        .with_src(root.join("src/ffi/engine/mod.rs"))
        .with_config(config)
        .generate()
        .expect("the C interface can be rendered")
        .write(&mut header);
    // Each item of the engine comes in a condition of its own; neighbours share one.
    let header = String::from_utf8(header).expect("cbindgen writes text");
    let header = header.replace("#endif\n\n#if defined(SDA_BUNDLED)\n", "\n");
    std::fs::write(out, header).expect("OUT_DIR can be written");
}
