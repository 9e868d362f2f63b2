#!/bin/sh
# Builds the example hosts against real older releases of llama.cpp and runs them. Each is the source inside
# a release of the llama-cpp-sys-2 crate, built once by build-llama-shared.sh, two minutes each on two cores.
#
#   scripts/test-old-llama.sh [CRATE_VERSION...]

set -eu

cd "$(dirname -- "$0")/.."
. scripts/hosts.sh

# check VERSION ABOUT [FLAG...]
check() {
    version=$1 about=$2
    shift 2
    llama=$(scripts/build-llama-shared.sh "$version")
    hosts='paired dropin'
    # This header came in January 2025.
    [ ! -f "$llama/include/llama-cpp.h" ] || hosts="$hosts paired-cpp"
    for host in $hosts; do
        build "$host" "$llama" "$@"
    done
    build behaviour "$llama" "$@"
    "$work/behaviour" "$model" >"$work/out" 2>&1 || {
        cat "$work/out" >&2
        die "llama-cpp-sys-2 $version: behaviour failed"
    }
    check_steering paired
    check_steering dropin
    expected=$(ids paired 1 7)
    for host in $hosts; do
        found=$(ids "$host" 1 7)
        [ "$found" = "$expected" ] || die "llama-cpp-sys-2 $version: $host says $found
paired says $expected"
    done
    ok "llama-cpp-sys-2 $version ($about): $hosts all say $(printf '%.40s' "$expected")..., behaviour holds"
}

[ $# -gt 0 ] || set -- 0.1.84 0.1.89 0.1.103 0.1.118 0.1.135
flash_attn=tests/hosts/flash_attn.h
for version in "$@"; do
    case $version in
    0.1.84)
        check "$version" 'b3750, 2024-09: samplers with 6 callbacks, no llama_vocab' \
            -DSDA_LLAMA_API=202409 -include tests/hosts/llama_2024.h -include $flash_attn
        ;;
    0.1.89) check "$version" '2025-01: llama_kv_cache_*' -DSDA_LLAMA_API=202501 -include $flash_attn ;;
    0.1.103) check "$version" '2025-05: llama_kv_self_*' -include $flash_attn ;;
    0.1.118) check "$version" '2025-08: llama_memory_*, kv_unified' -DSDA_LLAMA_API=202507 -include $flash_attn ;;
    0.1.135) check "$version" '2026-02: samplers with 10 callbacks' ;;
    *) check "$version" 'not in the list' ;;
    esac
done
