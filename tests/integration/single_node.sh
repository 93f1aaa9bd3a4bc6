#!/usr/bin/env bash
# divvyd with --single-node as its users see it: tests/integration/single_node.sh BIN WORKER
set -euo pipefail
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

bin=$1 worker=$2
command -v curl >/dev/null 2>&1 || { echo "curl is not installed"; exit 77; }
command -v python3 >/dev/null 2>&1 || { echo "python3 is not installed"; exit 77; }

work=$(mktemp -d)
export XDG_RUNTIME_DIR=$work/run DIVVY_SIM_DIR=$work/sim DIVVY_GPU=sim XDG_CONFIG_HOME=$work/config HOME=$work
export DIVVY_SIM_DEVICES=2 DIVVY_PARTITION_DIR=$work/partitions TENSOR_FUSION_STATE_DIR=$work/state
unset DIVVY_SOCKET DIVVY_BASE DIVVY_CONFIG DIVVY_LOG TF_LOG_LEVEL TF_ACCELERATOR_LIB_PATH TF_HARDWARE_VENDOR
mkdir -m 700 "$work/run" "$work/config"
socket=$work/run/divvy/divvyd.sock log=$work/log daemon=

cleanup() {
    [ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null || true
    for record in "$work"/state/run/*.run; do
        [ -f "$record" ] && kill -KILL -- "-$(cut -d ' ' -f 2 "$record")" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT

fail() {
    echo "FAIL: $*"
    echo "--- log:"
    tail -n 30 "$log" 2>/dev/null || true
    exit 1
}
ask() { curl -s --max-time 5 --unix-socket "$socket" "http://divvyd$1"; }
answers() { [ "$(curl -s -o "$work/answer" -w '%{http_code}' --max-time 5 --unix-socket "$socket" http://divvyd/readyz)" = 200 ]; }
# Of the answer to a question: a Python expression over `a`.
told() { ask "$1" | python3 -c "import json, sys
try:
    a = json.load(sys.stdin)
    sys.exit(0 if ($2) else 1)
except (KeyError, IndexError, ValueError):
    sys.exit(1)"; }
start() {
    "$bin/divvyd" --single-node "$@" 2>>"$log" &
    daemon=$!
    until_true 15 answers || fail "divvyd does not answer"
}
wish() {
    printf '%s' "$1" >"$work/state/workers.json.mine"
    mv "$work/state/workers.json.mine" "$work/state/workers.json"
}
running_pid() { [ -s "$work/state/run/$1.run" ] && cut -d ' ' -f 2 "$work/state/run/$1.run"; }
is_gone_worker() { [ ! -s "$work/state/run/$1.run" ]; }

# --- devices -----------------------------------------------------------------------------------------------------------------
start
[ -s "$work/state/devices.json" ] || fail "no devices.json"
uuid=$(python3 -c "import json; print(json.load(open('$work/state/devices.json'))[0]['UUID'])")
case $uuid in gpu-*) ;; *) fail "the device is called $uuid" ;; esac

# --- a worker with limits: leases, figures ---------------------------------------------------------------------------------------
run="{\"type\":\"process\",\"executable\":\"$bin/examples/throughput\",\"args\":[\"--kernel-us\",\"1000\",\"--seconds\",\"600\"]}"
soft="{\"WorkerUID\":\"soft\",\"AllocatedDevices\":[\"$uuid\"],\"Status\":\"Running\",\"IsolationMode\":\"soft\",\"Mine\":1,\"Limits\":{\"compute\":\"30\",\"vram\":\"8Gi\"},\"WorkerRunningInfo\":$run}"
big="{\"WorkerUID\":\"big\",\"AllocatedDevices\":[\"$uuid\"],\"Status\":\"Running\",\"IsolationMode\":\"soft\",\"Limits\":{\"vram\":\"140Gi\"}}"
wish "[$soft,$big]"
until_true 10 told /api/v1/workers/soft "a['data']['status'] == 'Running' and a['data']['metrics']" || fail "no figures of the worker: $(ask /api/v1/workers/soft)"
told /api/v1/workers/soft "list(a['data']['metrics']['$uuid'].values())[0]['MemoryBytes'] > 0" || fail "its memory: $(ask /api/v1/workers/soft)"
told /api/v1/tenants "[t['id'] for t in a['tenants']] == ['soft']" || fail "tenants: $(ask /api/v1/tenants)"
until_true 10 told /api/v1/tenants "a['tenants'][0]['devices'][0]['mode'] == 'leased' or a['tenants'][0]['devices'][0]['busy_ns'] > 0" || fail "no leases: $(ask /api/v1/tenants)"
until_true 5 grep -q 'bytes of memory asked for' "$work/state/workers.json" || fail "big is not told why"
grep -q '"Mine": 1' "$work/state/workers.json" || fail "a foreign key is lost"
pid=$(running_pid soft)
policy_of() { tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^DIVVY_FAIL_POLICY=//p'; }
[ -z "$(policy_of "$pid")" ] || fail "a closed policy is nothing to tell"

# --- a daemon that is killed: the same worker goes on ------------------------------------------------------------------------------
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
kill -0 "$pid" || fail "the worker died with the daemon"
start
until_true 10 told /api/v1/workers/soft "a['data']['status'] == 'Running'" || fail "not adopted: $(ask /api/v1/workers/soft)"
[ "$(running_pid soft)" = "$pid" ] || fail "the worker was started anew"

# --- a broken file changes nothing ---------------------------------------------------------------------------------------------------
wish '[{"WorkerUID":"soft"'
sleep 0.3
kill -0 "$pid" || fail "a broken file ended the worker"

# --- a worker that is killed comes back -------------------------------------------------------------------------------------------
wish "[$soft]"
kill -KILL "$pid"
other() { local now; now=$(running_pid soft) && [ -n "$now" ] && [ "$now" != "$pid" ] && kill -0 "$now" 2>/dev/null; }
until_true 15 other || fail "it was not started again"

# --- taken out while nobody looks ------------------------------------------------------------------------------------------------
pid=$(running_pid soft)
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
wish '[]'
start
until_true 15 gone "$pid" || fail "it runs on though nobody wants it"

# --- partitions ------------------------------------------------------------------------------------------------------------------
"$bin/divvy-sim" mig on 0 >/dev/null || fail "divvy-sim mig on"
wish "[{\"WorkerUID\":\"mig\",\"AllocatedDevices\":[\"$uuid\"],\"Status\":\"Running\",\"IsolationMode\":\"partitioned\",\"PartitionTemplateID\":\"1g.18gb\"}]"
until_true 15 told /api/v1/workers/mig "a['data']['allocation']['Envs']['CUDA_VISIBLE_DEVICES'].startswith('MIG-')" || fail "no partition: $(ask /api/v1/workers/mig) $(cat "$work/state/workers.json")"
partition=$(ask /api/v1/workers/mig | python3 -c "import json, sys; print(json.load(sys.stdin)['data']['allocation']['DeviceInfos'][0]['NativeUUID'])")
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
start
until_true 15 told /api/v1/workers/mig "a['data']['allocation']['DeviceInfos'][0]['NativeUUID'] == '$partition'" || fail "the partition was not found again"
wish '[]'
until_true 15 told /api/v1/workers "a['data'] == []" || fail "it is still there: $(ask /api/v1/workers)"
instances() { "$bin/divvy-sim" mig list 0 2>/dev/null | grep -c "MIG-" || true; }
no_partition() { ! grep -q "$partition" "$work/state/devices.json"; }
until_true 10 no_partition || fail "the partition stays"
[ "$(instances)" = 0 ] || fail "the device still has instances: $("$bin/divvy-sim" mig list 0)"
"$bin/divvy-sim" mig off 0 >/dev/null || fail "divvy-sim mig off"

# --- killed at any moment of a worker's life: the next daemon makes the file come true ------------------------------------------------
other_uuid=$(python3 -c "import json; print([d['UUID'] for d in json.load(open('$work/state/devices.json')) if d['UUID'] != '$uuid'][0])")
"$bin/divvy-sim" mig on 1 >/dev/null || fail "divvy-sim mig on 1"
life="life-$$" part="part-$$"
held="{\"WorkerUID\":\"$life\",\"AllocatedDevices\":[\"$uuid\"],\"Status\":\"Running\",\"IsolationMode\":\"soft\",\"Limits\":{\"compute\":\"30\",\"vram\":\"8Gi\"},\"WorkerRunningInfo\":$run}"
divided="{\"WorkerUID\":\"$part\",\"AllocatedDevices\":[\"$other_uuid\"],\"Status\":\"Running\",\"IsolationMode\":\"partitioned\",\"PartitionTemplateID\":\"1g.18gb\",\"WorkerRunningInfo\":$run}"
processes() { { grep -slz "^WORKER_ID=$1\$" /proc/[0-9]*/environ || true; } | wc -l; }
instances_1() { "$bin/divvy-sim" mig list 1 2>/dev/null | grep -c "MIG-" || true; }
is_true() { # COUNT: of processes, tenants, instances
    [ "$(processes "$life")" = "$1" ] && [ "$(processes "$part")" = "$1" ] && [ "$(instances_1)" = "$1" ] &&
        told /api/v1/tenants "[t['id'] for t in a['tenants']] == ['$life'] * $1" && told /api/v1/workers "len(a['data']) == 2 * $1"
}
figures() { echo "$(processes "$life") and $(processes "$part") processes, $(instances_1) instances, $(ask /api/v1/tenants)"; }
for ((round = 0; round < 12; round++)); do
    if ((round % 2)); then wish '[]'; else wish "[$held,$divided]"; fi
    sleep "0.$((RANDOM % 3))$((RANDOM % 90 + 10))"
    kill -KILL "$daemon"
    wait "$daemon" 2>/dev/null || true
    if [ $((RANDOM % 3)) = 0 ]; then
        pid=$(running_pid "$life" || true)
        [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    fi
    start
    until_true 20 is_true $(((round + 1) % 2)) || fail "round $round: $(figures)"
done
"$bin/divvy-sim" mig off 1 >/dev/null || fail "divvy-sim mig off 1"

# --- a worker without limits is in the file of metrics too, one with leases once ----------------------------------------------------
kill -TERM "$daemon"
wait "$daemon" || fail "SIGTERM: status $?"
start --metrics-output-path "$work/metrics" --metrics-interval 1s --fail-policy open
free="{\"WorkerUID\":\"free\",\"WorkerName\":\"pod-7\",\"Namespace\":\"team\",\"AllocatedDevices\":[\"$uuid\"],\"Status\":\"Running\",\"IsolationMode\":\"shared\",\"WorkerRunningInfo\":$run}"
wish "[$free,$soft]"
measured() { grep -q "^tf_worker_usage,uuid=GPU-[^ ]*,pod_name=pod-7,namespace=team,worker=free memory_bytes=[1-9][0-9]*i,memory_percentage=0\.[0-9]*,compute_percentage=" "$work/metrics"; }
until_true 15 measured || fail "the worker without limits is not measured: $(tail -n 5 "$work/metrics")"
until_true 15 grep -q '^tf_worker_usage.*worker=soft .*compute_throttled_cnt' "$work/metrics" || fail "the tenant is not measured"
[ "$(grep -c 'worker=soft ' "$work/metrics")" = "$(grep -c 'worker=soft .*compute_throttled_cnt' "$work/metrics")" ] || fail "the tenant is measured twice"
[ "$(policy_of "$(running_pid soft)")" = open ] || fail "the policy does not reach the worker with limits"
wish '[]'
until_true 15 told /api/v1/workers "a['data'] == []" || fail "they are still there: $(ask /api/v1/workers)"

# --- workers that do not say how they are run ------------------------------------------------------------------------------------
kill -TERM "$daemon"
wait "$daemon" || fail "SIGTERM: status $?"
start --worker-binary "$worker" --isolation-mode shared
wish "[{\"WorkerUID\":\"plain\",\"AllocatedDevices\":[\"$uuid\"],\"Status\":\"Running\"}]"
until_true 10 told /api/v1/workers/plain "a['data']['status'] == 'Running'" || fail "plain does not run"
port=$(cut -d ' ' -f 6 "$work/state/run/plain.run")
until_true 10 curl -s --max-time 2 -o /dev/null "http://127.0.0.1:$port/" || fail "nobody answers on port $port"
pid=$(running_pid plain)
wish '[]'
until_true 15 gone "$pid" || fail "plain does not end"

# --- what cannot be ----------------------------------------------------------------------------------------------------------------
kill -TERM "$daemon"
wait "$daemon" || true
daemon=
mkdir "$work/open"
chmod 0777 "$work/open"
status=0
"$bin/divvyd" --single-node --state-dir "$work/open" 2>"$work/errors" || status=$?
[ $status = 1 ] || fail "a folder open to all: status $status"
grep -q 'others may write' "$work/errors" || fail "$(cat "$work/errors")"
# The same of a look at the configuration alone, which makes nothing.
ln -s "$work/state" "$work/link"
for bad in /dev/null "$work/errors" "$work/errors/below" "$work/link" "$work/open"; do
    status=0
    "$bin/divvyd" --single-node --state-dir "$bad" --check-config >"$work/shown" 2>"$work/refused" || status=$?
    [ $status != 0 ] || fail "--check-config: $bad is taken for a folder of state"
    [ "$(wc -l <"$work/refused")" = 1 ] && grep -q "$bad" "$work/refused" || fail "--check-config of $bad: $(cat "$work/refused")"
done
"$bin/divvyd" --single-node --state-dir "$work/new" --check-config >"$work/shown" || fail "--check-config: a folder that would be made"
[ ! -e "$work/new" ] || fail "--check-config makes the folder of state"

# --- the example -------------------------------------------------------------------------------------------------------------------
"$bin/examples/single_node" >"$work/example" || fail "the example: $(cat "$work/example")"
grep -q 'my-worker-1 has example-device-0' "$work/example" || fail "$(cat "$work/example")"
echo "all well"
