#!/usr/bin/env bash
# ggo's commands against a platform of its own: agent_cli.sh GGO PLATFORM WORKER LIBRARIES
set -u
# shellcheck source=tests/integration/agent_parts/lib.sh
. "$(dirname "$0")/agent_parts/lib.sh"
export GPU_GO_ENDPOINT=$server

# ---- grammar ----
check "no command" 2 "$(status_of "$ggo")"
check "help" 0 "$(status_of "$ggo" help worker create)"
check_has "a near word" "did you mean 'worker list'" "$("$ggo" worker lst 2>&1)"
check_has "a near option" "did you mean --config-dir" "$("$ggo" agent register --confg-dir x 2>&1)"
check_has "an option in front" "registered" "$("$ggo" agent -o json status)"
check "an option of another command" 2 "$(status_of "$ggo" --max-uses 3 agent status)"
for bad in "share create --expires-in 7x" "worker create --port 80" "worker create --port 70000" "agent status -o xml" "worker get" \
    "worker get a b" "worker update wk" "worker update wk --enabled --disabled" "share create --max-uses -1" "agent register" \
    "use" "clean a --all" "agent start extra" "worker create --enabled=maybe" "use /" "worker delete wk_1" "launch ls"; do
    # shellcheck disable=SC2086 # words
    check "wrong use: $bad" 2 "$(status_of "$ggo" $bad </dev/null)"
    # shellcheck disable=SC2086
    check "wrong use, one line: $bad" 1 "$("$ggo" $bad </dev/null 2>&1 >/dev/null | wc -l)"
done

# ---- before registration ----
check "status, unregistered" '{"registered":false,"message":"Agentisnotregistered"}' "$("$ggo" agent status -o json | flat)"
check "start, unregistered" 1 "$(status_of "$ggo" agent start --single-node)"
check_has "no token" "--token" "$("$ggo" worker list 2>&1)"

# ---- registration ----
check "a bad token" 1 "$(status_of "$ggo" agent register --token tmp_bad)"
errors=$("$ggo" agent register --token tmp_bad 2>&1)
check_has "a bad token is told" "401" "$errors"
check_lacks "a token is never told" "tmp_bad" "$errors"
check "nothing is left of it" no "$([ -e "$place/config/config.json" ] && echo yes || echo no)"
check "register" '{"success":true,"message":"registeredasagent_1with2GPUs","id":"agent_1"}' \
    "$("$ggo" agent register -t tmp_good -o json 2>/dev/null | flat)"
check "secrets are private" 600 "$(stat -c %a "$place/config/config.json")"
check "gpus.json" '[{"gpu_id":"GPU-0","gpu_index":0,"vendor":"nvidia","model":"RTX4090","vram_mb":24576,"used_by_worker":null},{"gpu_id":"GPU-1","gpu_index":1,"vendor":"nvidia","model":"RTX4090","vram_mb":24576,"used_by_worker":null}]' \
    "$(flat <"$place/config/gpus.json")"
check_has "the platform heard of GPUs" '"driver_version":"535.104.05"' "$(told)"
check_has "status" '"registered":true,"agent_id":"agent_1","config_version":0' "$("$ggo" agent status -o json | flat)"
check_has "status of the machine" '"local_status":{"state":"stopped","pid":0},"workers":[]' "$("$ggo" agent status -o json | flat)"
check "registered already" 1 "$(status_of "$ggo" agent register --token tmp_good)"
check "registered anew by force" 0 "$(status_of "$ggo" agent register --token tmp_good --force)"
steer forget '{"agent_id": "agent_2"}'
check_has "a stale registration is replaced" "agent_3" "$(GPU_GO_TOKEN=tmp_good "$ggo" agent register 2>/dev/null)"
chmod 644 "$place/config/config.json"
check_has "a readable secret is mended and told" "0600" "$("$ggo" agent status 2>&1)"
check "a readable secret is mended" 600 "$(stat -c %a "$place/config/config.json")"

# ---- the user's commands ----
export GPU_GO_TOKEN=user_good
check_has "agents" '"total":2' "$("$ggo" agent list -o json | flat)"
check_has "agents as a table" "HOSTNAME" "$("$ggo" agent list)"
check_has "an agent" '{"item":{"agent_id":"agent_3"' "$("$ggo" agent get agent_3 -o json | flat)"
check_lacks "an agent's secret stays there" "secret_3" "$("$ggo" agent get agent_3 -o json)"
check "no such agent" 1 "$(status_of "$ggo" agent get ../shares)"
check "create a worker" '{"success":true,"message":"workertrainwascreated(wk_4)","id":"wk_4"}' \
    "$("$ggo" worker create --agent-id agent_3 --name train --gpu-ids GPU-0,GPU-1 --port 9100 --enabled=false -o json | flat)"
