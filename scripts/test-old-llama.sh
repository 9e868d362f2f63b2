#!/bin/sh
# Builds the example hosts against real older releases of llama.cpp and runs them. Each is the source inside
# a release of the llama-cpp-sys-2 crate, built once by build-llama-shared.sh, two minutes each on two cores.
#
#   scripts/test-old-llama.sh [CRATE_VERSION...]

set -eu

. "$(dirname -- "$0")/hosts.sh"

# agree A B: how many tokens two answers begin with in common.
agree() {
    printf '%s\n%s\n' "$1" "$2" | awk 'NR == 1 { split($0, a) } NR == 2 { for (i = 1; i <= NF && $i == a[i]; i++) n++ }
        END { print n + 0 }'
}

# check VERSION ABOUT [FLAG...]
check() {
    version=$1 about=$2
    shift 2
    llama=$("$root/scripts/build-llama-shared.sh" "$version")
    hosts='paired dropin'
    # This header came in January 2025.
    [ ! -f "$llama/include/llama-cpp.h" ] || hosts="$hosts paired-cpp"
    for host in $hosts; do
        build $host "$llama" "$@"
    done
    check_steering paired
    check_steering dropin
    expected=$(ids paired 1 7)
    [ "$hosts" = 'paired dropin' ] || [ "$(ids paired-cpp 1 7)" = "$expected" ] ||
        die "llama-cpp-sys-2 $version: the hosts in C and C++ differ"
    ok "llama-cpp-sys-2 $version ($about): $hosts; drop-in and paired agree in $(agree "$(ids dropin 1 7)" "$expected") of 40 tokens"
}

for version in ${*:-0.1.84 0.1.89 0.1.103 0.1.118 0.1.135}; do
    case $version in
    0.1.84)
        check $version 'b3750, 2024-09: samplers with 6 callbacks, no llama_vocab' \
            -DSDA_LLAMA_API=202409 -include "$root/tests/hosts/llama_2024.h"
        ;;
    0.1.89) check $version '2025-01: llama_kv_cache_*' -DSDA_LLAMA_API=202501 ;;
    0.1.103) check $version '2025-05: llama_kv_self_*' ;;
    0.1.118) check $version '2025-08: llama_memory_*, kv_unified' -DSDA_LLAMA_API=202507 ;;
    0.1.135) check $version '2026-02: samplers with 10 callbacks' ;;
    *) check "$version" 'not in the list' ;;
    esac
done
