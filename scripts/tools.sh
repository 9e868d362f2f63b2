#!/bin/sh
# The tools that llama.cpp's build needs and a machine may lack: cmake, and libclang for bindgen.
#
#   scripts/tools.sh setup        install what is missing, tell what is used
#   scripts/tools.sh env          print the variables as `export` lines, for eval "$(make -s env)"
#   scripts/tools.sh run CMD...   run CMD with them
#
# A tool of the system is used where there is one. Otherwise its wheel is unpacked by pip into the cache
# folder, never into Python's own folders, so neither root nor a virtual environment is needed. The folder
# lies outside the checkout because LIBCLANG_PATH is part of what cargo compares: a path that differs
# between two checkouts would build the bindings again in a shared target folder.
#
# Respected when set: PYTHON, CC, LIBCLANG_PATH, BINDGEN_EXTRA_CLANG_ARGS, XDG_CACHE_HOME and pip's own.

set -eu

scripts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python=${PYTHON:-python3}
# What llama.cpp's CMakeLists.txt asks for.
cmake_major=3
cmake_minor=14

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

say() {
    printf '%s\n' "$*" >&2
}

# The folder that a pinned wheel is, or will be, unpacked into.
tool_dir() {
    cache=${XDG_CACHE_HOME:-${HOME:?is not set, and neither is XDG_CACHE_HOME}/.cache}
    version=$(sed -n "s/^$1==\([^ ]*\).*/\1/p" "$scripts/$1.txt")
    printf '%s\n' "$cache/sda/tools/$1-$version"
}

# Unpacks a pinned wheel. The folder gets its name only when it is whole, so an install that was cut off
# is never taken for a finished one.
install_tool() {
    dir=$(tool_dir "$1")
    [ ! -d "$dir" ] || return 0
    command -v "$python" >/dev/null 2>&1 ||
        die "$1 is missing, and $python, which would fetch it, too: install $1 or python3 with pip"
    "$python" -m pip --version >/dev/null 2>&1 ||
        die "$1 is missing, and $python has no pip to fetch it: install $1 or pip (Debian and Ubuntu: python3-pip)"
    say "fetching $1 with pip into $dir"
    mkdir -p "$(dirname -- "$dir")"
    partial=$(mktemp -d "$dir.XXXXXX")
    trap 'rm -rf "$partial"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
        --only-binary=:all: --require-hashes --target "$partial" -r "$scripts/$1.txt" >&2 ||
        die "pip could not install $1, see above; or install it with the system's package manager"
    chmod 755 "$partial"
    # Another process may have been faster; its folder is as good.
    if [ ! -d "$dir" ]; then
        mv "$partial" "$dir"
    fi
    rm -rf "$partial"
    trap - EXIT INT TERM
}

system_cmake() {
    version=$(cmake --version 2>/dev/null | sed -n 's/^cmake version \([0-9]*\.[0-9]*\).*/\1/p')
    [ -n "$version" ] || return 1
    major=${version%%.*}
    minor=${version#*.}
    [ "$major" -gt "$cmake_major" ] || { [ "$major" -eq "$cmake_major" ] && [ "$minor" -ge "$cmake_minor" ]; }
}

# The first folder with a libclang where bindgen looks for one by itself.
system_libclang() {
    llvm_lib=$(llvm-config --libdir 2>/dev/null || :)
    for file in "$llvm_lib"/libclang.so* "$llvm_lib"/libclang.dylib \
        /usr/local/llvm*/lib*/libclang[.-]* /usr/local/lib*/libclang[.-]* /usr/local/lib*/*/libclang[.-]* \
        /usr/lib*/libclang[.-]* /usr/lib*/*/libclang[.-]* /usr/lib*/*/lib/libclang[.-]* \
        /usr/local/opt/llvm*/lib/libclang.dylib /opt/homebrew/opt/llvm*/lib/libclang.dylib \
        /Library/Developer/CommandLineTools/usr/lib/libclang.dylib \
        /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib/libclang.dylib; do
        case ${file##*/} in
        # libclang-cpp is another library, and the static one is of no use here.
        libclang-cpp* | *.a) continue ;;
        libclang.so* | libclang-[0-9]*.so* | libclang.dylib) ;;
        *) continue ;;
        esac
        if [ -e "$file" ]; then
            dirname -- "$file"
            return 0
        fi
    done
    return 1
}

