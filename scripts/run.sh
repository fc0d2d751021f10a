#!/usr/bin/env bash
# Starts Docker if it is not running, `senlin standalone`, and the
# demonstration. Ctrl-C stops Senlin; containers go on running.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${SENLIN_DATA:-/var/lib/senlin}
listen=${SENLIN_LISTEN:-127.0.0.1:8777}
scripts/docker.sh
mkdir -p "$data"
echo "Starting senlin standalone (data: $data, log: $data/log)"
target/release/senlin standalone --data "$data" --listen "$listen" >"$data/log" 2>&1 &
senlin=$!
stop() { kill -TERM $senlin 2>/dev/null || true; wait $senlin 2>/dev/null || true; }
trap 'trap - INT TERM EXIT; stop; exit 0' INT TERM
trap stop EXIT
for _ in $(seq 300); do
    kill -0 $senlin 2>/dev/null || { cat "$data/log"; exit 1; }
    (exec 3<>"/dev/tcp/${listen%:*}/${listen#*:}") 2>/dev/null && break
    sleep 0.1
done
target/release/senlin demo --data "$data" --listen "$listen"
[ -z "${SENLIN_DEMO_ONLY:-}" ] || exit 0
echo "Senlin goes on; Ctrl-C stops it."
wait $senlin
