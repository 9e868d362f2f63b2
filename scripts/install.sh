#!/bin/sh
# Installs the plugin library for C and C++ programs, or removes it. Called by the Makefile.
#
#   install.sh install FOLDER-WITH-LIBSDA FILE-WITH-NATIVE-STATIC-LIBS
#   install.sh uninstall
#
# Reads DESTDIR, PREFIX, LIBDIR and INCLUDEDIR. The installed tree can be moved: the pkg-config file and the
# CMake package find everything relative to themselves, so LIBDIR and INCLUDEDIR have to lie below PREFIX. What is
# built decides the names, so a library for another system can be installed: a DLL goes to PREFIX/bin, as Windows
# has it, and its import library to LIBDIR.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
: "${DESTDIR=}" "${PREFIX:=/usr/local}" "${LIBDIR:=$PREFIX/lib}" "${INCLUDEDIR:=$PREFIX/include}"

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Prints path $1 relative to the prefix.
below_prefix() {
    case $1 in
    "$PREFIX"/?*) printf '%s\n' "${1#"$PREFIX"/}" ;;
    *) die "$2 is $1, expected a folder below PREFIX, $PREFIX" ;;
    esac
}

# Prints one .. for each component of a relative path.
way_up() {
    printf '%s\n' "$1" | sed 's:[^/][^/]*:..:g'
}

# Prints the name under which programs look for the shared library $1 at run time.
run_time_name() {
    case $1 in
    *.dll) printf '%s\n' "${1##*/}" ;;
    *.dylib) otool -D "$1" | sed -n 2p ;;
    *) readelf -d "$1" | sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p' ;;
    esac
}

# Fills in a template: @NAME@ stands for the value.
fill() {
    minor=${version#*.}
    sed -e "s|@VERSION@|$version|g" \
        -e "s|@MAJOR@|${version%%.*}|g" \
        -e "s|@MINOR@|${minor%%.*}|g" \
        -e "s|@LIBDIR@|$lib|g" \
        -e "s|@INCLUDEDIR@|$include|g" \
        -e "s|@PREFIX_FROM_LIBDIR@|$up|g" \
        -e "s|@SHARED_FILE@|$folder/$shared|g" \
        -e "s|@IMPORT_FILE@|$import|g" \
        -e "s|@SHARED_NAME@|$soname|g" \
        -e "s|@NATIVE_LIBS@|$native|g" \
        -e "s|@NATIVE_LIBS_CMAKE@|$native_cmake|g" "$1"
}

PREFIX=${PREFIX%/}
LIBDIR=${LIBDIR%/}
INCLUDEDIR=${INCLUDEDIR%/}
lib=$(below_prefix "$LIBDIR" LIBDIR)
include=$(below_prefix "$INCLUDEDIR" INCLUDEDIR)
up=$(way_up "$lib")
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
[ -n "$version" ] || die "$root/Cargo.toml has no version in [workspace.package]"
to_lib=$DESTDIR$LIBDIR
to_include=$DESTDIR$INCLUDEDIR
to_bin=$DESTDIR$PREFIX/bin

case ${1:-} in
install) [ $# -eq 3 ] || die "usage: install.sh install FOLDER FILE" ;;
uninstall)
    for header in "$root"/include/*.h "$root"/include/*.hpp; do
        rm -f "$to_include/${header##*/}"
    done
    rm -f "$to_lib"/libsda.so "$to_lib"/libsda.so.* "$to_lib"/libsda.dylib "$to_lib"/libsda.*.dylib \
        "$to_lib/libsda.dll.a" "$to_bin/sda.dll" "$to_lib/libsda.a" "$to_lib/pkgconfig/sda.pc"
    rm -rf "$to_lib/cmake/sda"
    exit 0
    ;;
*) die "usage: install.sh install FOLDER FILE | uninstall" ;;
esac

built=$2
library=$built/libsda.so
for candidate in "$built/libsda.dylib" "$built/sda.dll"; do
    [ ! -e "$candidate" ] || library=$candidate
done
[ -e "$library" ] && [ -e "$built/libsda.a" ] || die "$built holds no libsda: run \`make plugin\` first"
name=$(run_time_name "$library")
[ -n "$name" ] || die "$library has no SONAME"
# On macOS it comes with a folder, @rpath/, which CMake wants to know.
soname=$name name=${name##*/}

# The file has the whole version in its name, the run-time name and the link-time name point to it.
folder=$lib import=
case $name in
sda.dll) shared=$name link=libsda.dll.a abi=$version folder=bin import=$lib/$link ;;
libsda.so.*) shared=libsda.so.$version link=libsda.so abi=${name#libsda.so.} ;;
libsda.*.dylib) shared=libsda.$version.dylib link=libsda.dylib abi=${name#libsda.} abi=${abi%.dylib} ;;
*) die "$library has the run-time name $name, expected libsda.so.ABI" ;;
esac
case $version in
"$abi" | "$abi".*) ;;
*) # The ABI's number is not the version's first, so both are in the name.
    case $link in
    *.so) shared=$name.$version ;;
    *) shared=libsda.$abi.$version.dylib ;;
    esac ;;
esac

# As rustc prints them: their order matters to some linkers. A framework of macOS is two words.
native=$(tr -s ' \n' '  ' <"$3" | sed 's/^ //; s/ $//')
native_cmake=$(printf '%s\n' "$native" | sed 's/ -/;-/g')

install -d "$to_include" "$to_lib/pkgconfig" "$to_lib/cmake/sda"
for header in "$root"/include/*.h "$root"/include/*.hpp; do
    [ -e "$header" ] || die "$root/include holds no header"
    install -m 644 "$header" "$to_include"
done
install -m 644 "$built/libsda.a" "$to_lib"
if [ -n "$import" ]; then
    install -d "$to_bin"
    install -m 755 "$library" "$to_bin/$shared"
    install -m 644 "$built/$link" "$to_lib"
else
    install -m 755 "$library" "$to_lib/$shared"
    [ "$name" = "$shared" ] || ln -sf "$shared" "$to_lib/$name"
    ln -sf "$name" "$to_lib/$link"
fi
for template in sda.pc sda-config.cmake sda-config-version.cmake; do
    case $template in
    *.pc) target=$to_lib/pkgconfig/$template ;;
    *) target=$to_lib/cmake/sda/$template ;;
    esac
    fill "$root/packaging/$template.in" >"$target.new"
    chmod 644 "$target.new"
    mv -f "$target.new" "$target"
done
