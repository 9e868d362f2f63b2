#!/bin/sh
# Builds the C tests against the plugin library, static and shared, and runs them.
#
#   scripts/c-tests.sh [plain|asan|valgrind]
#
# SDA_PLUGIN_DIR holds libsda.so and libsda.a, SDA_NATIVE_LIBS is the file with the system libraries that
# the static one needs; `make test-c`, `make asan` and `make valgrind` set both.

set -eu

mode=${1:-plain}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
libs=${SDA_PLUGIN_DIR:?is not set: run through make}
native=$(cat "${SDA_NATIVE_LIBS:-$libs/../native-static-libs.txt}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sanitize=
run=
case $mode in
    plain) ;;
    # Not recovering makes every finding of UBSan a failure too. The library itself is not instrumented:
    # its allocations, and what it does with the tests' memory through memcpy and the like, are.
    asan) sanitize='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer' ;;
    valgrind)
        command -v valgrind >/dev/null ||
            { echo 'error: valgrind is missing: install it (Debian and Ubuntu: apt-get install valgrind)' >&2; exit 1; }
        run='valgrind --quiet --error-exitcode=1 --leak-check=full --show-leak-kinds=definite,possible
             --errors-for-leak-kinds=definite,possible'
        ;;
    *) echo "error: unknown mode $mode, must be plain, asan or valgrind" >&2; exit 2 ;;
esac
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1

# The loader looks for the name that is recorded in the library.
ln -s "$libs/libsda.so" "$work/libsda.so"
ln -s "$libs/libsda.so" "$work/libsda.so.2"

warnings='-Wall -Wextra -Werror -Wno-unused-function'

# A checker that is not in force finds nothing: it has to find these first.
cat >"$work/faulty.c" <<'C'
#include <limits.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    volatile int large = INT_MAX;
    char *volatile four = malloc(4);
    (void)argv;
    switch (argc) {
    case 2: four[4] = 1; break;       /* beyond the end */
    case 3: four = malloc(4); break;  /* the first four bytes leak */
    case 4: large = large + 1; break; /* undefined */
    }
    free(four);
    return 0;
}
C
if [ "$mode" != plain ]; then
    # shellcheck disable=SC2086 # lists of words
    ${CC:-cc} -g -O0 $sanitize "$work/faulty.c" -o "$work/faulty"
    # shellcheck disable=SC2086
    $run "$work/faulty" || { echo "error: $mode complains about a program without a fault" >&2; exit 1; }
    faults='x x,x'
    [ "$mode" != asan ] || faults="$faults x,x,x"
    for fault in $faults; do
        # shellcheck disable=SC2046,SC2086
        ! $run "$work/faulty" $(printf '%s' "$fault" | tr , ' ') >/dev/null 2>&1 ||
            { echo "error: $mode does not find fault $fault" >&2; exit 1; }
    done
    echo "$mode finds what is wrong with a faulty program"
fi

count=0
for source in "$root"/tests/c/test_*.c "$root"/tests/c/*.cpp; do
    name=$(basename "${source%.*}")
    case $source in
        *.cpp) compiler="${CXX:-c++} -std=c++17 -pedantic" ;;
        *) compiler="${CC:-cc} -std=c99 -pedantic" ;;
    esac
    for kind in static shared; do
        case $kind in
            static) link="$libs/libsda.a $native -lm" ;;
            shared) link="-L$work -Wl,-rpath,$work -lsda -lm" ;;
        esac
        program=$work/$name-$kind
        # The variables hold lists of words.
        # shellcheck disable=SC2086
        $compiler -g -O1 $warnings $sanitize -I"$root/include" "$source" -o "$program" $link
        if [ "$mode" = asan ]; then
            for runtime in __asan_init __ubsan_handle; do
                nm "$program" | grep -q "$runtime" || { echo "error: $name has no $runtime" >&2; exit 1; }
            done
        fi
        printf '%s, %s: ' "$mode" "$kind"
        # shellcheck disable=SC2086
        $run "$program"
        count=$((count + 1))
    done
done
echo "$count C test programs passed ($mode)"
