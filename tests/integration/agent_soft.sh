#!/usr/bin/env bash
# Soft isolation of the agent's workers on the simulated GPU: agent_soft.sh GGO PLATFORM WORKER LIBRARIES. What a worker that uses
# CUDA sees of its device, and how much of it it gets, for the second of two devices.
set -u
# shellcheck source=tests/integration/agent_parts/lib.sh
. "$(dirname "$0")/agent_parts/lib.sh"
libraries=$4 programs=$4/../tests
[ -e "$libraries/libaccelerator_nvidia.so" ] && [ -e "$libraries/simgpu/libcuda.so.1" ] && [ -x "$programs/limiter_probe" ] &&
    [ -x "$programs/limiter_processes" ] || exit 77
unset GPU_GO_MOCK_GPUS
export GPU_GO_ENDPOINT=$server DIVVY_SIM_DIR=$place/gpu DIVVY_SIM_DEVICES=2 LD_LIBRARY_PATH=$libraries/simgpu
export DIVVY_TEST_PROGRAMS=$programs DIVVY_TEST_PLACE=$place DIVVY_TEST_WORKER=$worker
log=$place/agent.log

# The worker: says what its device looks like, takes as much as it can, then serves as the other one does.
cat >"$place/worker" <<'WORKER'
#!/bin/sh
"$DIVVY_TEST_PROGRAMS/limiter_probe" >"$DIVVY_TEST_PLACE/seen" 2>&1
"$DIVVY_TEST_PROGRAMS/limiter_processes" hold 805306368 </dev/null >"$DIVVY_TEST_PLACE/held"
"$DIVVY_TEST_PROGRAMS/limiter_processes" hold 1610612736 </dev/null >"$DIVVY_TEST_PLACE/too-much"
echo done >"$DIVVY_TEST_PLACE/status"
exec "$DIVVY_TEST_WORKER" "$@"
WORKER
chmod 755 "$place/worker"

check "register" 0 "$(status_of "$ggo" agent register --token tmp_good --accelerator-lib "$libraries/libaccelerator_nvidia.so")"
gpu=$(grep -o '"gpu_id": "[^"]*"' "$place/config/gpus.json" | sed -n '2s/.*: "\(.*\)"/\1/p')
check_has "two GPUs" "gpu-" "$gpu"
printf '[{"WorkerUID": "soft", "AllocatedDevices": ["%s"], "Status": "Running", "IsolationMode": "soft", "Limits": {"vram": "1Gi", "compute": "30"}}]' \
    "$gpu" >"$state"
"$ggo" agent start --single-node --worker-binary "$place/worker" --accelerator-lib "$libraries/libaccelerator_nvidia.so" </dev/null >>"$log" 2>&1 &
agent_pid=$!
soft_pid() { { flat <"$config"; } 2>/dev/null | grep -o '"worker_id":"soft"[^{}]*' | grep -o '"pid":[0-9]*' | grep -o '[0-9]*'; }
eventually "it runs and has looked" test -s "$place/status"
soft_pid >>"$place/workers.pids"
check_has "one device" "device 0 total 1073741824 " "$(cat "$place/seen")"
check_lacks "and no other" "device 1 total" "$(cat "$place/seen")"
check "three quarters can be had" "held 0" "$(cat "$place/held")"
check "one and a half cannot" "held 2" "$(cat "$place/too-much")" # out of memory
pid=$(soft_pid)
for limit in 'TENSOR_FUSION_CUDA_MEM_LIMIT={"GPU:1073741824}' 'TENSOR_FUSION_CUDA_UP_LIMIT={"GPU:30}'; do
    check_has "limits by UUID" "${limit/GPU/$gpu\"}" "$(tr '\0' '\n' <"/proc/$pid/environ")"
done
kill -INT "$agent_pid"
wait "$agent_pid" 2>/dev/null
agent_pid=''
done_or_failed
