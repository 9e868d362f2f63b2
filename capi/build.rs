//! Names the shared library for the linker.

/// Number of the binary interface; `tests/header.rs` checks that it is the header's.
const ABI_VERSION: u32 = 2;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match os.as_str() {
        "linux" | "android" | "freebsd" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsda.so.{ABI_VERSION}");
        }
        "macos" | "ios" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libsda.{ABI_VERSION}.dylib");
            println!(
                "cargo:rustc-cdylib-link-arg=-Wl,-compatibility_version,{ABI_VERSION},-current_version,{ABI_VERSION}"
            );
        }
        _ => {}
    }
}
