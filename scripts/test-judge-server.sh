#!/bin/sh
# Tests the command against a real OpenAI-compatible server on loopback that serves the default model as
# judge. The server is llama.cpp's own, from a wheel of xllamacpp, which installs in seconds into a virtual
# environment in the cache folder.
#
#   scripts/test-judge-server.sh SDA MODEL
#
# XLLAMACPP names another version.

set -eu

sda=${1:?the command is missing} model=${2:?the model is missing}
scripts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
version=${XLLAMACPP:-2026.10.11549}
venv=${XDG_CACHE_HOME:-$HOME/.cache}/sda/xllamacpp-$version

if ! "$venv/bin/python" -c 'import xllamacpp' 2>/dev/null; then
    printf 'installing xllamacpp %s in %s\n' "$version" "$venv" >&2
    rm -rf "$venv"
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: \
        "xllamacpp==$version" >&2
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
start=$(date +%s)
# The server's log is of interest only when something fails.
if ! "$venv/bin/python" "$scripts/judge_server.py" "$sda" "$model" 2>"$log"; then
    tail -n 40 "$log" >&2
    exit 1
fi
echo "the judge server's tests passed in $(($(date +%s) - start)) s"
