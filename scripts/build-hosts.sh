#!/bin/sh
# Builds the example hosts in C and C++ into a folder, and prints how to run them.
#
#   scripts/build-hosts.sh DIR
#
# They use a shared llama.cpp: SDA_LLAMA_DIR, by default the one that build-llama-shared.sh makes.

set -eu

HOSTS_DIR=${1:?usage: build-hosts.sh DIR}
mkdir -p "$HOSTS_DIR"
HOSTS_DIR=$(CDPATH='' cd -- "$HOSTS_DIR" && pwd)
cd "$(dirname -- "$0")/.."
. scripts/hosts.sh
llama=${SDA_LLAMA_DIR:-$(scripts/build-llama-shared.sh)}
for host in paired dropin paired-cpp; do
    build "$host" "$llama"
    printf "%s '%s' '%s' '%s' 1 7 64\n" "$work/$host" "$model" "$prompt" "$instruction"
done
printf "SDA_LIB='%s' LLAMA_LIB='%s' %s examples/python/paired.py '%s' '%s' '%s' 1 7 64\n" \
    "$libsda" "$llama/lib/$libllama" "$python" "$model" "$prompt" "$instruction"
