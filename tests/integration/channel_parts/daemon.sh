#!/usr/bin/env bash
# The channel through a real daemon, on the simulated GPU: daemon.sh BIN LIB TESTS. A pod that cannot map its pages gets its limits
# over HTTP, registers, is frozen with its tenant, stays frozen while the daemon is killed and started anew, and is thawed.
set -u
bin=$1 lib=$2 tests=$3
command -v curl >/dev/null || { echo "curl is not installed"; exit 77; }
folder=$(mktemp -d /tmp/divvy-channel-XXXXXX)
export DIVVY_SIM_DIR=$folder/sim
daemon='' program='' failures=0
cleanup() {
    [ -z "$program" ] || kill -9 "$program" 2>/dev/null
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null
    wait 2>/dev/null
    rm -rf "$folder"
}
trap cleanup EXIT

expect() { # WHAT COMMAND...
    local what=$1 verdict=right
    shift
    "$@" || { verdict=WRONG failures=$((failures + 1)); }
    printf '%-74s %s\n' "$what" "$verdict"
}
api() { curl -s -m 10 --unix-socket "$folder/socket" "$@"; }
until_true() { # COMMAND...: within 20 s
    local try
    for ((try = 0; try < 200; try++)); do
        "$@" && return 0
        sleep 0.1
    done
    return 1
}
daemon_start() { # any free port; then that one again
    local listen=127.0.0.1:${port:-0}
    "$bin/divvyd" --gpu sim --base "$folder/base" --shm-base "$folder/shm" --socket "$folder/socket" --listen "$listen" --jwt-unverified >>"$folder/log" 2>&1 &
    daemon=$!
    until_true answers
    until_true grep -q 'listening on 127' "$folder/log" # after the unix socket
    port=$(sed -n 's/.*listening on 127.0.0.1:[0-9]* port \([0-9]*\).*/\1/p' "$folder/log" | tail -n 1)
}
answers() { [ "$(api -o "$folder/node" -w '%{http_code}' http://localhost/readyz)" = 200 ]; }
# Milliseconds of GPU time that the program has used.
busy_ms() {
    local figures
    figures=$(LD_LIBRARY_PATH='' "$bin/divvy-sim" show 2>/dev/null | awk -v pid="$program" '$1 == pid { print int($(NF - 1) * 1000) }')
    echo "${figures:-0}"
}
used_ms() { # SECONDS
    local before
    before=$(busy_ms)
    sleep "$1"
    echo $(($(busy_ms) - before))
}
computes() { [ "$(used_ms 0.3)" -gt 30 ]; }
stands_still() { [ "$(used_ms 0.5)" -eq 0 ]; }
is_registered() { api http://localhost/api/v1/tenants/n%2Fp%2Fmain/processes | grep -q "\"host_pid\":$program,"; }
is_gone() { ! is_registered; }
base64url() { base64 | tr -d '=\n' | tr '+/' '-_'; }

daemon_start
gpu=$(api http://localhost/api/v1/node/devices | grep -o 'GPU-[0-9a-f-]*' | head -n 1)
expect "the daemon makes a tenant for the pod" [ "$(api -o "$folder/tenant" -w '%{http_code}' -X POST http://localhost/api/v1/tenants \
    -d "{\"id\":\"n/p/main\",\"pod\":\"p\",\"namespace\":\"n\",\"container\":\"main\",\"devices\":[{\"gpu\":\"$gpu\",\"memory_limit_bytes\":1073741824,\"compute_percent\":40}]}")" = 201 ]

claims="{\"exp\":$(($(date +%s) + 3600)),\"nbf\":1,\"sub\":\"system:serviceaccount:n:default\",\"kubernetes.io\":{\"namespace\":\"n\",\"pod\":{\"name\":\"p\",\"uid\":\"u\"},\"serviceaccount\":{\"name\":\"default\",\"uid\":\"s\"}}}"
printf '%s.%s.%s\n' "$(printf '{"alg":"none"}' | base64url)" "$(printf '%s' "$claims" | base64url)" "$(printf none | base64url)" >"$folder/token"
# The same process from beginning to end: its pid is what everything goes by.
HYPERVISOR_IP=127.0.0.1 HYPERVISOR_PORT=$port POD_NAME=p POD_NAMESPACE=n CONTAINER_NAME=main DIVVY_POD_TOKEN=$folder/token \
    LD_LIBRARY_PATH=$lib/simgpu LD_PRELOAD=$lib/libcuda_limiter.so "$tests/compute_load" kernels-1ms >"$folder/program" 2>&1 &
program=$!
expect "its process is registered" until_true is_registered
expect "and computes" until_true computes
# A busy host may keep it from its share for a while, but nothing gives it more.
share=0
for ((i = 0; i < 10 && share < 36; i++)); do
    share=$(($(used_ms 2) / 20))
    echo "  share of GPU time: $share %"
    [ "$share" -le 43 ] || break
done
expect "at the pod's share, and no more" test "$share" -ge 36 -a "$share" -le 43

api -o "$folder/tenant" -X POST http://localhost/api/v1/tenants/n%2Fp%2Fmain/freeze
expect "frozen with its tenant" until_true stands_still
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
daemon_start
expect "the daemon was killed and is back: registered again" until_true is_registered
# Longer than a suspension outlives its hypervisor.
expect "and still frozen" [ "$(used_ms 12)" -eq 0 ]
api -o "$folder/tenant" -X POST http://localhost/api/v1/tenants/n%2Fp%2Fmain/thaw
expect "thawed" until_true computes
kill -9 "$program"
wait "$program" 2>/dev/null
expect "killed: no process of the tenant any more" until_true is_gone
[ "$failures" = 0 ] || { sed 's/^/  program: /' "$folder/program"; tail -n 20 "$folder/log" | sed 's/^/  daemon: /'; }
[ "$failures" = 0 ]
