#!/bin/sh
# Makes the figures of docs/results.md anew: scripts/eval_results.sh FOLDER
#
# Results go into FOLDER, one file a run; a run that was stopped goes on where it was. SDA is the command,
# SMOLLM2 and GEMMA are the models (fetched if not given), PROMPTS how many of IFEval's prompts are answered
# for the report, THREADS how many threads a run has. All of it takes hours on two cores.
set -eu

folder=${1:?usage: scripts/eval_results.sh FOLDER}
here=$(cd "$(dirname "$0")/.." && pwd)
sda=${SDA:-"$here/target/release/sda"}
python=${PYTHON:-python3}
smollm2=${SMOLLM2:-$("$python" "$here/scripts/fetch_model.py" smollm2)}
gemma=${GEMMA:-$("$python" "$here/scripts/fetch_model.py" gemma)}
ifeval=$("$python" "$here/scripts/fetch_eval_data.py" ifeval)
prompts=${PROMPTS:-100}
threads=${THREADS:-2}
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
mc=plain,instructed,guidance=1.25,guidance=1.5,guidance=2,guidance=3
mc=$mc,guidance=1.5:$sharp,guidance=1.5:sigma=inf,sda,sda:$sharp
after=plain,instructed,guidance=1.5,guidance=2,guidance=3,guidance=1.5:$sharp
questions=$here/examples/eval/misconceptions.jsonl
for half in first second; do
    evaluate "mc-$half" truthfulqa-mc "$mc" -m "$smollm2" -f "$questions" --half $half --judge local
    evaluate "mc-after-$half" truthfulqa-mc "$after" -m "$smollm2" -f "$questions" --half $half \
        --instruction-placement after
done
evaluate mc-gemma truthfulqa-mc "plain,instructed,guidance=1.5,guidance=2,guidance=1.5:$sharp" \
    -m "$gemma" -f "$questions"

evaluate ifeval-tune ifeval "instructed,guidance=1.5,guidance=2,guidance=3,guidance=2:$sharp" \
    -m "$smollm2" -f "$ifeval" --half first --limit 40 -n 128 --parallel 1
evaluate ifeval-report ifeval plain,instructed,guidance=1.5,guidance=2,sda \
    -m "$smollm2" -f "$ifeval" --half second --limit "$prompts" -n 128 --parallel 1 --judge local
