#!/usr/bin/env bash
# Partitioned workers of the agent on the simulated GPU: agent_partitioned.sh GGO PLATFORM WORKER LIBRARIES. Each has a slice that is made
# for it, sees nothing else, and leaves nothing; whoever is killed.
set -u
# shellcheck source=tests/integration/agent_parts/lib.sh
. "$(dirname "$0")/agent_parts/lib.sh"
libraries=$4
[ -e "$libraries/libaccelerator_nvidia.so" ] && [ -e "$libraries/simgpu/libnvidia-ml.so.1" ] && [ -x "$(dirname "$ggo")/divvy-runner" ] || exit 77
unset GPU_GO_MOCK_GPUS HC_MIG_PROFILE HC_MIG_TTL
export GPU_GO_ENDPOINT=$server DIVVY_SIM_DIR=$place/gpu DIVVY_SIM_DEVICES=2 DIVVY_SIM_MODEL=H100 DIVVY_SIM_MIG='off;on'
export LD_LIBRARY_PATH=$libraries/simgpu HC_MIG_LOCK_DIR=$place/locks XDG_RUNTIME_DIR=$place/run DIVVY_TEST_WORKER=$worker
mkdir -m 700 "$place/run"
log=$place/agent.log
# The worker: tells what it was given, then serves.
cat >"$place/worker" <<WORKER
#!/bin/sh
echo "\$CUDA_VISIBLE_DEVICES \$NVIDIA_VISIBLE_DEVICES" >"$place/seen-\$WORKER_ID"
exec "\$DIVVY_TEST_WORKER" "\$@"
WORKER
chmod 755 "$place/worker"
agent_start() {
    "$ggo" agent start --single-node --worker-binary "$place/worker" --accelerator-lib "$libraries/libaccelerator_nvidia.so" </dev/null >>"$log" 2>&1 &
    agent_pid=$!
}
wish() { printf '[%s]' "$1" >"$state.edited" && mv "$state.edited" "$state"; }
entry() { { flat <"$config"; } 2>/dev/null | grep -o "{\"worker_id\":\"$1\"[^{}]*}"; }
pid_of() { entry "$1" | grep -o '"pid":[0-9]*' | grep -o '[0-9]*'; }
runs() { case $(entry "$1") in *'"status":"running"'*) [ -s "$place/seen-$1" ] && serves "$1" ;; *) return 1 ;; esac; }
serves() { (exec 3<>"/dev/tcp/127.0.0.1/$(entry "$1" | grep -o '"listen_port":[0-9]*' | grep -o '[0-9]*')") 2>/dev/null; }
locks() { find "$place/locks" -name '*.lock' 2>/dev/null | wc -l; }
locks_are() { [ "$(locks)" = "$1" ]; }
left() { find "$place/locks" \( -name '.*.made' -o -name .creating -o -name '*.lock' \) 2>/dev/null | wc -l; }
none_left() { [ "$(left)" = 0 ]; }
other_pid() { [ -n "$(pid_of "$1")" ] && [ "$(pid_of "$1")" != "$2" ]; }
told_has() { case $(entry off) in *"$(flat <<<"$1")"*) return 0 ;; esac; return 1; }
told_of() { grep -q "$1" "$log" "$place"/state/logs/*.log 2>/dev/null; }

check "register" 0 "$(status_of "$ggo" agent register --token tmp_good --accelerator-lib "$libraries/libaccelerator_nvidia.so")"
whole=$(grep -o '"gpu_id": "[^"]*"' "$place/config/gpus.json" | sed -n '1s/.*: "\(.*\)"/\1/p')
gpu=$(grep -o '"gpu_id": "[^"]*"' "$place/config/gpus.json" | sed -n '2s/.*: "\(.*\)"/\1/p')
one="{\"WorkerUID\": \"one\", \"AllocatedDevices\": [\"$gpu\"], \"Status\": \"Running\", \"IsolationMode\": \"partitioned\", \"PartitionTemplateID\": \"1g.10gb\"}"
sized="{\"WorkerUID\": \"sized\", \"AllocatedDevices\": [\"$gpu\"], \"Status\": \"Running\", \"IsolationMode\": \"partitioned\", \"Limits\": {\"vram\": \"15Gi\"}}"
wish "$one,$sized"
agent_start
eventually "one runs" runs one
eventually "the other runs" runs sized
pid_of one >>"$place/workers.pids"
pid_of sized >>"$place/workers.pids"
read -r slice named <"$place/seen-one"
check_has "a slice is all that it sees" "MIG-" "$slice"
check "by both names" "$slice" "$named"
check "the two have different ones" 2 "$(cut -d ' ' -f 1 "$place"/seen-* | sort -u | grep -c '^MIG-')"
check "both are reserved" 2 "$(locks)"
check "of the GPU that was asked for" 2 "$(grep -h 'running on slice' "$place"/state/logs/*.log | grep -c 'of GPU 1')"
check_has "the smallest that is enough" "20gb" "$(grep -h 'running on slice' "$place"/state/logs/*sized*.log)"

# The agent is killed: both run on, and are the next agent's.
pid=$(pid_of one)
kill -9 "$agent_pid"
wait "$agent_pid" 2>/dev/null
check "they run on" yes "$(kill -0 "$pid" && echo yes)"
agent_start
eventually "taken over" runs one
check "the same process" "$pid" "$(pid_of one)"
# A worker is killed, with what reserved its slice: it has one again.
rm "$place/seen-one"
kill -9 "$pid"
eventually "started again" other_pid one "$pid"
eventually "on a slice" runs one
pid_of one >>"$place/workers.pids"
check_has "again a slice" "MIG-" "$(cat "$place/seen-one")"
# One that is not wanted any more gives its slice back, and it is destroyed.
wish "$sized"
eventually "given back" locks_are 1

# What cannot be: MIG is off there, and there is no such profile. Never on a whole GPU instead.
wish "{\"WorkerUID\": \"off\", \"AllocatedDevices\": [\"$whole\"], \"Status\": \"Running\", \"IsolationMode\": \"partitioned\", \"PartitionTemplateID\": \"1g.10gb\"},
    {\"WorkerUID\": \"odd\", \"AllocatedDevices\": [\"$gpu\"], \"Status\": \"Running\", \"IsolationMode\": \"partitioned\", \"PartitionTemplateID\": \"9z.1gb\"}"
eventually "a GPU without MIG: said" told_of "1g.10gb"
eventually "no such profile: said" told_of "9z.1gb"
eventually "and the platform hears of it" told_has 'no slice of its GPU'
check "neither ran" no "$([ -e "$place/seen-off" ] || [ -e "$place/seen-odd" ] && echo yes || echo no)"

kill -INT "$agent_pid"
wait "$agent_pid" 2>/dev/null
agent_pid=''
# What the killed one had is marked, and goes with the next reservation of anybody who makes one.
"$(dirname "$ggo")/divvy" mig release --orphans --locks "$place/locks" >/dev/null 2>&1
eventually "nothing is left" none_left
done_or_failed
