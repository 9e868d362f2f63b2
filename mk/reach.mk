# Builds for other machines, and their tests under an emulator. Included by the Makefile.

.PHONY: test-arm64 wine test-windows windows-command test-windows-command check-macos

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
wine test-windows test-windows-command: export WINEPREFIX := $(WINE)
wine test-windows test-windows-command: export WINEDEBUG := -all
wine test-windows test-windows-command: export WINEDLLOVERRIDES := mscoree,mshtml=
wine:
	mkdir -p "$(CROSS)" && wine wineboot --init && wineserver --wait
	@dll="$(WINE)/drive_c/windows/system32/bcryptprimitives.dll"; test -e "$$dll" || \
	    x86_64-w64-mingw32-gcc -Wall -Wextra -Werror -O1 -shared -o "$$dll" tests/wine/bcryptprimitives.c

test-windows: export RUSTFLAGS :=
test-windows: export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER := x86_64-w64-mingw32-gcc
test-windows: export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER := wine
test-windows: wine ## build the plugin for Windows with MinGW, run its Rust and C tests under wine
	$(call cross_tree,$(WINDOWS))
	SDA_PLUGIN_DLL="$(CROSS)/$(WINDOWS)/release/sda.dll" SDA_BINUTILS=x86_64-w64-mingw32- \
	    "$(CARGO)" test --locked --test symbols $(TESTFLAGS) dll -- --ignored
	$(call cross_c_tests,$(WINDOWS),-DCMAKE_CROSSCOMPILING_EMULATOR=wine)
	"$(CARGO)" test --locked --target $(WINDOWS) --features judge --lib --test core --test alloc --test judge $(TESTFLAGS)

# The command with llama.cpp inside. GCC's std::thread wants the posix variant of MinGW; its AVX code must not take the
# stack for aligned, which Windows does not align (GCC's fault 54412). In C, an older Windows is named, since the headers
# of MinGW 10 lack THREAD_POWER_THROTTLING_STATE. ggml's archives have no `lib` in their names on Windows and llama-cpp-sys-2
# does not find them, so they are named here. libstdc++ and libgomp are linked statically: with the DLLs, std::call_once
# would have two copies of its thread-local state, one of them empty.
MINGW := x86_64-w64-mingw32
MINGW_STATIC := $(CROSS)/mingw-static
WINDOWS_FLAGS := -Wa,-muse-unaligned-vector-move
windows-command test-windows-command: export RUSTFLAGS := -C target-cpu=x86-64-v3
windows-command test-windows-command: export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER := $(MINGW)-g++-posix
windows-command test-windows-command: export CC_x86_64_pc_windows_gnu := $(MINGW)-gcc-posix
windows-command test-windows-command: export CXX_x86_64_pc_windows_gnu := $(MINGW)-g++-posix
windows-command test-windows-command: export AR_x86_64_pc_windows_gnu := $(MINGW)-ar
windows-command test-windows-command: export CFLAGS_x86_64_pc_windows_gnu := -D_WIN32_WINNT=0x0601 $(WINDOWS_FLAGS)
windows-command test-windows-command: export CXXFLAGS_x86_64_pc_windows_gnu := -D_WIN32_WINNT=0x0A00 $(WINDOWS_FLAGS)
windows-command: setup ## build the command for Windows with MinGW
	@mkdir -p "$(MINGW_STATIC)" && for library in libstdc++.a libgomp.a; do \
	    ln -sf "$$($(MINGW)-g++-posix -print-file-name=$$library)" "$(MINGW_STATIC)/$$library"; done
	export BINDGEN_EXTRA_CLANG_ARGS_x86_64_pc_windows_gnu="-idirafter $$(dirname \
	    "$$($(MINGW)-gcc-posix -print-libgcc-file-name)")/include -idirafter /usr/$(MINGW)/include" && \
	scripts/tools.sh run "$(CARGO)" rustc --release --locked -p sda-cli --bin sda --target $(WINDOWS) -- \
	    -C link-args="-L$(MINGW_STATIC) -Wl,--start-group -l:ggml.a -l:ggml-cpu.a -l:ggml-base.a -lgomp -lstdc++ -lmingwex \
	        -lmsvcrt -lmingw32 -lgcc -l:libpthread.a -lkernel32 -ladvapi32 -Wl,--end-group"

test-windows-command: windows-command wine ## run the command for Windows under wine, on the default model
	tests/wine/command.sh "$(CARGO_TARGET_DIR)/$(WINDOWS)/release/sda.exe" "$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}"

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
