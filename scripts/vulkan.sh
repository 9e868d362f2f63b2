#!/bin/sh
# What a build with BACKEND=vulkan needs beside a compiler: headers, the loader, glslc.
#
#   scripts/vulkan.sh check    say what is missing, and end with 1
#   scripts/vulkan.sh sdk      print the folder for VULKAN_SDK, nothing where the system's headers will do
#
# This llama.cpp wants headers with VK_EXT_layer_settings (1.3.272 or newer). Debian 12 has older ones: there the
# headers of Debian 13 are unpacked into the cache folder, by apt-get with lists of its own, so that nothing else of
# the system changes. The loader is the system's; it may be older than the headers.

set -eu

cache=${XDG_CACHE_HOME:-${HOME:?is not set, and neither is XDG_CACHE_HOME}/.cache}/sda/tools
sdk=$cache/vulkan-headers-debian13
packages='glslc libvulkan-dev spirv-headers, and a driver such as mesa-vulkan-drivers'

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# has FOLDER: it holds headers that are new enough.
has() {
    grep -qs LayerSettingsCreateInfoEXT "$1/vulkan/vulkan_structs.hpp"
}

fetch() {
    command -v apt-get >/dev/null 2>&1 && [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] ||
        die "the Vulkan headers are older than 1.3.272: install newer ones (the Vulkan SDK), and set VULKAN_SDK"
    printf 'fetching the Vulkan headers of Debian 13 with apt-get into %s\n' "$sdk" >&2
    mkdir -p "$cache"
    work=$(mktemp -d "$sdk.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts"
    # The mirror that the system uses.
    mirror=$(sed -n 's/^URIs: *\([^ ]*\/debian\) *$/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\/debian\) .*/\2/p' \
        /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
    [ -n "$mirror" ] || die "no mirror of Debian is among apt's sources: set VULKAN_SDK to newer Vulkan headers"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$work/sources.list"
    apt() {
        apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts="$work/parts" \
            -o Dir::Etc::preferencesparts="$work/parts" -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
            -o APT::Sandbox::User=root "$@" >&2
    }
    apt update
    (cd "$work" && apt download libvulkan-dev)
    dpkg-deb -x "$work"/libvulkan-dev_*.deb "$work/tree"
    has "$work/tree/usr/include" || die "Debian 13's libvulkan-dev has no headers that are new enough"
    mkdir "$work/sdk"
    mv "$work/tree/usr/include" "$work/sdk/include"
    # Another process may have been faster; its folder is as good.
    [ -d "$sdk" ] || mv "$work/sdk" "$sdk"
}

case ${1:-} in
check)
    command -v glslc >/dev/null || die "glslc is missing: install $packages"
    [ -n "${VULKAN_SDK:-}" ] || [ -e /usr/include/vulkan/vulkan.h ] || has "$sdk/include" ||
        die "the Vulkan headers and loader are missing: install $packages, or set VULKAN_SDK"
    ;;
sdk)
    if has "${VULKAN_SDK:-/usr}/include"; then
        printf '%s\n' "${VULKAN_SDK:-}"
    else
        has "$sdk/include" || fetch
        printf '%s\n' "$sdk"
    fi
    ;;
*)
    die "usage: scripts/vulkan.sh check | sdk"
    ;;
esac
