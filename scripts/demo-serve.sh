#!/bin/sh
# Starts `sda serve` on a model, sends it a steered request as a client would, and stops it. usage: demo-serve.sh MODEL
set -eu

log=$(mktemp)
"$SDA" serve -m "$1" --port 0 -np 2 -c 2048 2>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -f "$log"' EXIT

base=
for _ in $(seq 600); do
    base=$(sed -n 's/^sda: listening on //p' "$log")
    if [ -n "$base" ] && curl -sf "$base/health" >/dev/null; then break; fi
    kill -0 "$server" 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.1
done

{
    set -x
    curl -sS --fail-with-body "$base/v1/chat/completions" -H 'Content-Type: application/json' -d '{
      "messages": [{"role": "user", "content": "What does a computer do?"}],
      "max_tokens": 100, "temperature": 0,
      "sda": {"instruction": "Explain it to a five-year-old child, with an animal in the story.", "guidance": 2}
    }'
} | "${PYTHON:-python3}" -m json.tool
