# shellcheck shell=sh
# Sourced, in the checkout's folder, by the scripts that build and run the example hosts. Installs the plugin
# into a folder of its own and leaves:
#
#   $work $libsda        a folder, and the plugin installed into it; HOSTS_DIR names it, else it is temporary
#   $libllama            what the shared llama.cpp is called here
#   $bundled             the libsda with llama.cpp inside, as make builds it; make_bundled builds it
#   $model               the test model: SDA_TEST_MODEL, by default SmolLM2
#   build, ids, text     functions, see below

cc=${CC:-cc}
cxx=${CXX:-c++}
python=${PYTHON:-python3}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

ok() {
    printf 'ok: %s\n' "$*"
}

# Threads that wait for one another by spinning cost minutes on a machine that is busy otherwise.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"

model=${SDA_TEST_MODEL:-$("$python" scripts/fetch.py smollm2)}
[ -f "$model" ] || die "the test model $model is missing"

work=${HOSTS_DIR:-}
if [ -z "$work" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
fi

${MAKE:-make} -s install DESTDIR="$work/stage" PREFIX=/sda LIBDIR=/sda/lib INCLUDEDIR=/sda/include >&2
sda=$work/stage/sda
# shellcheck disable=SC2034 # used by those who source this
case $(uname -s) in
Darwin) libsda=$sda/lib/libsda.dylib libllama=libllama.dylib ;;
*) libsda=$sda/lib/libsda.so libllama=libllama.so ;;
esac

# build HOST LLAMA_DIR [FLAG...]: compiles one of the hosts below against an installed llama.cpp. Warnings
# are errors.
build() {
    host=$1
    llama=$2
    shift 2
    case $host in
    paired) compiler="$cc -std=c99 -pedantic" source=examples/c/paired.c ;;
    paired-static) compiler="$cc -std=c99 -pedantic" source=examples/c/paired.c ;;
    dropin) compiler="$cc -std=c99 -pedantic" source=examples/c/dropin.c ;;
    paired-cpp) compiler="$cxx -std=c++17 -pedantic" source=examples/cpp/paired.cpp ;;
    readme) compiler="$cc -std=c99 -pedantic" source=tests/hosts/readme.c ;;
    behaviour) compiler="$cc -std=c99 -pedantic -g" source=tests/hosts/behaviour.c ;;
    *) die "no host $host" ;;
    esac
    plugin="-L$sda/lib -lsda -Wl,-rpath,$sda/lib"
    [ "$host" != paired-static ] || plugin="$sda/lib/libsda.a $(sed -n 's/^Libs.private: //p' "$sda/lib/pkgconfig/sda.pc")"
    # shellcheck disable=SC2086 # the compiler and the plugin's flags are several words
    $compiler -O1 -Wall -Wextra -Werror "$@" -I"$sda/include" -isystem "$llama/include" "$source" \
        $plugin -L"$llama/lib" -lllama -lm -Wl,-rpath,"$llama/lib" -o "$work/$host"
}

# Builds the hosts with the llama.cpp inside this crate: libsda for one in C, and the one in Rust.
target=${CARGO_TARGET_DIR:-$PWD/target}
make_bundled() {
    "${CARGO:-cargo}" build --release --locked --quiet --lib --example paired
    case $(uname -s) in
    Darwin) bundled=$target/release/libsda.dylib ;;
    *) bundled=$target/release/libsda.so ;;
    esac
    # The loader looks for the name inside the library.
    mkdir -p "$work/bundled"
    ln -sf "$bundled" "$work/bundled/$(readlink "$libsda")"
    # shellcheck disable=SC2086 # the compiler is several words
    $cc -std=c99 -pedantic -O1 -Wall -Wextra -Werror -I"$sda/include" examples/c/engine.c "$bundled" \
        -lpthread -Wl,-rpath,"$work/bundled" -o "$work/engine"
}

prompt='What does a computer do?'
instruction='Explain it to a five-year-old child, with an animal in the story.'

# run HOST ARGUMENT...: runs a host that was built, or one of those in Python.
run() {
    host=$1
    shift
    case $host in
    *.py) "$python" "examples/python/$host" "$@" ;;
    rust) "$target/release/examples/paired" "$@" ;;
    engine) "$work/engine" "$@" --chatml ;;
    *) "$work/$host" "$@" ;;
    esac
}

# ids HOST AMPLIFICATION SEED [INSTRUCTION]: token ids of an answer.
ids() {
    run "$1" "$model" "$prompt" "${4-$instruction}" "$2" "$3" 40 --ids || die "$1 failed"
}

# text HOST AMPLIFICATION SEED: the answer.
text() {
    run "$1" "$model" "$prompt" "$instruction" "$2" "$3" 40 || die "$1 failed"
}

# What must hold for a host by itself. With no instruction both branches are the same, so that no
# amplification can have an effect.
check_steering() {
    first=$(ids "$1" 1 7)
    [ "$(printf '%s' "$first" | wc -w)" -ge 10 ] || die "$1: the answer is too short: $first"
    [ "$first" = "$(ids "$1" 1 7)" ] || die "$1: a second run gives another answer"
    [ "$first" != "$(ids "$1" 1 8)" ] || die "$1: another seed gives the same answer"
    [ "$first" != "$(ids "$1" 0 7)" ] || die "$1: the amplification has no effect"
    [ "$(ids "$1" 0 7 '')" = "$(ids "$1" 3 7 '')" ] || die "$1: the amplification has an effect with no instruction"
}
