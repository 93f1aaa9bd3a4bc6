#!/usr/bin/env bash
# Idle tenants are saved by divvyd and come back by themselves: tests/integration/idle.sh BIN-FOLDER SLEEPER
# After each call that there is, with each side killed at each moment, and where the driver cannot.
set -euo pipefail
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

bin=$1 sleeper=$2
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
# All that it had is there; a pool may keep some more for a while.
holds() { [ "$(used)" -ge "$1" ]; }
state() { "$bin/divvy" ps --json | tr -d ' \n' | grep -o "\"id\":\"$1\",[^}]*" | grep -o '"state":"[a-z]*"' | head -n 1 | cut -d'"' -f4; }
state_is() { [ "$(state "$1")" = "$2" ]; }
daemon_start() {
    "$bin/divvyd" --background --idle-exit=1h --freeze-medium=200ms 2>"$work/daemon.err" || fail "the daemon does not start: $(cat "$work/daemon.err")"
}
daemon_kill() {
    local pid
    pid=$(daemon_pid)
    kill -KILL "$pid"
    until_true 5 gone "$pid" || fail "the daemon does not die"
}
# begin NAME IN OUT: the sleeper as tenant NAME, written to by descriptor IN, read by OUT
begin() {
    local line
    mkfifo "$work/$1.in" "$work/$1.out"
    "$bin/divvy" run --name "$1" --memory 8G -- "$sleeper" <"$work/$1.in" >"$work/$1.out" 2>"$work/$1.err" &
    eval "exec $2>'$work/$1.in' $3<'$work/$1.out'"
    read -r -t 20 -u "$3" line && [ "$line" = ready ] || fail "$1 does not begin"
}
call() { # IN OUT NAME: the call is made, and answered
    local line
    echo "$3" >&"$1"
    read -r -t 30 -u "$2" line || fail "$3 does not come back"
    [ "${line% *}" = "done $3" ] || fail "$3: $line"
    took=${line##* }
}
asleep() { # NAME: saved, and its memory is free
    until_true 20 state_is "$1" asleep || fail "it is $(state "$1"), not asleep"
}
runs() { ! state_is "$1" asleep && ! state_is "$1" saved && ! state_is "$1" frozen; }
metric() { curl -s --unix-socket "$work/run/divvy/divvyd.sock" http://divvy/metrics | sed -n "s/^$1{.*} //p" | head -n 1; }
# The process that calls the driver, while it does.
caller() { pgrep -P "$(daemon_pid)" -f checkpoint; }

daemon_start
begin one 5 6
run_one=$!
loaded=$(used)

# An event that matches. All is read before it is looked at: who stops reading breaks the pipe.
told() {
    local all
    all=$("$bin/divvy" events)
    grep -q "$1" <<<"$all"
}

# --- every call brings it back, with its memory --------------------------------------------------------------------------------
all=$("$sleeper" list)
latencies=
for name in $all; do
    asleep one
    used_is 0 || fail "$(used) bytes are left on the device"
    call 5 6 "$name"
    latencies+="$took "
    runs one || fail "$name: it is $(state one)"
    holds "$loaded" || fail "$name: $(used) bytes came back of $loaded"
done
# shellcheck disable=SC2086
printf '%s\n' $latencies | sort -n | awk '{ v[NR] = $1 } END { printf "back after %.1f ms (median of %d), %.1f at most\n", v[int((NR + 1) / 2)] / 1000, NR, v[NR] / 1000 }'
told 'needed again: back after' || fail "no event"
told 'sleeps, and comes back with its next call' || fail "no event of falling asleep"
if command -v curl >/dev/null; then
    [ "$(metric divvy_tenant_saved_total)" -ge "$(wc -w <<<"$all")" ] || fail "metric: $(metric divvy_tenant_saved_total)"
    [ -n "$(metric divvy_tenant_return_seconds)" ] || fail "no metric of the return"
fi

# --- who does something is not saved: the device, or calls that are not measured -----------------------------------------------
for ((i = 0; i < 15; i++)); do
    call 5 6 query_event
    sleep 0.1
    state_is one asleep && fail "asleep though it calls"
done
echo spin >&5 # a host that computes is idle to the device
asleep one
call 5 6 launch

# --- by hand: it stays until it is resumed ---------------------------------------------------------------------------------------
asleep one
"$bin/divvy" freeze one >/dev/null
echo query_stream >&5
read -r -t 1 -u 6 line && fail "frozen by hand, and came back: $line"
"$bin/divvy" resume one >"$work/said" 2>&1 || fail "resume: $(cat "$work/said")"
read -r -t 20 -u 6 line || fail "resumed, and does not go on"
asleep one
"$bin/divvy" resume one >/dev/null || fail "resume of one that is asleep"
call 5 6 launch

# --- no room to come back to: it waits, and comes ----------------------------------------------------------------------------------
asleep one
"$bin/divvy-sim" fault add 'fail:cuCheckpointProcessRestore=2,times=3' >/dev/null
call 5 6 copy_from
told 'cannot come back yet: cuCheckpointProcessRestore.*OUT_OF_MEMORY' || fail "no event of the full device"
"$bin/divvy-sim" fault clear >/dev/null

# --- the driver's caller is killed while it saves, and while it restores --------------------------------------------------------
"$bin/divvy-sim" fault add slow:cuCheckpointProcessCheckpoint=2s >/dev/null
until_true 10 caller >/dev/null || fail "nobody calls the driver"
sleep 0.2
kill -KILL "$(caller)"
"$bin/divvy-sim" fault clear >/dev/null
call 5 6 launch
holds "$loaded" || fail "$(used) bytes"
asleep one
"$bin/divvy-sim" fault add slow:cuCheckpointProcessRestore=2s >/dev/null
echo synchronize_stream >&5
until_true 10 caller >/dev/null || fail "nobody calls the driver"
sleep 0.2
kill -KILL "$(caller)"
"$bin/divvy-sim" fault clear >/dev/null
read -r -t 20 -u 6 line || fail "it does not come back after the caller's death"

# --- a call while it is being saved ---------------------------------------------------------------------------------------------
"$bin/divvy-sim" fault add slow:cuCheckpointProcessCheckpoint=1s >/dev/null
until_true 10 caller >/dev/null || fail "nobody calls the driver"
call 5 6 allocate
"$bin/divvy-sim" fault clear >/dev/null
call 5 6 launch

# --- the daemon is killed: asleep, while it saves, while it restores --------------------------------------------------------------
asleep one
daemon_kill
echo info >&5
sleep 0.3
daemon_start
read -r -t 20 -u 6 line || fail "the next daemon does not bring it back"
asleep one
daemon_kill
daemon_start
until_true 10 holds "$loaded" || fail "found asleep, and left there: $(used) bytes"
call 5 6 launch
for call in Lock Checkpoint; do
    "$bin/divvy-sim" fault add "slow:cuCheckpointProcess$call=1s" >/dev/null
    until_true 10 caller >/dev/null || fail "nobody calls the driver"
    sleep 0.1
    daemon_kill
    daemon_start
    echo launch >&5
    read -r -t 20 -u 6 line || fail "the daemon was killed during $call: it does not come back"
    "$bin/divvy-sim" fault clear >/dev/null
    call 5 6 copy_from
    holds "$loaded" || fail "$(used) bytes"
done
for call in Restore Unlock; do
    asleep one
    "$bin/divvy-sim" fault add "slow:cuCheckpointProcess$call=1s" >/dev/null
    echo launch >&5
    until_true 10 caller >/dev/null || fail "nobody calls the driver"
    sleep 0.1
    daemon_kill
    daemon_start
    read -r -t 20 -u 6 line || fail "the daemon was killed during $call: it does not come back"
    "$bin/divvy-sim" fault clear >/dev/null
    call 5 6 copy_from
    holds "$loaded" || fail "$(used) bytes"
done

# --- a daemon that ends brings it back before; without a daemon it goes on ---------------------------------------------------------
asleep one
pid=$(daemon_pid)
kill -TERM "$pid"
until_true 20 gone "$pid" || fail "the daemon does not end"
holds "$loaded" || fail "left asleep by a daemon that ended: $(used) bytes"
call 5 6 launch
daemon_start

# --- the process is killed asleep, while it is saved, and while it is restored, beside another one --------------------------------
begin two 7 8
run_two=$!
asleep two
for moment in asleep saving restoring; do
    name=v-$moment
    begin "$name" 9 10
    run=$!
    victim=$(pgrep -P "$run") || fail "no process of the tenant"
    case $moment in
    asleep) asleep "$name" ;;
    saving)
        "$bin/divvy-sim" fault add slow:cuCheckpointProcessCheckpoint=1s >/dev/null
        until_true 10 caller >/dev/null || fail "nobody calls the driver"
        ;;
    restoring)
        asleep "$name"
        "$bin/divvy-sim" fault add slow:cuCheckpointProcessRestore=1s >/dev/null
        echo launch >&9
        until_true 10 caller >/dev/null || fail "nobody calls the driver"
        ;;
    esac
    kill -KILL "$victim"
    wait "$run" 2>/dev/null || true
    "$bin/divvy-sim" fault clear >/dev/null
    no_tenant() { ! "$bin/divvy" ps --json | tr -d ' \n' | grep -q "\"id\":\"$name\""; }
    until_true 20 no_tenant || fail "killed while $moment: the tenant outlives its process"
    exec 9>&- 10<&-
    call 7 8 launch
done

# --- a driver that cannot for this process, and one that cannot at all ------------------------------------------------------------
"$bin/divvy-sim" fault add unsupported:cuCheckpointProcessCheckpoint >/dev/null
call 7 8 launch
sleep 1.5
state_is two asleep && fail "asleep without the driver"
told 'idle, but not saved: cuCheckpointProcessCheckpoint' || fail "no event of it"
call 7 8 fill
"$bin/divvy-sim" fault clear >/dev/null
echo quit >&5
echo quit >&7
wait "$run_one" || fail "the first program ends with $?"
wait "$run_two" || fail "the second program ends with $?"
used_is 0 || fail "$(used) bytes at the end"
echo "passed"