check "the platform's worker" '{"item":{"worker_id":"wk_4","agent_id":"agent_3","name":"train","gpu_ids":["GPU-0","GPU-1"],"listen_port":9100,"enabled":false,"status":"pending"}}' \
    "$("$ggo" worker get wk_4 -o json | flat)"
check "empty ids" 2 "$(status_of "$ggo" worker create --agent-id agent_3 --name x --gpu-ids GPU-0,,GPU-1)"
check "update a worker" 0 "$(status_of "$ggo" worker update wk_4 --enabled --name train2)"
check_has "the update" '"name":"train2"' "$("$ggo" worker list --agent-id agent_3 -o json | flat)"
check_has "of another machine" '{"items":[],"total":0}' "$("$ggo" worker list --agent-id 'a&b' -o json | flat)"
check_has "no workers" "no workers" "$("$ggo" worker list --agent-id none)"
check_has "share by name" '"short_code":"code5"' "$("$ggo" share create train2 --connection-ip 10.0.0.5 --expires-in 7d --max-uses 3 -o json | flat)"
check_has "a week" "$(date -u -d '+7 days' +%Y-%m-%dT%H)" "$("$ggo" share list -o json)"
check_has "worker share" '"share_id":"sh_6"' "$("$ggo" worker share --worker-id wk_4 --connection-ip ::1 -o json | flat)"
check "no such worker" 1 "$(status_of "$ggo" share create nobody --connection-ip 10.0.0.5)"
check "no address" 2 "$(status_of "$ggo" share create train2 --connection-ip host)"
check_has "share get" '{"item":{"worker_id":"wk_4","hardware_vendor":"nvidia","connection_url":"native+10.0.0.5+9001+wk_4-1"}}' \
    "$(GPU_GO_TOKEN='' "$ggo" share get https://gpu.tf/s/code5/ -o json | flat)"
check "no such share" 1 "$(status_of "$ggo" share get nothere)"

# ---- use, clean, launch ----
lines=$("$ggo" use code5 -y 2>/dev/null)
check_has "use" "export GPU_GO_CONNECTION_URL='native+10.0.0.5+9001+wk_4-1'" "$lines"
check_has "use, later names" "export TENSOR_FUSION_OPERATOR_CONNECTION_INFO='native+" "$lines"
check "use in a shell" "nvidia 0" "$(eval "$lines"; echo "$GPU_GO_VENDOR $CUDA_VISIBLE_DEVICES")"
check "env.sh is private" 600 "$(stat -c %a "$HOME/.gpugo/use/code5/env.sh")"
check_has "use without a client says so" "no GPU client library" "$("$ggo" use code5 -y 2>&1 >/dev/null)"
check "use --output-dir" 0 "$(status_of "$ggo" use gpu.tf/s/code6 --long-term --output-dir "$place/out")"
check "env.sh there" yes "$([ -s "$place/out/env.sh" ] && echo yes)"
check_has "clean" "unset GPU_GO_CONNECTION_URL" "$("$ggo" clean -y)"
check "clean leaves long terms" "code6" "$(ls "$HOME/.gpugo/use")"
check "clean all" 0 "$(status_of "$ggo" clean --all)"
check "clean all is all" "" "$(ls "$HOME/.gpugo/use")"
check "clean what is not there" 1 "$(status_of "$ggo" clean code6)"
check "launch without a client" 1 "$(status_of "$ggo" launch -s code5 true)"
mkdir -p "$HOME/.cache/gpugo/libs"
export GGO_CACHE_DIR=$HOME/.cache/gpugo
cp "$(ldconfig -p | sed -n 's/.*libdl\.so\.2.*x86-64.* => //p' | head -n 1)" "$HOME/.cache/gpugo/libs/libcuda.so" 2>/dev/null
cp "$HOME/.cache/gpugo/libs/libcuda.so" "$HOME/.cache/gpugo/libs/libnvidia-ml.so" 2>/dev/null
check "launch" "libcuda.so:libnvidia-ml.so -v" "$("$ggo" launch -s code5 sh -c 'echo "$LD_PRELOAD $1"' sh -v 2>/dev/null)"
check "launch passes the status on" 7 "$(status_of "$ggo" launch -s code5 sh -c 'exit 7')"
check "launch of nothing" 127 "$(status_of "$ggo" launch -s code5 /nonexistent)"
check "withdraw" 0 "$(status_of "$ggo" share delete sh_6 -f)"
check_has "withdrawn" '"total":1' "$("$ggo" share list -o json | flat)"
check "delete a worker" 0 "$(status_of "$ggo" worker delete wk_4 --force)"

