#!/usr/bin/env bash
# The life of divvyd as its users see it: tests/integration/daemon.sh DIVVYD DIVVY-SIM
set -euo pipefail
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

divvyd=$1 sim=$2
command -v curl >/dev/null 2>&1 || { echo "curl is not installed"; exit 77; }

work=$(mktemp -d)
export XDG_RUNTIME_DIR=$work/run DIVVY_SIM_DIR=$work/sim DIVVY_GPU=sim XDG_CONFIG_HOME=$work/config HOME=$work
unset DIVVY_SOCKET DIVVY_BASE DIVVY_CONFIG DIVVY_LOG TF_LOG_LEVEL HYPERVISOR_PORT API_LISTEN_ADDR
mkdir -m 700 "$work/run" "$work/config"
socket=$work/run/divvy/divvyd.sock pid_file=$work/run/divvy/tenants/.divvyd.pid log=$work/run/divvy/divvyd.log

daemon_pid() { cat "$pid_file"; }
cleanup() {
    local pid
    if pid=$(cat "$pid_file" 2>/dev/null); then kill -KILL "$pid" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

fail() {
    echo "FAIL: $*"
    echo "--- log:"
    tail -n 20 "$log" 2>/dev/null || true
    exit 1
}
# until_true SECONDS COMMAND...
ask() { curl -s --max-time 5 --unix-socket "$socket" "http://divvyd$1"; }
answers() { [ "$(curl -s -o "$work/answer" -w '%{http_code}' --max-time 5 --unix-socket "$socket" http://divvyd/healthz)" = 200 ]; }
stop() {
    local pid
    pid=$(daemon_pid)
    kill -TERM "$pid"
    until_true 10 gone "$pid" || fail "SIGTERM does not end it"
}

# --- what is asked on the command line ------------------------------------------------------------------------------------
"$divvyd" --version | grep -q '^divvyd [0-9]' || fail "--version"
"$divvyd" --check-config --idle-exit 5m | grep -A 1 '^# command line' | grep -q '^idle-exit = 5m$' || fail "--check-config"
printf 'node = here\n[http]\nsockets = /x\n' >"$work/wrong.conf"
status=0
"$divvyd" --check-config --config "$work/wrong.conf" 2>"$work/errors" || status=$?
[ $status = 2 ] || fail "a wrong file: status $status"
grep -q "wrong.conf:3: no key is called 'sockets'; did you mean 'socket'" "$work/errors" || fail "$(cat "$work/errors")"
status=0
"$divvyd" --nothing 2>"$work/errors" || status=$?
[ $status = 2 ] || fail "a wrong option: status $status"
status=0
DIVVY_TENANT_DIR=/x "$divvyd" 2>"$work/errors" || status=$?
[ $status = 1 ] || fail "inside a tenant: status $status"

# --- in the background, and the terminal goes -------------------------------------------------------------------------------
if command -v script >/dev/null 2>&1; then
    script -qec "$divvyd --background --idle-exit=1h" /dev/null </dev/null >"$work/errors" 2>&1 || fail "$(cat "$work/errors")"
else
    "$divvyd" --background --idle-exit=1h 2>"$work/errors" || fail "$(cat "$work/errors")"
fi
answers || fail "it is not ready when the command returns"
pid=$(daemon_pid)
kill -0 "$pid" || fail "the pid file names nobody"
ask /api/v1/node/devices | grep -q '"healthy":true' || fail "no healthy device"
[ "$(stat -c %a "$log")" = 600 ] || fail "the log is open to others"
[ "$(readlink "/proc/$pid/fd/1")" = /dev/null ] && [ "$(readlink "/proc/$pid/fd/2")" = /dev/null ] || fail "it keeps the terminal"

# --- only one ----------------------------------------------------------------------------------------------------------------
status=0
"$divvyd" 2>"$work/errors" || status=$?
[ $status = 1 ] || fail "a second one: status $status"
grep -q "another one runs for .*tenants, with pid $pid" "$work/errors" || fail "$(cat "$work/errors")"
status=0
"$divvyd" --background 2>"$work/errors" || status=$?
[ $status = 1 ] && grep -q "with pid $pid" "$work/errors" || fail "a second one in the background: $status, $(cat "$work/errors")"
answers || fail "the first one was disturbed"

# --- reload --------------------------------------------------------------------------------------------------------------------
mkdir -p "$work/config/divvy"
config=$work/config/divvy/divvyd.conf
# Root reads /etc/divvy/divvyd.conf, so the file is named for everybody: in the environment of a new one.
stop
export DIVVY_CONFIG=$config
printf 'node = first\nlog-level = info\n' >"$config"
"$divvyd" --background 2>"$work/errors" || fail "$(cat "$work/errors")"
ask /api/v1/node | grep -q '"name":"first"' || fail "the file is not used"
printf 'node = second\nlog-level = debug\n' >"$config"
kill -HUP "$(daemon_pid)"
until_true 5 grep -q 'changes only at the next start: node' "$log" || fail "what stays is not told"
ask /api/v1/node | grep -q '"name":"first"' || fail "the name changed"
ask /api/v1/node | grep -q '"fail_policy":"closed"' || fail "the policy is not closed by itself"
printf 'fail-policy = open\n' >"$config"
kill -HUP "$(daemon_pid)"
is_open() { ask /api/v1/node | grep -q '"fail_policy":"open"'; }
until_true 5 is_open || fail "fail-policy does not change with a reload"
printf 'log-level = rubbish\n' >"$config"
kill -HUP "$(daemon_pid)"
until_true 5 grep -q 'the configuration stays as it was: .*divvyd.conf:1: log-level' "$log" || fail "a wrong file is not told"
answers || fail "a wrong file ended it"

# --- a device falls off the bus, and comes back ------------------------------------------------------------------------------
is_healthy() { ask /api/v1/node/devices | grep -q "\"healthy\":$1"; }
"$sim" fault lose 0 >/dev/null
until_true 10 is_healthy false || fail "a lost device is not noticed"
"$sim" fault restore 0 >/dev/null
until_true 20 is_healthy true || fail "a device that is back is not noticed"

# --- killed, and another takes over ---------------------------------------------------------------------------------------------
printf 'node = third\n' >"$config"
pid=$(daemon_pid)
kill -KILL "$pid"
until_true 5 gone "$pid" || fail "SIGKILL"
"$divvyd" --background 2>"$work/errors" || fail "after a kill: $(cat "$work/errors")"
[ "$(daemon_pid)" != "$pid" ] || fail "the pid file is the old one"
answers || fail "after a kill it does not answer"
stop
[ ! -e "$socket" ] && [ ! -e "$pid_file" ] || fail "it leaves socket or pid file behind"

# --- nobody needs it ----------------------------------------------------------------------------------------------------------------
"$divvyd" --background --idle-exit 1s 2>"$work/errors" || fail "$(cat "$work/errors")"
until_true 10 gone "$(daemon_pid)" || fail "it stays when nobody needs it"

# --- in the foreground, on a port; the manager is told --------------------------------------------------------------------------
"$divvyd" --listen 127.0.0.1:0 --log-format json 2>"$work/json" &
pid=$!
until_true 10 answers || fail "$(cat "$work/json")"
grep -q '^{"time":".*"level":"info","program":"divvyd",.*"message":"ready: ' "$work/json" || fail "no JSON: $(cat "$work/json")"
kill -INT "$pid"
status=0
wait "$pid" || status=$?
[ $status = 0 ] || fail "SIGINT: status $status"

# --- a socket from systemd -----------------------------------------------------------------------------------------------------------
if command -v systemd-socket-activate >/dev/null 2>&1; then
    systemd-socket-activate --listen="$work/passed" -E XDG_RUNTIME_DIR -E DIVVY_SIM_DIR -E DIVVY_GPU \
        "$divvyd" --idle-exit 1s 2>"$work/errors" &
    pid=$!
    until_true 5 test -S "$work/passed" || fail "systemd-socket-activate: $(cat "$work/errors")"
    curl -s --max-time 10 --unix-socket "$work/passed" http://divvyd/healthz | grep -q ok || fail "passed socket: $(cat "$work/errors")"
    status=0
    wait "$pid" || status=$?
    [ $status = 0 ] || fail "passed socket: status $status, $(cat "$work/errors")"
    [ -S "$work/passed" ] || fail "the passed socket was removed"
fi
echo "ok"
