#!/usr/bin/env bash
# Idle tenants whose processes reach divvyd over TCP only: tests/integration/idle_channel.sh BIN LIB SLEEPER
# They are saved and come back like others, with the daemon killed meanwhile; what PodInfo promises is so.
set -euo pipefail
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

bin=$1 lib=$2 sleeper=$3
command -v curl >/dev/null || { echo "curl is not installed"; exit 77; }
work=$(mktemp -d)
export DIVVY_SIM_DIR=$work/sim LC_ALL=C
unset DIVVY_SOCKET DIVVY_BASE DIVVY_CONFIG DIVVY_TENANT LD_PRELOAD LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES "${!DIVVY_SIM_M@}"
daemon='' program='' port=0
cleanup() {
    local pid
    for pid in $program $daemon; do kill -KILL "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
fail() {
    echo "FAIL: $*"
    tail -n 20 "$work"/log "$work"/err 2>/dev/null || true
    exit 1
}
api() { curl -s -m 10 --unix-socket "$work/socket" "$@"; }
answers() { [ "$(api -o "$work/node" -w '%{http_code}' http://localhost/readyz)" = 200 ]; }
daemon_start() {
    "$bin/divvyd" --gpu sim --base "$work/base" --shm-base "$work/shm" --socket "$work/socket" --listen "127.0.0.1:$port" \
        --jwt-unverified --freeze-medium=200ms >>"$work/log" 2>&1 &
    daemon=$!
    until_true 10 answers || fail "the daemon does not start"
    until_true 10 grep -q 'listening on 127' "$work/log" || fail "the daemon does not listen" # after the unix socket
    port=$(sed -n 's/.*listening on 127.0.0.1:[0-9]* port \([0-9]*\).*/\1/p' "$work/log" | tail -n 1)
}
tenant() { api http://localhost/api/v1/tenants/n%2Fp%2Fmain; }
asleep() { tenant | grep -q '"state":"asleep"'; }
used() { LD_LIBRARY_PATH='' "$bin/divvy-sim" busy --json | grep -o '"used_bytes": *[0-9]*' | head -n 1 | grep -o '[0-9]*$'; }
base64url() { base64 | tr -d '=\n' | tr '+/' '-_'; }
pod_info() { curl -s -m 10 -H "Authorization: Bearer $(cat "$work/token")" "http://127.0.0.1:$port/api/v1/pod?container_name=main"; }
promises() { pod_info | grep -q '"auto_freeze"'; }
call() { # NAME
    local line
    echo "$1" >&5
    read -r -t 30 -u 6 line || fail "$1 does not come back"
    [ "${line% *}" = "done $1" ] || fail "$1: $line"
    took=${line##* }
}

# --- a driver that cannot: one line says so, and nobody is told otherwise -------------------------------------------------
daemon_start # makes the machine
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
LD_LIBRARY_PATH='' "$bin/divvy-sim" fault add fail:cuInit=999 >/dev/null
daemon_start
gpu=$(api http://localhost/api/v1/node/devices | grep -o 'GPU-[0-9a-f-]*' | head -n 1)
[ "$(api -o "$work/node" -w '%{http_code}' -X POST http://localhost/api/v1/tenants \
    -d "{\"id\":\"n/p/main\",\"pod\":\"p\",\"namespace\":\"n\",\"container\":\"main\",\"devices\":[{\"gpu\":\"$gpu\"}]}")" = 201 ] || fail "no tenant"
claims="{\"exp\":$(($(date +%s) + 3600)),\"nbf\":1,\"sub\":\"system:serviceaccount:n:default\",\"kubernetes.io\":{\"namespace\":\"n\",\"pod\":{\"name\":\"p\",\"uid\":\"u\"},\"serviceaccount\":{\"name\":\"default\",\"uid\":\"s\"}}}"
printf '%s.%s.%s\n' "$(printf '{"alg":"none"}' | base64url)" "$(printf '%s' "$claims" | base64url)" "$(printf none | base64url)" >"$work/token"
told() { grep -q 'freeze-\*: idle tenants are not frozen: cuInit' "$work/log"; }
until_true 10 told || fail "no line about the driver"
! promises || fail "PodInfo promises what the driver cannot: $(pod_info)"
[ "$(grep -c 'idle tenants are not frozen' "$work/log")" = 1 ] || fail "more than one line about the driver"
LD_LIBRARY_PATH='' "$bin/divvy-sim" fault clear >/dev/null
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
daemon_start
until_true 10 promises || fail "PodInfo does not tell: $(pod_info)"

# --- calls bring it back -----------------------------------------------------------------------------------------------------
mkfifo "$work/in" "$work/out"
HYPERVISOR_IP=127.0.0.1 HYPERVISOR_PORT=$port POD_NAME=p POD_NAMESPACE=n CONTAINER_NAME=main DIVVY_POD_TOKEN=$work/token \
    LD_LIBRARY_PATH=$lib/simgpu LD_PRELOAD=$lib/libcuda_limiter.so "$sleeper" <"$work/in" >"$work/out" 2>"$work/err" &
program=$!
exec 5>"$work/in" 6<"$work/out"
read -r -t 20 -u 6 line && [ "$line" = ready ] || fail "the program does not begin"
loaded=$(used)
latencies=
for name in launch query_event copy_from allocate synchronize_stream attribute other_thread launch_default; do
    until_true 20 asleep || fail "not asleep: $(tenant)"
    [ "$(used)" = 0 ] || fail "$(used) bytes are left on the device"
    call "$name"
    latencies+="$took "
    [ "$(used)" -ge "$loaded" ] || fail "$name: $(used) bytes came back of $loaded"
done
# shellcheck disable=SC2086
printf '%s\n' $latencies | sort -n | awk '{ v[NR] = $1 } END { printf "back after %.1f ms (median of %d), %.1f at most\n", v[int((NR + 1) / 2)] / 1000, NR, v[NR] / 1000 }'
for ((i = 0; i < 15; i++)); do
    call query_event
    sleep 0.1
    ! asleep || fail "asleep though it calls"
done

# --- the daemon is killed while it sleeps ------------------------------------------------------------------------------------
until_true 20 asleep || fail "not asleep: $(tenant)"
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
daemon_start
call copy_to
until_true 20 asleep || fail "not asleep with the new daemon: $(tenant)"
call launch
# --- the process is killed while it sleeps -------------------------------------------------------------------------------------
until_true 20 asleep || fail "not asleep: $(tenant)"
kill -KILL "$program"
no_process() { tenant | grep -q '"process_count":0' || tenant | grep -q '"processes":0'; }
until_true 10 no_process || fail "the process is still there: $(tenant)"
awake() { ! asleep; }
until_true 10 awake || fail "asleep without a process"
echo "passed"
