#!/bin/sh
# Repeats the measurements of docs/results.md: eval/results.sh FOLDER
#
# Results go into FOLDER: for every run a file of single results, a table and the report as JSON, and the picture of
# all models. A run that was stopped continues where it was. SDA is the command. MODELS are names of
# scripts/fetch.py, by default the three of docs/results.md (1.6 GB); READER is the one that finds the queries of
# answers. OPTIONS go to every run, such as "-t 1 --parallel 16", or "-ngl 99" in a build with a GPU backend. Three
# seeds of everything take days on two cores and half an hour on a large GPU: REPEAT and LIMIT make less of it.
set -eu

folder=${1:?usage: eval/results.sh FOLDER}
here=$(cd "$(dirname "$0")/.." && pwd)
sda=${SDA:-"$here/target/release/sda"}
python=${PYTHON:-python3}
models=${MODELS:-smollm2 qwen-0.5b qwen-1.5b}
repeat=${REPEAT:-3}
limit=${LIMIT:-1000}
fetch() { "$python" "$here/scripts/fetch.py" "$1"; }
reader=$(fetch "${READER:-qwen-1.5b}")
mkdir -p "$folder"

# evaluate NAME TASK ARMS FURTHER...: the table, and the report of the same results.
evaluate() {
    name=$1 task=$2 arms=$3
    shift 3
    echo "== $name" >&2
    set -- "$task" -o "$folder/$name.jsonl" --arms "$arms" --limit "$limit" "$@"
    # shellcheck disable=SC2086 # several words
    "$sda" eval "$@" ${OPTIONS:-} >"$folder/$name.txt"
    # shellcheck disable=SC2086
    "$sda" eval "$@" ${OPTIONS:-} --json >"$folder/$name.json"
    cat "$folder/$name.txt"
}

limits=guidance=2:max_kl=0.3,guidance=2:mean_kl=0.2,guidance=3:max_kl=0.3,guidance=3:max_kl=0.5
arms=plain,instructed,guidance=1.5,guidance=2,guidance=3,$limits
tuned=guidance=2:max_kl=0.1,guidance=2:max_kl=0.2,guidance=2:max_kl=0.5,guidance=2:mean_kl=0.1,guidance=3:mean_kl=0.2
reports=
for name in $models; do
    model=$(fetch "$name")
    evaluate "$name-tune" ifeval "$arms,$tuned" -m "$model" -f "$here/eval/short_instructions.jsonl" --half first \
        --repeat "$repeat" -n 64
    evaluate "$name-report" ifeval "$arms,sda,sda:mean_kl=0.2" -m "$model" -f "$here/eval/short_instructions.jsonl" \
        --half second --repeat "$repeat" -n 64 --judge local --query-model "$reader"
    evaluate "$name-two" ifeval "instructed,guidance=2:mean_kl=0.2,guidance=2:mean_kl=0.2,split=1" -m "$model" \
        -f "$here/eval/two_instructions.jsonl" --repeat "$repeat" -n 96
    evaluate "$name-ifeval" ifeval instructed,guidance=2,guidance=2:mean_kl=0.2 -m "$model" -f "$(fetch ifeval)" \
        --half second -n 256
    for placement in before after; do
        evaluate "$name-mc-$placement" truthfulqa-mc plain,instructed,guidance=1.5,guidance=2,guidance=3 \
            -m "$model" -f "$here/eval/misconceptions.jsonl" --instruction-placement $placement
    done
    reports="$reports $folder/$name-report.json"
done
# What finding a query is worth: answers that keep to theirs, and others.
evaluate pairs ifeval given=on,given=off --control given=off -m "$model" -f "$here/eval/query_pairs.jsonl" \
    --query-model "$reader"
# shellcheck disable=SC2086
"$sda" plot tradeoff $reports -o "$folder/tradeoff.svg"
