#!/bin/sh
# Makes a shared llama.cpp for the example hosts, and prints the folder with its include/ and lib/.
#
#   scripts/build-llama-shared.sh                  the one inside this crate
#   scripts/build-llama-shared.sh CRATE_VERSION    the source inside that release of llama-cpp-sys-2
#
# The first is linked in a second from the objects that cargo has built already, into CARGO_TARGET_DIR. The
# second is compiled once, in minutes, into ${XDG_CACHE_HOME:-~/.cache}/sda/llama-shared-CRATE_VERSION;
# CMAKE_ARGS adds cmake options, JOBS sets the number of compilers. Only the last line goes to stdout.
set -eu

repo=$(cd "$(dirname "$0")/.." && pwd)
cargo=${CARGO:-cargo}
die() { echo "build-llama-shared: $*" >&2; exit 1; }

if [ $# -eq 0 ]; then
    [ "$(uname -s)" = Linux ] || die "name a release of llama-cpp-sys-2: its objects are linked on Linux only"
    out=$("$cargo" build --release --locked -p sda --features bundled,judge --lib --message-format json --manifest-path "$repo/Cargo.toml" |
        grep '"build-script-executed"' | grep 'llama-cpp-sys-2[@#]' | sed 's/.*"out_dir":"\([^"]*\)".*/\1/')
    [ -f "$out/lib/libllama.a" ] || die "cargo has built no llama.cpp with a libllama.a in $out"
    dest=${CARGO_TARGET_DIR:-$repo/target}/llama-shared
    rm -rf "$dest"
    mkdir -p "$dest/lib"
    cp -R "$out/include" "$dest"
    "${CXX:-c++}" -shared -o "$dest/lib/libllama.so" -Wl,-soname,libllama.so -Wl,--no-undefined -Wl,--whole-archive \
        "$out/lib/libllama.a" "$out"/lib/libggml*.a -Wl,--no-whole-archive -fopenmp -lpthread -lm -ldl
    echo "$dest"
    exit 0
fi

command -v cmake >/dev/null || die "cmake is missing: run through make"
version=$1
dest=${XDG_CACHE_HOME:-$HOME/.cache}/sda/llama-shared-$version
if [ -f "$dest/build.txt" ]; then
    echo "$dest"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# A crate of its own, so that any version can be asked for; cargo knows where the source lies,
# whatever CARGO_HOME, mirror or vendored directory is in use.
mkdir -p "$work/probe/src"
: > "$work/probe/src/lib.rs"
cat > "$work/probe/Cargo.toml" <<TOML
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
llama-cpp-sys-2 = { version = "=$version", default-features = false }
[workspace]
TOML
# The same lock where it can be the same, so that nothing but the one crate has to be fetched.
cp "$repo/Cargo.lock" "$work/probe/Cargo.lock"
manifest=$("$cargo" metadata --format-version 1 --manifest-path "$work/probe/Cargo.toml" |
    grep -o '"manifest_path":"[^"]*llama-cpp-sys-2[^"]*Cargo.toml"' | head -n 1 | cut -d '"' -f 4)
source=$(dirname "$manifest")/llama.cpp
[ -f "$source/CMakeLists.txt" ] || die "llama-cpp-sys-2 $version holds no llama.cpp with a CMakeLists.txt"

# The build writes into its source tree in some versions, and cargo's must stay as it is.
cp -R "$source" "$work/llama.cpp"
chmod -R u+w "$work/llama.cpp"
# The crate leaves out directories that the top CMakeLists.txt enters; they are not needed here.
for dir in common vendor tools examples tests pocs app; do
    [ -f "$work/llama.cpp/$dir/CMakeLists.txt" ] || sed -i.bak "/add_subdirectory($dir)/d" "$work/llama.cpp/CMakeLists.txt"
done

echo "build-llama-shared: building llama.cpp of llama-cpp-sys-2 $version into $dest" >&2
# shellcheck disable=SC2016,SC2086 # $ORIGIN is for the loader, CMAKE_ARGS is several words
cmake -S "$work/llama.cpp" -B "$work/build" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$dest" -DCMAKE_INSTALL_LIBDIR=lib \
    -DCMAKE_INSTALL_RPATH='$ORIGIN' -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=ON -DGGML_CCACHE=OFF \
    -DLLAMA_CURL=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF ${CMAKE_ARGS:-} >&2
cmake --build "$work/build" -j "${JOBS:-2}" >&2
rm -rf "$dest"
cmake --install "$work/build" >&2
[ -f "$dest/include/llama.h" ] || die "the build installed no include/llama.h"
echo "llama-cpp-sys-2 $version" > "$dest/build.txt"
echo "$dest"
