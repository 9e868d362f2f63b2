#!/bin/sh
# The tools that llama.cpp's build needs and a machine may lack: cmake, and libclang for bindgen.
#
#   scripts/tools.sh setup        install what is missing, say what is used
#   scripts/tools.sh env          print the variables as `export` lines, for eval "$(make -s env)"
#   scripts/tools.sh run CMD...   run CMD with them
#
# The system's cmake is used where it is new enough, and the libclang that LIBCLANG_PATH names. Otherwise pip
# unpacks the pinned wheel into the cache folder, never into Python's own folders, so neither root nor a
# virtual environment is needed. The folder lies outside the checkout because LIBCLANG_PATH is part of what
# cargo compares: a path that differs between two checkouts would build the bindings again in a shared target
# folder.
#
# Respected when set: PYTHON, CC, LIBCLANG_PATH, BINDGEN_EXTRA_CLANG_ARGS, RUSTFLAGS, XDG_CACHE_HOME and pip's own.

set -eu

scripts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python=${PYTHON:-python3}
cache=${XDG_CACHE_HOME:-${HOME:?is not set, and neither is XDG_CACHE_HOME}/.cache}/sda/tools

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The folder that a pinned wheel is, or will be, unpacked into.
folder_of() {
    printf '%s/%s-%s\n' "$cache" "$1" "$(sed -n "s/^$1==\([^ ]*\).*/\1/p" "$scripts/$1.txt")"
}

# Unpacks a pinned wheel. The folder gets its name only when it is whole, so an install that was cut off
# is never taken for a finished one.
install() {
    folder=$(folder_of "$1")
    [ ! -d "$folder" ] || return 0
    "$python" -m pip --version >/dev/null 2>&1 ||
        die "$1 is missing, and $python has no pip to fetch it: install $1, or python3 with pip (Debian and Ubuntu: python3-pip)"
    printf 'fetching %s with pip into %s\n' "$1" "$folder" >&2
    mkdir -p "$cache"
    partial=$(mktemp -d "$folder.XXXXXX")
    trap 'rm -rf "$partial"' EXIT
    trap 'exit 130' INT TERM
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
        --only-binary=:all: --require-hashes --target "$partial" -r "$scripts/$1.txt" >&2 ||
        die "pip could not install $1, see above; or install it with the system's package manager"
    chmod 755 "$partial"
    # Another process may have been faster; its folder is as good.
    [ -d "$folder" ] || mv "$partial" "$folder"
    rm -rf "$partial"
    trap - EXIT INT TERM
}

# 3.14 is what llama.cpp's CMakeLists.txt asks for.
has_cmake() {
    version=$(cmake --version 2>/dev/null | sed -n 's/^cmake version //p')
    [ -n "$version" ] && printf '3.14\n%s\n' "$version" | sort -VC
}

# The wheel of libclang leaves out the compiler's own headers (stddef.h and so on), so the C compiler's are
# searched after all others.
find_tools() {
    has_cmake || PATH=$(folder_of cmake)/cmake/data/bin:$PATH
    if [ -z "${LIBCLANG_PATH:-}" ]; then
        LIBCLANG_PATH=$(folder_of libclang)/clang/native
        # CC may hold words, such as "ccache gcc".
        : "${BINDGEN_EXTRA_CLANG_ARGS=-idirafter$(${CC:-cc} -print-file-name=include)}"
    fi
    export PATH LIBCLANG_PATH
    [ -z "${BINDGEN_EXTRA_CLANG_ARGS:-}" ] || export BINDGEN_EXTRA_CLANG_ARGS
}

case ${1:-} in
setup)
    for tool in "${CARGO:-cargo}" "${CC:-cc}" "${CXX:-c++}"; do
        command -v "${tool%% *}" >/dev/null 2>&1 ||
            die "${tool%% *} is missing: install Rust and a C and C++ compiler (Debian and Ubuntu: g++), see README.md"
    done
    has_cmake || install cmake
    [ -n "${LIBCLANG_PATH:-}" ] || install libclang
    find_tools
    has_cmake || die "the cmake in $(folder_of cmake) does not run"
    printf 'cmake %s, libclang in %s\n' "$version" "$LIBCLANG_PATH" >&2
    ;;
env)
    find_tools
    for name in PATH LIBCLANG_PATH BINDGEN_EXTRA_CLANG_ARGS RUSTFLAGS; do
        eval "value=\${$name-}"
        quoted=$(printf '%s\n' "$value" | sed "s/'/'\\\\''/g")
        [ -z "$value" ] || printf "export %s='%s'\n" "$name" "$quoted"
    done
    ;;
run)
    shift
    find_tools
    exec "$@"
    ;;
*) die "usage: tools.sh setup | env | run COMMAND..." ;;
esac
