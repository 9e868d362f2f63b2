#!/bin/sh
# Repeats the measurements of docs/results.md: eval/results.sh FOLDER
#
# Results go into FOLDER, one file a run; a run that was stopped continues where it was. SDA is the command,
# SMOLLM2 and GEMMA are the models (fetched if not given), THREADS how many threads a run has. TUNED,
# SHORT_PROMPTS and PROMPTS say how many records the generating runs answer; docs/results.md tells how many its
# figures have. All of it takes hours on two cores.
set -eu

folder=${1:?usage: eval/results.sh FOLDER}
here=$(cd "$(dirname "$0")/.." && pwd)
sda=${SDA:-"$here/target/release/sda"}
python=${PYTHON:-python3}
smollm2=${SMOLLM2:-$("$python" "$here/scripts/fetch.py" smollm2)}
gemma=${GEMMA:-$("$python" "$here/scripts/fetch.py" gemma)}
ifeval=$("$python" "$here/scripts/fetch.py" ifeval)
tuned=${TUNED:-100}
short_prompts=${SHORT_PROMPTS:-100}
prompts=${PROMPTS:-100}
threads=${THREADS:-1}
mkdir -p "$folder"

# evaluate NAME TASK ARMS FURTHER...: a table beside the results of single items.
evaluate() {
    name=$1 task=$2 arms=$3
    shift 3
    echo "== $name" >&2
    "$sda" eval "$task" -t "$threads" -o "$folder/$name.jsonl" --arms "$arms" "$@" >"$folder/$name.txt"
    cat "$folder/$name.txt"
}

sharp=sigma=0.01,t_min=0.2
questions=$here/eval/misconceptions.jsonl
short=$here/eval/short_instructions.jsonl
mc=plain,instructed,guidance=1.5,guidance=2,guidance=3,guidance=1.5:$sharp
for half in first second; do
    evaluate "mc-before-$half" truthfulqa-mc "$mc,guidance=1.25,guidance=1.5:sigma=inf,sda,sda:$sharp" \
        -m "$smollm2" -f "$questions" --half $half --instruction-placement before --judge local
    evaluate "mc-after-$half" truthfulqa-mc "$mc" -m "$smollm2" -f "$questions" --half $half \
        --instruction-placement after
done
evaluate mc-gemma-before truthfulqa-mc "plain,instructed,guidance=1.5,guidance=2,guidance=1.5:$sharp" \
    -m "$gemma" -f "$questions" --instruction-placement before
evaluate mc-gemma-after truthfulqa-mc plain,instructed,guidance=1.5,guidance=2,guidance=3 \
    -m "$gemma" -f "$questions" --instruction-placement after

tune=instructed,guidance=1.5,guidance=2,guidance=3,guidance=2:$sharp,guidance=2:sigma=inf
evaluate short-tune ifeval "$tune" -m "$smollm2" -f "$short" --half first --limit "$tuned" -n 64
evaluate short-report ifeval "plain,instructed,guidance=1.5,guidance=2,guidance=3,guidance=2:$sharp,sda" \
    -m "$smollm2" -f "$short" --half second --limit "$short_prompts" -n 64 --judge local
evaluate ifeval-report ifeval plain,instructed,guidance=1.5,guidance=2,sda \
    -m "$smollm2" -f "$ifeval" --half second --limit "$prompts" -n 128 --judge local
