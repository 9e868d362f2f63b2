#!/bin/sh
# Builds the example hosts against a shared llama.cpp that this crate did not build into itself, and two with
# the one that it did, runs them on a real model, and compares what they say, token for token.
#
#   scripts/test-hosts.sh [LLAMA_DIR]
#
# LLAMA_DIR is an installed llama.cpp (include/, lib/), by default SDA_LLAMA_DIR, else the one that
# build-llama-shared.sh makes.

set -eu

cd "$(dirname -- "$0")/.."
. scripts/hosts.sh
llama=${1:-${SDA_LLAMA_DIR:-}}
[ -n "$llama" ] || llama=$(scripts/build-llama-shared.sh)
[ -f "$llama/include/llama.h" ] || die "$llama holds no include/llama.h"
export SDA_LIB="$libsda" LLAMA_LIB="$llama/lib/$libllama"

# The plugin brings no llama.cpp and asks the loader for none.
! { nm -D "$libsda" 2>/dev/null || nm -g "$libsda"; } | grep -E ' _?(llama|ggml|gguf)_' || die "libsda holds or wants llama.cpp's symbols, see above"
ok 'libsda has no symbol of llama.cpp'

for host in paired paired-static dropin paired-cpp; do
    build "$host" "$llama"
done
! ldd "$work/paired-static" 2>/dev/null | grep libsda || die 'paired-static loads the shared libsda'
ok 'C and C++ hosts compile without a warning'

check_steering paired
check_steering dropin
ok 'steering changes the answer, the seed changes it, and without an instruction nothing does'

# The hosts with a llama.cpp of their own inside, built from the same source.
make_bundled
others='paired-static paired-cpp paired.py rust engine dropin'
# A negative seed takes the most likely token each time.
for setting in '1 7' '1 8' '0 7' '-0.5 7' '1 -1' '2.5 -1'; do
    amplification=${setting% *} seed=${setting#* }
    expected=$(ids paired "$amplification" "$seed")
    for host in $others; do
        found=$(ids "$host" "$amplification" "$seed")
        [ "$found" = "$expected" ] || die "amplification $amplification, seed $seed: $host says $found
paired says $expected"
    done
    ok "amplification $amplification, seed $seed: all hosts say $(printf '%.40s' "$expected")..."
done

expected=$(text paired 1 7)
for host in $others; do
    [ "$(text "$host" 1 7)" = "$expected" ] || die "$host prints another text than paired"
done
ok "all hosts print the same text: $(printf '%s' "$expected" | tr '\n' ' ' | cut -c 1-60)..."

# The lines that the README gives its reader, as they stand there. A score of 50 is this amplification.
sed -n '/^## In your llama.cpp program/,/^## /p' README.md | sed -n '/^```c$/,/^```$/p' | sed '/^```/d' >"$work/readme_snippet.h"
[ "$(wc -l <"$work/readme_snippet.h")" -ge 20 ] || die 'README.md has no lines for a llama.cpp program'
build readme "$llama" -I"$work"
[ "$(ids readme 50 7)" = "$(ids paired 0.46211715726 7)" ] || die 'the lines in README.md say something else than paired'
ok 'the lines in README.md compile without a warning, run, and say the same'

# One more program, for all that the examples do not do. The library is not built with the sanitizers, but
# leaks and wild writes of its allocations are seen all the same. SANITIZE= turns them off.
sanitize=${SANITIZE--fsanitize=address,undefined -fno-sanitize-recover=all}
! grep -q llama_sampler_copy "$llama/include/llama.h" || sanitize="$sanitize -DSDA_TEST_SAMPLER_COPY"
# shellcheck disable=SC2086 # several flags
build behaviour "$llama" $sanitize
case $sanitize in *=address*) nm "$work/behaviour" | grep -q __asan_init || die 'behaviour has no sanitizer' ;; esac
"$work/behaviour" "$model" >"$work/out" || die 'behaviour failed'
sed 's/^/ok: /' "$work/out"

# refused HOST TEXT ARGUMENT...: the host must fail with a status of its own and say TEXT.
refused() {
    host=$1 wanted=$2
    shift 2
    status=0
    said=$(run "$host" "$@" 2>&1 >"$work/out") || status=$?
    [ "$status" -eq 1 ] || die "$host $*: exit status $status, expected 1"
    case $said in *"$wanted"*) ;; *) die "$host $*: says \"$said\", expected \"$wanted\"" ;; esac
}
for host in paired dropin paired-cpp paired.py rust engine; do
    no_model='cannot load the model' bad_setting='a setting is outside its range'
    [ "$host" != rust ] || no_model='No such file' bad_setting='amplification is NaN, must be'
    refused "$host" "$no_model" "$work/none.gguf" "$prompt" "$instruction" 1 7 4
    refused "$host" "$bad_setting" "$model" "$prompt" "$instruction" nan 7 4
done
ok 'a missing model and a wrong setting are errors'