# Whether a libclang in folder $1 comes with the headers that belong to the compiler (stddef.h and so on):
# distributions ship them in a package of their own, and the wheel leaves them out.
has_compiler_headers() {
    for header in "$1"/clang/*/include/stddef.h "$1"/../lib/clang/*/include/stddef.h \
        /usr/lib/clang/*/include/stddef.h /usr/lib/llvm*/lib/clang/*/include/stddef.h; do
        [ ! -e "$header" ] || return 0
    done
    return 1
}

# The C compiler's folder of those headers.
compiler_headers() {
    # CC may hold words, such as "ccache gcc".
    # shellcheck disable=SC2086
    for compiler in "${CC:-}" cc gcc clang; do
        [ -n "$compiler" ] || continue
        headers=$($compiler -print-file-name=include 2>/dev/null || :)
        if [ -e "$headers/stddef.h" ]; then
            printf '%s\n' "$headers"
            return 0
        fi
    done
    return 1
}

# Sets the variables; installs nothing.
find_tools() {
    cmake_from=system
    if ! system_cmake; then
        cmake_from=$(tool_dir cmake)/cmake/data/bin
        PATH=$cmake_from:$PATH
    fi
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        libclang_from="$LIBCLANG_PATH (LIBCLANG_PATH)"
        libclang_dir=$LIBCLANG_PATH
    elif libclang_dir=$(system_libclang); then
        # bindgen finds it by itself: a plain `cargo build` then sees the same environment.
        libclang_from=$libclang_dir
    else
        libclang_dir=$(tool_dir libclang)/clang/native
        libclang_from=$libclang_dir
        LIBCLANG_PATH=$libclang_dir
    fi
    if [ -z "${BINDGEN_EXTRA_CLANG_ARGS:-}" ] && ! has_compiler_headers "$libclang_dir"; then
        if headers=$(compiler_headers); then
            # Searched after all others, so that libclang's own headers win where it has them after all.
            BINDGEN_EXTRA_CLANG_ARGS=-idirafter$headers
        fi
    fi
}

setup() {
    command -v "${CARGO:-cargo}" >/dev/null 2>&1 || die "cargo is missing: install Rust, see the file README.md"
    for compiler in "${CC:-cc}" "${CXX:-c++}"; do
        command -v "${compiler%% *}" >/dev/null 2>&1 ||
            die "${compiler%% *} is missing: install a C and C++ compiler (Debian and Ubuntu: g++)"
    done
    system_cmake || install_tool cmake
    [ -n "${LIBCLANG_PATH:-}" ] || system_libclang >/dev/null || install_tool libclang
    find_tools
    cmake_version=$(cmake --version 2>/dev/null | sed -n 's/^cmake version //p')
    [ -n "$cmake_version" ] || die "the cmake in $cmake_from does not run"
    say "cmake $cmake_version ($cmake_from)"
    say "libclang ($libclang_from)"
}

quote() {
    printf '%s\n' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"
}

print_env() {
    find_tools
    # shellcheck disable=SC2016 # the caller's shell expands it
    [ "$cmake_from" = system ] || printf 'export PATH=%s:"$PATH"\n' "$(quote "$cmake_from")"
    for name in LIBCLANG_PATH BINDGEN_EXTRA_CLANG_ARGS; do
        eval "value=\${$name:-}"
        [ -z "$value" ] || printf 'export %s=%s\n' "$name" "$(quote "$value")"
    done
}

case ${1:-} in
setup)
    setup
    ;;
env)
    print_env
    ;;
run)
    shift
    find_tools
    export PATH
    [ -z "${LIBCLANG_PATH:-}" ] || export LIBCLANG_PATH
    [ -z "${BINDGEN_EXTRA_CLANG_ARGS:-}" ] || export BINDGEN_EXTRA_CLANG_ARGS
    exec "$@"
    ;;
*)
    die "usage: tools.sh setup | env | run COMMAND..."
    ;;
esac
