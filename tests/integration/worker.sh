#!/usr/bin/env bash
# A worker and its clients on the simulated GPU: tests/integration/worker.sh BIN-FOLDER PARTS-FOLDER
set -euo pipefail

bin=$1 parts=$2
work=$(mktemp -d)
export XDG_RUNTIME_DIR=$work/run DIVVY_SIM_DIR=$work/sim XDG_CONFIG_HOME=$work/config HOME=$work LC_ALL=C
unset DIVVY_SOCKET DIVVY_BASE DIVVY_CONFIG DIVVY_TENANT DIVVY_TENANT_DIR LD_PRELOAD LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES
mkdir -m 700 "$work/run" "$work/config"
cleanup() {
    local pid
    for pid in $(jobs -p); do kill -KILL "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
fail() {
    echo "FAIL: $*"
    tail -n 30 "$work"/*.log 2>/dev/null || true
    exit 1
}
until_true() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}
listens() { grep -q "listening on $work/sock" "$work/worker.log"; }
worker_start() { # OPTION...: in the background, ready on return
    : >"$work/worker.log"
    "$bin/divvy-worker" -p 0 --bind 127.0.0.1 --socket "$work/sock" --gpu sim --no-daemon "$@" 2>"$work/worker.log" &
    worker=$!
    until_true 30 listens || fail "the worker does not get ready"
    port=$(grep -o 'port [0-9]*' "$work/worker.log" | head -n 1 | cut -d' ' -f2)
}
worker_end() { # SIGTERM ends it cleanly
    local status=0
    kill -TERM "$worker"
    wait "$worker" || status=$?
    [ $status = 0 ] || fail "status $status after SIGTERM"
    [ ! -e "$work/sock" ] || fail "the socket is left over"
}
used_is() { [ "$("$bin/divvy-sim" busy --json | grep -o '"used_bytes": *[0-9]*' | head -n 1 | grep -o '[0-9]*$')" = "$1" ]; }

# ---- the JSON dialect; ends ----
worker_start --clients 64
[ "$(stat -c %a "$work/sock")" = 600 ] || fail "the socket is open to others"
python3 "$parts/json_clients.py" "$port" "$work/sock" || fail "JSON clients"
status=0
"$bin/tensor-fusion-worker" -n native -p "$port" --gpu sim --no-daemon 2>"$work/second.log" || status=$?
[ $status = 1 ] || fail "a taken port ends with $status"
grep -q "port $port" "$work/second.log" || fail "a taken port is not named"
worker_end
until_true 10 used_is 0 || fail "memory is left on the GPU"

# ---- wrong arguments ----
for wrong in "-p 70000" "-n shmem" "-n pigeon" "--clients 0" "--wrong" "extra" "-p" "--bind example -p 0"; do
    status=0
    # shellcheck disable=SC2086 # words
    "$bin/divvy-worker" $wrong --gpu sim --no-daemon 2>"$work/wrong.log" || status=$?
    [ $status = 2 ] || fail "'$wrong' ends with $status"
    [ "$(wc -l <"$work/wrong.log")" = 1 ] || fail "'$wrong' is not told in one line"
done
echo "worker: all right"
