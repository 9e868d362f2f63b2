#!/bin/sh
# Installs llama-cpp-python, whose build takes some minutes, into a virtual environment in the cache folder,
# and runs the example that adds the sampler to its chain. The same llama.cpp is then used through plain
# ctypes: both must say the same, token for token.
#
# LLAMA_CPP_PYTHON names another version; CMAKE_ARGS is llama-cpp-python's own.

set -eu

cd "$(dirname -- "$0")/.."
. scripts/hosts.sh
version=${LLAMA_CPP_PYTHON:-0.3.36}
venv=${XDG_CACHE_HOME:-$HOME/.cache}/sda/llama-cpp-python-$version

if ! "$venv/bin/python" -c 'import llama_cpp' 2>/dev/null; then
    printf 'building llama-cpp-python %s in %s\n' "$version" "$venv" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
    CMAKE_ARGS=${CMAKE_ARGS:--DGGML_NATIVE=ON -DLLAVA_BUILD=OFF} CMAKE_BUILD_PARALLEL_LEVEL=${JOBS:-2} nice -n 10 \
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-binary llama-cpp-python \
        "llama-cpp-python==$version" >&2
fi
python=$venv/bin/python
SDA_LIB=$libsda
LLAMA_LIB=$("$python" -c 'import llama_cpp, os; print(os.path.dirname(llama_cpp.__file__))')/lib/$libllama
[ -f "$LLAMA_LIB" ] || die "llama-cpp-python $version has no $LLAMA_LIB"
export SDA_LIB LLAMA_LIB

check_steering llama_cpp_python.py
ok "llama-cpp-python $version: steering changes the answer, and without an instruction nothing does"

for setting in '1 7' '0 7' '-0.5 7'; do
    amplification=${setting% *} seed=${setting#* }
    expected=$(ids paired.py "$amplification" "$seed")
    found=$(ids llama_cpp_python.py "$amplification" "$seed")
    [ "$found" = "$expected" ] || die "amplification $amplification: llama_cpp_python.py says $found
paired.py says $expected"
    ok "amplification $amplification, seed $seed: drop-in and paired say $(printf '%.40s' "$expected")..."
done
text llama_cpp_python.py 1 7
