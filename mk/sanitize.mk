# The Rust side of the library under AddressSanitizer and under Miri, without llama.cpp: what a C host or safe
# Rust can do to a freed context, a borrowed row or a handle used by two threads.

.PHONY: asan-rust miri

# Modules of tests/core that use C pointers or the toy host; the others are plain safe code.
SANITIZE_TESTS := ffi host_ owned
sanitize_tests = --locked --test core $(TESTFLAGS) -- $(SANITIZE_TESTS)

SANITIZE_TARGET ?= $(shell rustc -vV | sed -n 's/^host: //p')

# Any toolchain has the sanitizer's runtime library, and RUSTC_BOOTSTRAP lets a stable one use it. With --target
# build scripts and macros are not instrumented. First it has to find a fault that is known.
asan-rust: export RUSTC_BOOTSTRAP := 1
asan-rust: export CARGO_TARGET_DIR := $(CARGO_TARGET_DIR)/asan
asan-rust: ## the core's Rust tests under AddressSanitizer
	@mkdir -p "$(CARGO_TARGET_DIR)"
	@printf 'fn main() { let v = vec![1_u8]; let p = v.as_ptr(); drop(v); println!("{}", unsafe { p.read_volatile() }) }' | \
	    rustc -Zsanitizer=address --target "$(SANITIZE_TARGET)" -o "$(CARGO_TARGET_DIR)/fault" -
	@if "$(CARGO_TARGET_DIR)/fault" >"$(CARGO_TARGET_DIR)/fault.log" 2>&1 || \
	    ! grep -q heap-use-after-free "$(CARGO_TARGET_DIR)/fault.log"; then \
	    echo 'error: the sanitizer does not find a read of freed memory' >&2; exit 1; fi
	RUSTFLAGS=-Zsanitizer=address "$(CARGO)" test --target "$(SANITIZE_TARGET)" $(sanitize_tests)

# Without RUSTFLAGS, since Miri knows few of the instructions of target-cpu=native. It is a hundred times slower:
# a few cases of each property, and no whole vocabulary, which only safe code looks at. Its exp() varies in the last
# digit otherwise, which is no fault to look for here.
miri: export RUSTFLAGS :=
miri: export CARGO_TARGET_DIR := $(CARGO_TARGET_DIR)/miri
miri: export MIRIFLAGS ?= -Zmiri-disable-isolation -Zmiri-deterministic-floats
miri: export PROPTEST_CASES ?= 4
miri: ## the core's Rust tests under Miri
	@"$(CARGO)" +nightly miri --version >/dev/null 2>&1 || \
	    { echo 'error: Miri is missing: rustup toolchain install nightly --component miri,rust-src' >&2; exit 1; }
	"$(CARGO)" +nightly miri test $(sanitize_tests) --skip golden_values
