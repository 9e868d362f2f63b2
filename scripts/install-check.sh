#!/bin/sh
# Installs the plugin, moves the tree, and builds and runs a C program against nothing but that tree:
# through pkg-config and through CMake, with the shared and with the static library.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cc=${CC:-cc}
pkg_config=${PKG_CONFIG:-pkg-config}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

command -v "$pkg_config" >/dev/null 2>&1 || die "$pkg_config is missing: install pkg-config or pkgconf, or set PKG_CONFIG"
command -v cmake >/dev/null 2>&1 || die "cmake is missing: run through \`make install-check\`"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# A LIBDIR of two levels, as Debian has it, is where a relative path goes wrong first.
libdir=lib/some-triplet
${MAKE:-make} -s -C "$root" install DESTDIR="$work/stage" PREFIX=/opt/sda LIBDIR="/opt/sda/$libdir"
tree=$work/moved
mv stage/opt/sda "$tree"
lib=$tree/$libdir

cat >version.c <<'C'
#include <sda.h>
#include <stdio.h>
#include <string.h>

/* Fails unless the library is of the version that the installed files name. */
int main(int argc, char **argv) {
    if (argc != 2 || strcmp(sda_version(), argv[1]) != 0) {
        fprintf(stderr, "sda_version() is %s, expected %s\n", sda_version(), argc == 2 ? argv[1] : "one argument");
        return 1;
    }
    printf("%s\n", sda_version());
    return 0;
}
C

# Runs program $2 as check $1 with shared libraries looked up in the moved tree.
check() {
    LD_LIBRARY_PATH=$lib DYLD_LIBRARY_PATH=$lib "$2" "$version" >out || die "$1: $2 failed"
    printf 'ok: %s: sda_version() is %s\n' "$1" "$(cat out)"
}

# Whether program $1 loads libsda at run time, and under the name that carries the ABI's number.
loads_libsda() {
    if command -v readelf >/dev/null 2>&1; then
        readelf -d "$1" | grep -q 'NEEDED.*\[libsda\.so\.[0-9]'
    else
        otool -L "$1" | grep -q 'libsda\.[0-9]*\.dylib'
    fi
}

export PKG_CONFIG_PATH="$lib/pkgconfig"
version=$("$pkg_config" --modversion sda)
warnings='-std=c99 -Wall -Wextra -Wpedantic -Werror'

# The words of flags have to be split.
# shellcheck disable=SC2046,SC2086
$cc $warnings version.c $("$pkg_config" --cflags --libs sda) -o with_pkg_config
check 'pkg-config, shared' ./with_pkg_config
loads_libsda ./with_pkg_config || die "with_pkg_config does not load libsda.so.ABI"

# The linker prefers the shared library where both are installed, so this tree has only the static one.
cp -R "$tree" "$work/static"
rm -f "$work/static/$libdir"/libsda.so* "$work/static/$libdir"/libsda*.dylib
# shellcheck disable=SC2046,SC2086
$cc $warnings version.c $(PKG_CONFIG_PATH="$work/static/$libdir/pkgconfig" "$pkg_config" --static --cflags --libs sda) \
    -o with_pkg_config_static
check 'pkg-config, static' ./with_pkg_config_static
! loads_libsda ./with_pkg_config_static || die "with_pkg_config_static loads the shared library"

mkdir project
cat >project/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.14)
project(version C)
find_package(sda ${wanted} REQUIRED COMPONENTS shared static)
add_executable(with_cmake ../version.c)
target_link_libraries(with_cmake PRIVATE sda::sda)
add_executable(with_cmake_static ../version.c)
target_link_libraries(with_cmake_static PRIVATE sda::sda_static)
CMAKE
configure() {
    cmake -S project -B build -Dsda_DIR="$lib/cmake/sda" -Dwanted="$1" >cmake.log 2>&1
}
if ! configure "$version" || ! cmake --build build >>cmake.log 2>&1; then
    cat cmake.log >&2
    die "the CMake project does not build"
fi
check 'CMake, shared' build/with_cmake
loads_libsda build/with_cmake || die "with_cmake does not load libsda.so.ABI"
check 'CMake, static' build/with_cmake_static
! loads_libsda build/with_cmake_static || die "with_cmake_static loads the shared library"

# What must not fit does not fit.
for wanted in 99 "${version%.*}.99"; do
    rm -rf build
    ! configure "$wanted" || die "find_package accepts version $version where $wanted is asked for"
done
printf 'ok: CMake refuses other versions\n'

# The plugin takes llama.cpp from its host; none of it may be inside.
nm "$lib/libsda.a" >symbols 2>/dev/null || :
grep -q ' T _*sda_version$' symbols || die "nm lists no sda_version in libsda.a"
! grep -E ' [TtDdBbRr] _?(llama|ggml|gguf)_[a-z]' symbols || die "libsda.a holds llama.cpp, see above"
printf 'ok: libsda.a holds no llama.cpp\n'
