#!/usr/bin/env bash
# Two tenants on one simulated GPU, one with pages, one whose process reaches the daemon over TCP only: lease.sh BIN LIB TESTS.
# Shares hold between them; limits change on the way; the remote one idles, lies, floods, is stopped and is killed.
set -u
bin=$1 lib=$2 tests=$3
command -v curl >/dev/null || { echo "curl is not installed"; exit 77; }
folder=$(mktemp -d /tmp/divvy-lease-XXXXXX)
export DIVVY_SIM_DIR=$folder/sim
daemon='' remote='' near='' failures=0
cleanup() {
    local pid
    for pid in $remote $near; do kill -9 "$pid" 2>/dev/null; done
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
until_true() { # COMMAND...: within 20 s
    local try
    for ((try = 0; try < 200; try++)); do
        "$@" && return 0
        sleep 0.1
    done
    return 1
}
api() { curl -s -m 10 --unix-socket "$folder/socket" "$@"; }
pod() { curl -s -m 10 -H "Authorization: Bearer $(cat "$folder/token")" "$@"; }
answers() { [ "$(api -o "$folder/node" -w '%{http_code}' http://localhost/readyz)" = 200 ]; }
daemon_start() { # any free port; then that one again
    "$bin/divvyd" --gpu sim --base "$folder/base" --shm-base "$folder/shm" --socket "$folder/socket" \
        --listen "127.0.0.1:${port:-0}" --jwt-unverified >>"$folder/log" 2>&1 &
    daemon=$!
    until_true answers
    until_true grep -q 'listening on 127' "$folder/log" # after the unix socket
    port=$(sed -n 's/.*listening on 127.0.0.1:[0-9]* port \([0-9]*\).*/\1/p' "$folder/log" | tail -n 1)
}
tenant() { # ID FIELDS
    [ "$(api -o "$folder/tenant.json" -w '%{http_code}' -X POST http://localhost/api/v1/tenants -d "{\"id\":\"$1\",$2}")" = 201 ]
}
busy_ms() { # PID: GPU time that it has used
    local figure
    figure=$(LD_LIBRARY_PATH='' "$bin/divvy-sim" show 2>/dev/null | awk -v pid="$1" '$1 == pid { print int($(NF - 1) * 1000) }')
    echo "${figure:-0}"
}
# Percent of the time that both used, in `shares`; the host may be busy with others, so what counts is one against the other.
measure() { # SECONDS
    local before_remote before_near since_ns passed
    before_remote=$(busy_ms "$remote") before_near=$(busy_ms "$near") since_ns=$(date +%s%N)
    sleep "$1"
    passed=$((($(date +%s%N) - since_ns) / 10000000))
    of_remote=$((($(busy_ms "$remote") - before_remote) * 100 / passed))
    of_near=$((($(busy_ms "$near") - before_near) * 100 / passed))
    echo "  remote $of_remote %o, near $of_near %o"
}
# Nobody gets more than it may, and the two get what they get in the ratio that was asked for. A busy host may spoil a look.
share_holds() { # REMOTE NEAR: percent
    local try
    for ((try = 0; try < 12; try++)); do
        measure 2
        [ "$of_remote" -le $((10 * $1 + 30)) ] && [ "$of_near" -le $((10 * $2 + 30)) ] || continue
        [ $((of_remote * ($1 + $2) * 100)) -ge $(((of_remote + of_near) * ($1 * 100 - 600))) ] || continue
        [ $((of_remote * ($1 + $2) * 100)) -le $(((of_remote + of_near) * ($1 * 100 + 600))) ] && return 0
    done
    return 1
}
soon() { # COMMANDS: true at one of some looks
    local try
    for ((try = 0; try < 12; try++)); do
        eval "$1" && return 0
    done
    return 1
}
leases() { api http://localhost/metrics | sed -n 's/^divvy_tenant_leases_granted_total{tenant="n\/p\/main".* //p'; }
gets_leases() { [ "$(leases)" -gt 3 ]; }
base64url() { base64 | tr -d '=\n' | tr '+/' '-_'; }
remote_start() { # SCENARIO
    HYPERVISOR_IP=127.0.0.1 HYPERVISOR_PORT=$port POD_NAME=p POD_NAMESPACE=n CONTAINER_NAME=main DIVVY_POD_TOKEN=$folder/token \
        LD_LIBRARY_PATH=$lib/simgpu LD_PRELOAD=$lib/libcuda_limiter.so "$tests/compute_load" "$1" >"$folder/remote" 2>&1 &
    remote=$!
}
report() { # BUSY WAITING: status
    pod -o "$folder/said" -w '%{http_code}' "http://127.0.0.1:$port/api/v1/limiter/report" \
        -d "{\"client_id\":\"worker_$remote\",\"devices\":[{\"uuid\":\"$gpu\",\"waiting\":$2,\"busy_ns\":$1,\"used_bytes\":0,\"launches\":1}]}"
}

daemon_start
gpu=$(api http://localhost/api/v1/node/devices | grep -o 'GPU-[0-9a-f-]*' | head -n 1)
expect "a tenant for the pod" tenant n/p/main \
    "\"pod\":\"p\",\"namespace\":\"n\",\"container\":\"main\",\"devices\":[{\"gpu\":\"$gpu\",\"memory_limit_bytes\":1073741824,\"compute_percent\":30}]" \
    2>/dev/null
expect "and one with pages" tenant near "\"devices\":[{\"gpu\":\"$gpu\",\"compute_percent\":60}]"
pages=$(grep -o '"folder":"[^"]*"' "$folder/tenant.json" | cut -d'"' -f4)
claims="{\"exp\":$(($(date +%s) + 3600)),\"nbf\":1,\"sub\":\"system:serviceaccount:n:default\",\"kubernetes.io\":{\"namespace\":\"n\",\"pod\":{\"name\":\"p\",\"uid\":\"u\"},\"serviceaccount\":{\"name\":\"default\",\"uid\":\"s\"}}}"
printf '%s.%s.%s\n' "$(printf '{"alg":"none"}' | base64url)" "$(printf '%s' "$claims" | base64url)" "$(printf none | base64url)" >"$folder/token"
DIVVY_TENANT_DIR=$pages LD_LIBRARY_PATH=$lib/simgpu LD_PRELOAD=$lib/libcuda_limiter.so "$tests/compute_load" kernels-1ms >"$folder/near" 2>&1 &
near=$!
remote_start kernels-1ms
expect "the process without pages gets leases" until_true gets_leases
expect "30 and 60 percent" share_holds 30 60

api -o "$folder/said" -X PATCH http://localhost/api/v1/tenants/n%2Fp%2Fmain -d '{"compute_percent":60}'
api -o "$folder/said" -X PATCH http://localhost/api/v1/tenants/near -d '{"compute_percent":30}'
expect "changed to 60 and 30" share_holds 60 30
share_is_known() { [ -n "$(api http://localhost/metrics | sed -n '/^divvy_tenant_share_ratio{tenant="n\/p\/main"/s/.* 0\.[0-9]/&/p')" ]; }
expect "divvy has a figure of its share" until_true share_is_known

kill -9 "$remote"
wait "$remote" 2>/dev/null
remote_start kernels-1ms
sleep 1
expect "killed and started anew, as before" share_holds 60 30

kill -STOP "$remote"
api -o "$folder/said" -X PATCH http://localhost/api/v1/tenants/near -d '{"compute_percent":null}'
expect "stopped in the middle: the other one gets the device" soon 'measure 1; [ "$of_near" -ge 600 ] && [ "$of_remote" -eq 0 ]'
kill -CONT "$remote"
expect "it goes on, and they share" soon 'measure 1; [ "$of_remote" -ge 250 ]'

# A report in its name that claims the future: it is charged for what it says it used, and has nothing of it.
expect "another process's report is refused" [ "$(remote=1 report 1 1)" = 403 ]
expect "one that says that it used an hour is taken" [ "$(report 3600000000000 1)" = 200 ]
expect "and the other one goes on" soon 'measure 1; [ "$of_near" -ge 200 ]'
# One connection, as fast as it goes.
pod -o "$folder/said" -w '%{http_code}\n' "http://127.0.0.1:$port/api/v1/limiter/report?[1-1500]" \
    -d "{\"client_id\":\"worker_$remote\",\"devices\":[]}" >"$folder/codes"
flooded=$(grep -c '^429$' "$folder/codes")
echo "  of 1500 reports $(grep -c '^200$' "$folder/codes") were taken, $flooded refused"
expect "a flood is refused, where it is one" test "$flooded" -gt 0 -o "$(grep -c '^200$' "$folder/codes")" = 1500
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
expect "no daemon: it paces itself" soon 'measure 1; [ "$of_remote" -ge 200 ] && [ "$of_remote" -le 640 ]'
daemon_start
expect "another daemon: leases again" until_true gets_leases
api -o "$folder/said" -X POST http://localhost/api/v1/tenants/n%2Fp%2Fmain/freeze
expect "frozen" soon 'measure 0.5; [ "$of_remote" -eq 0 ]'
api -o "$folder/said" -X POST http://localhost/api/v1/tenants/n%2Fp%2Fmain/thaw
expect "thawed" soon 'measure 1; [ "$of_remote" -ge 100 ]'
api -o "$folder/said" -X DELETE "http://localhost/api/v1/tenants/n%2Fp%2Fmain?force=1"
expect "its tenant is removed under it: it goes on by itself" soon 'measure 1; [ "$of_remote" -ge 100 ]'
kill -9 "$remote"
expect "killed: the other one has it all" soon 'measure 1; [ "$of_near" -ge 600 ]'
[ "$failures" = 0 ] || { sed 's/^/  remote: /' "$folder/remote"; tail -n 20 "$folder/log" | sed 's/^/  daemon: /'; }
[ "$failures" = 0 ]
