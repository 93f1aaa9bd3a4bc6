#!/usr/bin/env bash
# Snapshot and resume of tenants through divvyd: tests/integration/snapshot.sh BIN-FOLDER WORKER
# Device memory goes to nothing and comes back with its contents; what fails is undone; kill -9 of either side.
set -euo pipefail
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

bin=$1 worker=$2
work=$(mktemp -d)
export XDG_RUNTIME_DIR=$work/run DIVVY_SIM_DIR=$work/sim DIVVY_GPU=sim XDG_CONFIG_HOME=$work/config HOME=$work
export LC_ALL=C ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0:verify_asan_link_order=0
unset DIVVY_SOCKET DIVVY_BASE DIVVY_CONFIG DIVVY_TENANT LD_PRELOAD LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES "${!DIVVY_SIM_M@}"
mkdir -m 700 "$work/run" "$work/config"
pid_file=$work/run/divvy/tenants/.divvyd.pid

daemon_pid() { cat "$pid_file"; }
cleanup() {
    local pid
    for pid in $(cat "$pid_file" 2>/dev/null) $(jobs -p); do kill -KILL "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
fail() {
    echo "FAIL: $*"
    "$bin/divvy" ps || true
    "$bin/divvy" events | tail -n 20 || true
    tail -n 20 "$work"/*.err "$work/run/divvy/divvyd.log" 2>/dev/null || true
    exit 1
}
used() { "$bin/divvy-sim" busy --json | grep -o '"used_bytes": *[0-9]*' | head -n 1 | grep -o '[0-9]*$'; }
used_is() { [ "$(used)" = "$1" ]; }
state() { "$bin/divvy" ps --json | tr -d ' \n' | grep -o "\"id\":\"$1\",[^}]*" | grep -o '"state":"[a-z]*"' | head -n 1 | cut -d'"' -f4; }
state_is() { [ "$(state "$1")" = "$2" ]; }

daemon_start() { "$bin/divvyd" --background --idle-exit=1h 2>"$work/daemon.err" || fail "the daemon does not start"; }
# begin NAME IN OUT: the worker as tenant NAME, written to by descriptor IN, read by OUT
begin() {
    mkfifo "$work/$1.in" "$work/$1.out"
    "$bin/divvy" run --name "$1" --memory 8G -- "$worker" worker <"$work/$1.in" >"$work/$1.out" 2>"$work/$1.err" &
    eval "exec $2>'$work/$1.in' $3<'$work/$1.out'"
    hears "$3" r || fail "$1 does not begin"
}
hears() { # DESCRIPTOR BYTE
    local byte=
    read -r -N 1 -t 20 -u "$1" byte || true
    [ "$byte" = "$2" ]
}
silent() {
    local byte=
    ! read -r -N 1 -t 0.3 -u "$1" byte
}

daemon_start
begin one 5 6
run_one=$!
loaded=$(used)
[ "$loaded" -gt 8388608 ] || fail "the program holds $loaded bytes only"

# --- there and back, with calls of all kinds in between ------------------------------------------------------------------
for order in c m l c; do
    printf l >&5 # leaves work under way
    hears 6 d || fail "it does not work"
    "$bin/divvy" snapshot one >"$work/said" 2>&1 || fail "snapshot: $(cat "$work/said")"
    used_is 0 || fail "$(used) bytes are left on the device"
    state_is one saved || fail "it is $(state one)"
    "$bin/divvy" snapshot one >/dev/null || fail "a second snapshot"
    printf %s "$order" >&5
    silent 6 || fail "it computes while it is saved"
    "$bin/divvy" resume one >"$work/said" 2>&1 || fail "resume: $(cat "$work/said")"
    used_is "$loaded" || fail "$(used) bytes came back of $loaded"
    hears 6 d || fail "it does not go on"
done
printf c >&5
hears 6 d || fail "contents"

# --- no room to come back to ----------------------------------------------------------------------------------------------
"$bin/divvy" snapshot one >/dev/null || fail "snapshot"
"$bin/divvy-sim" fault add 'fail:cuCheckpointProcessRestore=2,times=1' >/dev/null
status=0
"$bin/divvy" resume one >"$work/said" 2>&1 || status=$?
[ $status != 0 ] || fail "resumed without memory"
grep -q 'cuCheckpointProcessRestore of process [0-9]*: CUDA_ERROR_OUT_OF_MEMORY' "$work/said" || fail "$(cat "$work/said")"
state_is one saved || fail "it is $(state one)"
"$bin/divvy" resume one >/dev/null || fail "resume"
printf c >&5
hears 6 d || fail "contents after a resume that failed"

# --- a driver that cannot, and one that fails in the middle ----------------------------------------------------------------
for rule in unsupported:cuCheckpointProcessLock fail:cuCheckpointProcessCheckpoint=999; do
    "$bin/divvy-sim" fault add "$rule" >/dev/null
    status=0
    "$bin/divvy" snapshot one >"$work/said" 2>&1 || status=$?
    [ $status != 0 ] || fail "saved in spite of $rule"
    grep -q 'CUDA_ERROR_\(NOT_SUPPORTED\|UNKNOWN\)' "$work/said" || fail "$(cat "$work/said")"
    "$bin/divvy-sim" fault clear >/dev/null
    ! state_is one frozen && ! state_is one saved || fail "$rule: it stays $(state one)"
    used_is "$loaded" || fail "$rule: $(used) bytes"
    printf c >&5
    hears 6 d || fail "it does not go on after $rule"
done

# --- the process that calls the driver is killed in the middle -----------------------------------------------------------------
"$bin/divvy-sim" fault add slow:cuCheckpointProcessCheckpoint=10s >/dev/null
"$bin/divvy" snapshot one >"$work/said" 2>&1 &
snapshot=$!
caller_is_there() { caller=$(pgrep -P "$(daemon_pid)"); }
until_true 5 caller_is_there || fail "nobody calls the driver"
sleep 0.3
status=0
"$bin/divvy" resume one >"$work/busy" 2>&1 || status=$?
[ $status != 0 ] && grep -q 'being saved' "$work/busy" || fail "two at it: $(cat "$work/busy")"
kill -KILL "$caller"
status=0
wait "$snapshot" || status=$?
[ $status != 0 ] && grep -q 'killed by signal 9' "$work/said" || fail "$(cat "$work/said")"
"$bin/divvy-sim" fault clear >/dev/null
printf c >&5
hears 6 d || fail "it does not go on after the caller's death"
used_is "$loaded" || fail "$(used) bytes"

# --- the daemon is killed while a tenant is saved ---------------------------------------------------------------------------
"$bin/divvy" snapshot one >/dev/null || fail "snapshot"
pid=$(daemon_pid)
kill -KILL "$pid"
until_true 5 gone "$pid" || fail "the daemon does not die"
printf c >&5
silent 6 || fail "it computes without its memory"
daemon_start
until_true 5 state_is one frozen || fail "adopted as $(state one)"
used_is 0 || fail "$(used) bytes"
"$bin/divvy" resume one >"$work/said" 2>&1 || fail "resume: $(cat "$work/said")"
hears 6 d || fail "it does not go on with the new daemon"
used_is "$loaded" || fail "$(used) bytes"

# --- the process is killed while it is saved, beside one that is not ---------------------------------------------------------
begin two 7 8
run_two=$!
"$bin/divvy" snapshot one >/dev/null || fail "snapshot"
used_is "$loaded" || fail "two tenants, one saved: $(used) bytes"
printf c >&7
hears 8 d || fail "the other one does not go on"
status=0
"$bin/divvy" resume two >/dev/null || fail "resume of one that runs"
victim=$(pgrep -P "$run_one") || fail "no process of the tenant"
kill -KILL "$victim"
no_tenant() { ! "$bin/divvy" ps | grep -q '^one '; }
until_true 10 no_tenant || fail "the tenant outlives its process"
used_is "$loaded" || fail "$(used) bytes after its end"
printf q >&7
wait "$run_two" || fail "the other one ends with $?"
used_is 0 || fail "$(used) bytes at the end"
echo "passed"
