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
used() { "$bin/divvy-sim" busy --json | grep -o '"used_bytes": *[0-9]*' | head -n 1 | grep -o '[0-9]*$'; }
used_is() { [ "$(used)" = "$1" ]; }
used_at_most() { [ "$(used)" -le "$1" ]; }

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

# ---- divvy's protocol, through the client ----
worker_start --memory 1GiB
client() { "$bin/divvy-client" -w "unix:$work/sock" "$@"; }
[ "$(client vector-add 1,2,3 4,5,6)" = "GPU Result: [5, 7, 9]" ] || fail "vector-add"
[ "$("$bin/divvy-client" -w "127.0.0.1:$port" vector-add 1.5,2 4,5)" = "GPU Result: [5.5, 7.0]" ] || fail "vector-add over TCP"
client devices | grep -q '1024 MiB' || fail "the client sees more than the tenant's memory"
for transport in "unix:$work/sock" "tcp:127.0.0.1:$port" "unix:$work/sock --compress" "tcp:127.0.0.1:$port --checksum" "unix:$work/sock --checksum --compress"; do
    # shellcheck disable=SC2086 # words
    set -- $transport
    for size in 1 4095 4096 4097 1MiB 8MiB; do
        "$bin/divvy-client" -w "$@" bandwidth $size >"$work/client.log" || fail "$size bytes over $transport"
    done
    "$bin/divvy-client" -w "$@" saxpy 10000 >"$work/client.log" || fail "saxpy over $transport"
    "$bin/divvy-client" -w "$@" matmul 20 >"$work/client.log" || fail "matmul over $transport"
    "$bin/divvy-client" -w "$@" launches 1000 >"$work/client.log" || fail "launches over $transport"
    "$bin/divvy-client" -w "$@" latency 10 >"$work/client.log" || fail "latency over $transport"
done
"$bin/../tests/worker_launch_with" "unix:$work/sock" || fail "launches with attributes"

# ---- a connection that changes what it carries: found by checksums, and only by them ----
"$parts/flip.py" "$work/sock" "$work/flip" >"$work/flip.log" 2>&1 &
until_true 10 grep -q ready "$work/flip.log" || fail "flip.py does not start"
status=0
"$bin/divvy-client" -w "unix:$work/flip" --checksum bandwidth 4096 >"$work/client.log" 2>&1 || status=$?
[ $status = 1 ] && grep -q 'checksum is wrong' "$work/client.log" || fail "a changed answer with checksums: $status"
status=0
"$bin/divvy-client" -w "unix:$work/flip" bandwidth 4096 >"$work/client.log" 2>&1 || status=$?
[ $status = 1 ] && grep -q 'not what was sent' "$work/client.log" || fail "a changed answer without: $status"

status=0
client bandwidth 1100MiB >"$work/client.log" 2>&1 || status=$?
[ $status = 1 ] && grep -q 'answers 2' "$work/client.log" || fail "more memory than the tenant has: $status"
status=0
client vector-add 1,2 3 2>"$work/client.log" || status=$?
[ $status = 1 ] && [ "$(wc -l <"$work/client.log")" = 1 ] || fail "a job that is wrong: $status"

# ---- clients and processes that are killed hold nothing, and the worker goes on ----
"$parts/hostile.py" "$work/sock" "$port" || fail "hostile clients"
settled() { base=$(used) && sleep 0.3 && [ "$base" = "$(used)" ]; } # what those before held has come back
until_true 20 settled || fail "memory of clients that went"
"$parts/holder.py" "$work/sock" 600 >"$work/holder.log" &
holder=$!
until_true 20 grep -q holds "$work/holder.log" || fail "no memory for a client"
[ "$(used)" -ge $((base + 629145600)) ] || fail "a client's memory is not charged"
kill -KILL $holder
until_true 10 used_at_most "$base" || fail "a killed client's memory is left"
"$parts/holder.py" "$work/sock" 600 >"$work/holder2.log" &
holder=$!
until_true 20 grep -q holds "$work/holder2.log" || fail "no memory for a second client"
serving=$(grep -o 'served by [0-9]*' "$work/holder2.log" | cut -d' ' -f3)
[ "$serving" -gt 1 ] && kill -KILL "$serving"
wait $holder || fail "the client of a killed process does not notice"
until_true 10 used_at_most "$base" || fail "a killed process's memory is left"
client vector-add 1 2 >"$work/client.log" || fail "the worker does not go on"
worker_end
until_true 10 used_is 0 || fail "memory is left on the GPU"

# ---- the worker's acceptor killed: clients get an end, nothing is left ----
worker_start
"$parts/holder.py" "$work/sock" 600 >"$work/holder3.log" &
holder=$!
until_true 20 grep -q holds "$work/holder3.log" || fail "no memory for a third client"
kill -KILL "$worker" && { wait "$worker" || true; }
wait $holder || fail "the client of a killed worker does not notice"
until_true 10 used_is 0 || fail "a killed worker's memory is left"
worker_start # over the socket that was left over
worker_end

# ---- wrong arguments ----
for wrong in "-p 70000" "-n shmem" "-n pigeon" "--clients 0" "--wrong" "extra" "-p" "--bind example -p 0"; do
    status=0
    # shellcheck disable=SC2086 # words
    "$bin/divvy-worker" $wrong --gpu sim --no-daemon 2>"$work/wrong.log" || status=$?
    [ $status = 2 ] || fail "'$wrong' ends with $status"
    [ "$(wc -l <"$work/wrong.log")" = 1 ] || fail "'$wrong' is not told in one line"
done
echo "worker: all right"
