# Builds for other machines, and their tests under an emulator. Included by the Makefile.

.PHONY: test-arm64 test-windows check-macos

# Flags for this machine's CPU would be wrong for another.
ARM64 := aarch64-unknown-linux-gnu
ARM64_SYSROOT ?= /usr/aarch64-linux-gnu
test-arm64: export RUSTFLAGS :=
test-arm64: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER := aarch64-linux-gnu-gcc
test-arm64: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER := qemu-aarch64 -L $(ARM64_SYSROOT)

# The plugin of another target, in a tree as `make tree` makes it: $(call cross_tree,TARGET).
CROSS := $(CARGO_TARGET_DIR)/cross
cross_tree = mkdir -p "$(CROSS)/$(1)" && rm -rf "$(CROSS)/$(1)/stage" "$(CROSS)/$(1)/tree" && \
    CARGO_TARGET_DIR="$(CROSS)" "$(CARGO)" rustc --release --locked -p sda-capi --lib --target $(1) -- \
        --print native-static-libs="$(CROSS)/$(1)/native-static-libs.txt" && \
    DESTDIR="$(CROSS)/$(1)/stage" PREFIX=/sda LIBDIR=/sda/lib/triplet INCLUDEDIR=/sda/include \
        scripts/install.sh install "$(CROSS)/$(1)/release" "$(CROSS)/$(1)/native-static-libs.txt" && \
    mv "$(CROSS)/$(1)/stage/sda" "$(CROSS)/$(1)/tree"

# The C tests against that tree: $(call cross_c_tests,TARGET).
cross_c_tests = build="$(CROSS)/$(1)/c" && rm -rf "$$build" && scripts/tools.sh run cmake -S tests/c -B "$$build" \
        -DCMAKE_TOOLCHAIN_FILE="$(CURDIR)/tests/c/toolchains/$(1).cmake" \
        -Dsda_DIR="$(CROSS)/$(1)/tree/lib/triplet/cmake/sda" $(2) && \
    scripts/tools.sh run cmake --build "$$build" && \
    scripts/tools.sh run ctest --test-dir "$$build" --output-on-failure --no-tests=error

# Without timings: an emulator says nothing about them.
test-arm64: ## cross-build the plugin for ARM64 Linux, run its Rust and C tests under qemu
	$(call cross_tree,$(ARM64))
	SDA_PLUGIN_LIB="$(CROSS)/$(ARM64)/release/libsda.so" SDA_BINUTILS=aarch64-linux-gnu- \
	    "$(CARGO)" test --locked --target $(ARM64) --lib --test core --test alloc --test symbols $(TESTFLAGS)
	$(call cross_c_tests,$(ARM64),-DCMAKE_CROSSCOMPILING_EMULATOR="qemu-aarch64;-L;$(ARM64_SYSROOT)")

WINDOWS := x86_64-pc-windows-gnu
# Windows of its own, so that ~/.wine stays as it is.
WINE := $(CROSS)/wine
test-windows: export WINEPREFIX := $(WINE)
test-windows: export WINEDEBUG := -all
test-windows: export WINEDLLOVERRIDES := mscoree,mshtml=
test-windows: export RUSTFLAGS :=
test-windows: export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER := x86_64-w64-mingw32-gcc
test-windows: export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER := wine
test-windows: ## build the plugin for Windows with MinGW, run its Rust and C tests under wine
	$(call cross_tree,$(WINDOWS))
	SDA_PLUGIN_DLL="$(CROSS)/$(WINDOWS)/release/sda.dll" SDA_BINUTILS=x86_64-w64-mingw32- \
	    "$(CARGO)" test --locked --test symbols $(TESTFLAGS) dll -- --ignored
	wine wineboot --init && wineserver --wait
	@dll="$(WINE)/drive_c/windows/system32/bcryptprimitives.dll"; test -e "$$dll" || \
	    x86_64-w64-mingw32-gcc -Wall -Wextra -Werror -O1 -shared -o "$$dll" tests/wine/bcryptprimitives.c
	$(call cross_c_tests,$(WINDOWS),-DCMAKE_CROSSCOMPILING_EMULATOR=wine)
	"$(CARGO)" test --locked --target $(WINDOWS) --features judge --lib --test core --test alloc --test judge $(TESTFLAGS)

# Neither a C compiler nor the SDK of macOS is at hand, so stand-ins are: nothing is compiled or linked, and the types of
# all Rust are checked, the bindings to llama.cpp included.
MACOS := aarch64-apple-darwin
check-macos: setup ## check the types of library and command for macOS, without its C compiler
	cc="$$(cc -print-file-name=include)" && CARGO_TARGET_DIR="$(CROSS)" RUSTFLAGS= CMAKE="$(CURDIR)/tests/macos/cmake" \
	CC_aarch64_apple_darwin="$(CURDIR)/tests/macos/cc" CXX_aarch64_apple_darwin="$(CURDIR)/tests/macos/cc" \
	AR_aarch64_apple_darwin="$(CURDIR)/tests/macos/ar" \
	BINDGEN_EXTRA_CLANG_ARGS="-ffreestanding -isystem $(CURDIR)/tests/macos/include -isystem $$cc" scripts/tools.sh run \
	    "$(CARGO)" check --locked --target $(MACOS) --workspace --all-targets --features bundled,judge
	@macos="$(CROSS)/macos" && rm -rf "$$macos" && mkdir -p "$$macos/built" && \
	    touch "$$macos/built/libsda.dylib" "$$macos/built/libsda.a" && echo '-framework Security -lSystem' >"$$macos/libs" && \
	    PATH="$(CURDIR)/tests/macos:$$PATH" DESTDIR="$$macos" PREFIX=/sda LIBDIR=/sda/lib INCLUDEDIR=/sda/include \
	        scripts/install.sh install "$$macos/built" "$$macos/libs" && cd "$$macos/sda/lib" && set -x && \
	    test -e libsda.dylib && test "$$(readlink libsda.dylib)" = libsda.2.dylib && \
	    grep -q '^Libs.private: -framework Security' pkgconfig/sda.pc && \
	    grep -q '"@rpath/libsda.2.dylib"' cmake/sda/sda-config.cmake