# ---- faults: each once, told in one line, nothing lost ----
before=$(cat "$place/config/config.json")
for fault in 401:401 403:403 404:404 500:500 418:418 empty:empty garbage:JSON shape:sense list:sense cut:reached huge:MiB; do
    kind=${fault%%:*} word=${fault##*:}
    steer fault "{\"path\": \"/agents/agent_3\", \"kind\": \"$kind\", \"count\": 3}"
    errors=$("$ggo" agent get agent_3 -o json 2>&1 >"$place/out.txt")
    check "fault $kind: nothing on stdout" "" "$(cat "$place/out.txt")"
    check_has "fault $kind" "$word" "$errors"
    check "fault $kind: one line" 1 "$(printf '%s\n' "$errors" | wc -l)"
    # What was not used up.
    for ((i = 0; i < 3; i++)); do "$ggo" agent get agent_3 >/dev/null 2>&1 && break; done
done
steer fault '{"path": "/agents/agent_3", "kind": "503", "count": 2}'
check "two 503 are got over" 0 "$(status_of "$ggo" agent get agent_3)"
steer fault '{"path": "/agents/agent_3", "kind": "slow", "count": 1}'
check "slow is waited for" 0 "$(status_of "$ggo" agent get agent_3)"
check "the registration is untouched" "$before" "$(cat "$place/config/config.json")"
check_has "nobody there" "cannot be reached" "$("$ggo" agent list --server http://127.0.0.1:1 2>&1)"
for url in ftp://x http://u:p@x "http://x/?q" nonsense:// ""; do
    check "server '$url'" 2 "$(status_of "$ggo" agent list --server "$url")"
done
check_has "unencrypted is told" "not encrypted" "$(timeout 20 "$ggo" agent list --server http://192.0.2.1:1 2>&1 & sleep 0.5; kill $! 2>/dev/null; wait 2>/dev/null)"

# ---- files of others ----
printf '{"agent_id": "agent_3", "AGENT_SECRET": "secret_3", "extra": {"kept": [1]}}' >"$place/config/config.json"
check_has "keys in any case" '"registered":true' "$("$ggo" agent status -o json 2>/dev/null | flat)"
for text in '{' '[]' '{"agent_id": 3}' '{"agent_id": "a b", "agent_secret": "x"}' '{"agent_id": "x", "agent_secret": ""}' ''; do
    printf '%s' "$text" >"$place/config/config.json"
    check "config.json '$text'" 1 "$(status_of "$ggo" agent status)"
    check "config.json '$text' stays" "$text" "$(cat "$place/config/config.json")"
done
GPU_GO_TOKEN=tmp_good "$ggo" agent register --force >/dev/null 2>&1
check_has "what could not be used is kept aside" "unreadable" "$(ls "$place/config")"
unset GPU_GO_TOKEN
printf '{"token": "user_good", "expires_at": "2001-01-01T00:00:00Z"}' >"$HOME/.gpugo/token.json"
mv "$place/config/config.json" "$place/config.json"
check_has "a token that is over" "good until" "$("$ggo" worker list 2>&1)"
printf '{"token": "user_good", "expires_at": "2999-01-01T00:00:00+01:00"}' >"$HOME/.gpugo/token.json"
check "a token from the file" 0 "$(status_of "$ggo" worker list)"
mv "$place/config.json" "$place/config/config.json"

# ---- GPUs that a library finds ----
if [ -e "$4/libaccelerator_nvidia.so" ] && [ -e "$4/simgpu/libnvidia-ml.so.1" ]; then
    find_gpus() { env -u GPU_GO_MOCK_GPUS GPU_GO_TOKEN=tmp_good DIVVY_SIM_DIR="$place/gpu" LD_LIBRARY_PATH="$4/simgpu" "$ggo" agent register --force --accelerator-lib "$4/$5" -o json; }
    check_has "a GPU of the driver's" "with1GPU" "$(find_gpus "$@" libaccelerator_nvidia.so 2>&1 | flat)"
    check "it has a UUID in lower case" yes "$(grep -qE '"gpu_id": "gpu-[0-9a-f-]{36}"' "$place/config/gpus.json" && echo yes)"
    check_has "its vendor is" '"vendor":"nvidia"' "$(flat <"$place/config/gpus.json")"
    check "a library that is none" 1 "$(find_gpus "$@" simgpu/none.so >/dev/null 2>&1; echo $?)"
    check_has "what was registered stays" '"vendor":"nvidia"' "$(flat <"$place/config/gpus.json")"
fi

# ---- away ----
steer fault '{"path": "/agents/agent_", "kind": "500", "count": 3}'
check "unregister fails with the platform" 1 "$(status_of "$ggo" agent unregister)"
check "and nothing is lost" yes "$([ -e "$place/config/config.json" ] && echo yes)"
check "unregister" 0 "$(status_of "$ggo" agent unregister)"
check "unregistered" no "$([ -e "$place/config/config.json" ] && echo yes || echo no)"
check "unregister again" 1 "$(status_of "$ggo" agent unregister)"
GPU_GO_TOKEN=tmp_good "$ggo" agent register >/dev/null 2>&1
check "forgotten by force, offline" 0 "$(status_of "$ggo" agent unregister --force --server http://127.0.0.1:1)"
done_or_failed
