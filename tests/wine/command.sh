#!/bin/sh
# Runs the command for Windows under wine: names with blanks and letters beyond ASCII, UTF-8 in and out.
#
#   command.sh SDA.EXE MODEL.gguf
#
# `make test-windows-command` does this.

set -eu

sda=$1 model=$(realpath "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/ein Ordner é 日本"
cd "$folder/ein Ordner é 日本"
ln -s "$model" 'das Modell ü.gguf'

expect() {
    grep -q -- "$2" "$1" && return
    printf 'expected in %s: %s\n' "$1" "$2" >&2
    cat "$1" >&2
    exit 1
}

# Greedily, so that nothing is left to chance. The console's text is UTF-8.
generate() {
    wine "$sda" generate -m "$PWD/das Modell ü.gguf" --temp 0 -n 24 -i 'Answer in one word.' "$@"
}
generate -p 'Repeat this word: café' >plain.txt
expect plain.txt '[[:alpha:]]'
iconv -f UTF-8 -t UTF-8 plain.txt >/dev/null

generate -p 'Where is 日本?' --json >one.json
generate -p 'Where is 日本?' --json >two.json
text() { sed -n 's/.*"text":"\([^"]\{1,\}\)".*"type":"answer".*/\1/p' "$1"; }
[ -n "$(text one.json)" ]
[ "$(text one.json)" = "$(text two.json)" ]

# A list and its answers, which a second run finds there.
printf '{"query": "Où est le café ?"}\n' >'Liste é.jsonl'
generate -f 'Liste é.jsonl' -o 'Antworten ü.jsonl'
expect 'Antworten ü.jsonl' '"query":"Où est le café ?"'
cp 'Antworten ü.jsonl' before
generate -f 'Liste é.jsonl' -o 'Antworten ü.jsonl'
cmp before 'Antworten ü.jsonl'

# What fails says so, with status 1.
status=0
wine "$sda" generate -m 'fehlt ü.gguf' -i x -p x 2>error.txt || status=$?
[ "$status" -eq 1 ]
expect error.txt 'error: fehlt ü.gguf: '

# What the shell of Windows runs: exit status 0 lets the instructed answer stand.
for check in 0:passed 1:failed; do
    generate -p 'Where is Rome?' --check "exit ${check%:*}" --json >check.json
    expect check.json "\"check\":\"${check#*:}\""
done
echo '1 passed in 0.00s'
