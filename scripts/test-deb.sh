#!/bin/sh
# Unpacks the Debian packages in FOLDER into FOLDER/root, and checks what they hold. Called by the Makefile.
#
#   test-deb.sh FOLDER TREE VERSION
#
# TREE is what `make install` installs, with the prefix as its top and lib/triplet as the folder of libraries.

set -eu

folder=$1 tree=$2 version=$3
root=$folder/root
rm -rf "$root"

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

field() {
    dpkg-deb -f "$folder/$1"_*.deb "$2"
}

for package in libsda2 libsda-dev sda; do
    [ "$(field "$package" Version)" = "$version" ] || die "$package has another version than Cargo.toml, $version: see debian/changelog"
    dpkg-deb -x "$folder/$package"_*.deb "$root"
    [ -s "$root/usr/share/doc/$package/copyright" ] || die "$package says nothing of its licence"
done

# The package is named after the run-time name of the library, and tells which version a program needs.
so=$(readelf -d "$root"/usr/lib/*/libsda.so | sed -n 's/.*(SONAME).*\[libsda\.so\.\(.*\)\].*/\1/p')
[ "libsda$so" = libsda2 ] || die "the library is libsda.so.$so, and the package libsda2: rename it"
dpkg-deb --ctrl-tarfile "$folder"/libsda2_*.deb | tar -xO ./shlibs | grep -q "^libsda 2 libsda2 (>= $version)$" ||
    die 'libsda2 has no shlibs'
case $(field libsda2 Depends) in
*libc6*) ;;
*) die 'libsda2 does not depend on libc6' ;;
esac
[ "$(field libsda-dev Depends)" = "libsda2 (= $version)" ] || die "libsda-dev needs $(field libsda-dev Depends)"

# Together they install what `make install` does.
triplet=$(basename "$(dirname "$(ls "$root"/usr/lib/*/libsda.so)")")
installed() {
    (cd "$1" && find include lib ! -type d) | sed "s:^lib/$2/:lib/triplet/:" | sort
}
installed "$tree" triplet >"$folder/expected.list"
installed "$root/usr" "$triplet" | diff "$folder/expected.list" - || die 'the packages hold other files than `make install` installs'

"$root/usr/bin/sda" --version
