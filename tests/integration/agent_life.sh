#!/usr/bin/env bash
# The whole life of an agent: agent_life.sh GGO PLATFORM WORKER. Register, receive workers, run, crash, restart, update, be offline, unregister.
set -u
# shellcheck source=tests/integration/agent_parts/lib.sh
. "$(dirname "$0")/agent_parts/lib.sh"
export GPU_GO_ENDPOINT=$server TCP_WORKER=''
log=$place/agent.log

agent_start() { # ARGUMENT...: in the background
    "$ggo" agent start --worker-binary "$worker" "$@" </dev/null >>"$log" 2>&1 &
    agent_pid=$!
    eventually "the agent runs" agent_is running
}

agent_end() { # SIGNAL
    kill "-$1" "$agent_pid" 2>/dev/null
    wait "$agent_pid" 2>/dev/null
    agent_pid=''
}

agent_is() { case $("$ggo" agent status -o json 2>/dev/null | flat) in *"\"state\":\"$1\""*) return 0 ;; esac; return 1; }

# Of a worker: its entry in config/workers.json, its status, its pid (0: none).
entry() { { flat <"$config"; } 2>/dev/null | grep -o "{\"worker_id\":\"$1\"[^{}]*}"; }
worker_is() { case $(entry "$1") in *"\"status\":\"$2\""*) return 0 ;; esac; return 1; }
pid_of() { entry "$1" | grep -o '"pid":[0-9]*' | grep -o '[0-9]*' || echo 0; }
port_of() { entry "$1" | grep -o '"listen_port":[0-9]*' | grep -o '[0-9]*'; }
alive() { kill -0 "$1" 2>/dev/null; }
# What the file says may be of before a kill: the pid is read anew each time.
runs_alive() { local pid; worker_is "$1" running && pid=$(pid_of "$1") && [ "$pid" -gt 1 ] && alive "$pid"; }
dead() { ! kill -0 "$1" 2>/dev/null; }
serves() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
silent() { ! serves "$1"; }
slay() { [ "$1" -gt 1 ] && kill -9 "$1" 2>/dev/null; } # never our own group
told_has() { case $(told) in *"$1"*) return 0 ;; esac; return 1; }
gone_entry() { [ -z "$(entry "$1")" ]; }
other_pid() { [ "$(pid_of "$1")" != "$2" ] && [ "$(pid_of "$1")" != 0 ]; }
count_is() { [ "$(grep -c "$1" "$log")" -ge "$2" ]; }
note() { for name in "$@"; do pid_of "$name" >>"$place/workers.pids"; done; }

wish() { # WORKER:STATUS:DEVICE...: state/workers.json, written as an editor writes it
    local text='' part filling=$filling
    for part in "$@"; do
        text="$text${text:+,}$(printf '{"WorkerUID": "%s", "AllocatedDevices": ["%s"], "Status": "%s", "Foreign": {"kept": 1}}' \
            "${part%%:*}" "${part##*:}" "$(cut -d: -f2 <<<"$part")")"
    done
    [ -n "$text" ] || filling=${filling%,}
    printf '[%s]\n' "$filling$text" >"$state.edited" && mv "$state.edited" "$state"
}

# Ports go by place in the file: workers that never run take the places of ports that somebody else has.
has_port() { # PORT: somebody here has it, and be it as the near end of a connection to elsewhere
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$(printf ':%04X' "$1")" 'substr($2, length($2) - 4) == port { taken = 1 } END { exit !taken }'
}
free() { # FIRST COUNT: nobody has any of them
    local port
    for ((port = $1; port < $1 + $2; port++)); do ! has_port "$port" || return 1; done
}
fillers=0
while ! free $((42352 + fillers)) 4; do fillers=$((fillers + 1)); done
first=$((42352 + fillers)) platform_port=$((first + 100))
while ! free "$platform_port" 11; do platform_port=$((platform_port + 1)); done
filling=''
for ((i = 0; i < fillers; i++)); do filling="$filling{\"WorkerUID\": \"filler$i\", \"Status\": \"Pending\"},"; done

# ---- the walk-through for machines without GPUs, as it is written ----
check "register" 0 "$(status_of "$ggo" agent register --token tmp_good)"
agent_start --single-node
eventually "online" told_has '"last_status"'
eventually "a channel" told_has '"channels":1'
check "a second agent is refused" 1 "$(status_of "$ggo" agent start --single-node)"
check_has "status tells the pid" "\"pid\":$agent_pid" "$("$ggo" agent status -o json | flat)"

# ---- workers by hand ----
wish one:Running:GPU-0 two:Running:gpu-1 three:Pending:GPU-0
eventually "one runs" worker_is one running
eventually "two runs" worker_is two running
note one two
check "ports by place" "$first $((first + 1))" "$(port_of one) $(port_of two)"
check "no one started three" 0 "$(pid_of three)"
eventually "one serves" serves "$first"
one=$(pid_of one) two=$(pid_of two)
check "its command" "$worker -p $first " "$(tr '\0' ' ' <"/proc/$one/cmdline")"
for variable in WORKER_ID=one NVIDIA_VISIBLE_DEVICES=GPU-0 CUDA_VISIBLE_DEVICES=GPU-0; do
    check_has "its environment" " $variable " " $(tr '\0' ' ' <"/proc/$one/environ")"
done
check_lacks "no secret reaches it" "secret_" "$(cat "/proc/$one/environ" "/proc/$one/cmdline" | tr '\0' ' ')"
check_has "its log" "worker one pid $one devices GPU-0" "$(cat "$place/state/logs/worker-one.log")"
eventually "the state file tells of it" grep -q "\"pid\": $one" "$state"
check_has "keys of others stay" '"Foreign":{"kept":1}' "$(flat <"$state")"
check_has "the wish stays" '"Status":"Running"' "$(flat <"$state")"
eventually "the GPU is used" grep -q '"used_by_worker": "one"' "$place/config/gpus.json"
eventually "the platform hears of it" told_has "\"worker_id\":\"one\",\"status\":\"running\""
eventually "and of the GPU" told_has '{"gpu_id":"GPU-0","used_by_worker":"one"}'

# Who is connected is told as soon as the worker notes it.
printf '10.1.2.3,5000,77\0\n' >"$place/state/connections/one.txt"
eventually "a connection is told" told_has '"connections":[{"client_ip":"10.1.2.3","client_port":5000,"client_pid":77,"connected_at":"20'

# Devices swapped, of equal number: both start anew, nothing else changes.
wish one:Running:GPU-1 two:Running:gpu-1 three:Pending:GPU-0
eventually "a swapped device is seen" other_pid one "$one"
note one
check "the other was left alone" "$two" "$(pid_of two)"
check "the port stays" "$first" "$(port_of one)"
one=$(pid_of one)

# The first one goes: the second keeps its port.
wish two:Running:gpu-1
eventually "a removed worker ends" dead "$one"
eventually "its entry goes" gone_entry one
check "the port of the other stays" "$((first + 1)) $two" "$(port_of two) $(pid_of two)"

# Who cannot run is told why.
wish two:Running:gpu-1 far:Running:GPU-9
eventually "an unknown GPU is refused" worker_is far error
check_has "with a reason" "GPU-9isnotoneofthismachine" "$(entry far)"
check_has "in status" "GPU-9 is not one" "$("$ggo" agent status)"

# What cannot be read changes nothing.
for text in '[{"WorkerUID": "two", "Allo' '{"a": 1}' '"x"' '[{"worker_id": "two", "gpu_ids": []}]'; do
    printf '%s' "$text" >"$state"
    sleep 0.3
    check "'$text' changes nothing" "$two" "$(pid_of two)"
    alive "$two" || check "'$text' ends nobody" alive dead
    check "'$text' is not overwritten" "$text" "$(cat "$state")"
done
check_has "it is told" "what was known before stays in force" "$(cat "$log")"

# ---- kill -9 of everybody ----
wish two:Running:gpu-1 one:Running:GPU-0
eventually "one is back" worker_is one running
note one
one=$(pid_of one)
agent_end KILL
check "workers outlive it" "yes yes" "$(alive "$one" && echo yes) $(alive "$two" && echo yes)"
check "status tells that it is gone" yes "$(agent_is stopped && echo yes)"
agent_start --single-node
eventually "both are taken over" worker_is one running
check "with the same pids" "$one $two" "$(pid_of one) $(pid_of two)"
sleep 0.3
check "and stay" "yes yes" "$(alive "$one" && echo yes) $(alive "$two" && echo yes)"

agent_end KILL
wish two:Pending:gpu-1 new:Running:GPU-1
agent_start --single-node
eventually "what was wished meanwhile ends" dead "$two"
eventually "what nobody names any more ends" dead "$one"
eventually "what is new runs" worker_is new running
note new
new=$(pid_of new)
agent_end KILL
slay "$new"
agent_start --single-node
eventually "one that died meanwhile runs again" other_pid new "$new"
note new
new=$(pid_of new)
slay "$new"
eventually "one that is killed is told of" worker_is new error
eventually "and runs again" other_pid new "$new"
note new

count_of() { grep -slz "^WORKER_ID=$1\$" /proc/[0-9]*/environ | wc -l; }
runs_as_often() { [ "$(count_of "$1")" = "$2" ]; }

# At every step of a worker's life: the agent is killed at an arbitrary moment, and the next one makes the file come true.
for ((round = 0; round < 12; round++)); do
    if ((round % 2)); then wish new:Running:GPU-1 step:Running:GPU-0; else wish new:Running:GPU-1 step:Pending:GPU-0; fi
    sleep "0.0$((RANDOM % 90 + 10))"
    agent_end KILL
    [ $((RANDOM % 3)) = 0 ] && slay "$(pid_of step)"
    agent_start --single-node
    note step
    if ((round % 2)); then
        eventually "round $round: it runs and is alive" runs_alive step
    else
        eventually "round $round: it does not run" worker_is step stopped
    fi
    note step
    check "round $round: never two" yes "$([ "$(count_of step)" -le 1 ] && echo yes)"
    eventually "round $round: as many as the file wants" runs_as_often step "$((round % 2))"
done

# SIGTERM leaves the workers to the next agent, SIGINT ends them.
new=$(pid_of new)
agent_end TERM
check "the platform heard the farewell" yes "$(told_has '"event":"shutdown"' && echo yes)"
check "SIGTERM leaves workers" yes "$(alive "$new" && echo yes)"
agent_start --single-node
eventually "taken over" worker_is new running
check "the same again" "$new" "$(pid_of new)"
agent_end INT
eventually "SIGINT ends workers" dead "$new"

# ---- workers of the platform ----
wish
agent_start --single-node
eventually "the channel is open again" told_has '"channels":1'
steer workers '{"agent_id": "agent_1", "workers": [{"worker_id": "wk_1", "gpu_ids": ["GPU-0"], "listen_port": '$((platform_port + 0))', "enabled": true, "vram_mb": 8192, "compute_percent": 50, "isolation_mode": "hard", "share_codes": ["abc", "def"]}]}'
eventually "a pushed worker runs" worker_is wk_1 running
note wk_1
eventually "on its port" serves "$platform_port"
check_has "it is in the state file" '"WorkerUID":"wk_1","AllocatedDevices":["GPU-0"],"Status":"Running"' "$(flat <"$state")"
wk=$(pid_of wk_1)
check_has "hard limits" "TF_CUDA_SM_PERCENT_LIMIT=50 " "$(tr '\0' ' ' <"/proc/$wk/environ")"
check_has "hard limits of memory" "TF_GPU_MEMORY_LIMIT=8192 " "$(tr '\0' ' ' <"/proc/$wk/environ")"
check "share codes" "600 abc def" "$(stat -c %a "$place/config/wk_1_share_codes") $(tr '\n' ' ' <"$place/config/wk_1_share_codes" | sed 's/ $//')"
eventually "the version is kept" grep -q '"config_version": 2' "$place/config/config.json"

# Changed here by hand: it stays so until the platform changes the same worker.
sed -i 's/"Status": "Running"/"Status": "Pending"/' "$state"
eventually "a change by hand counts" dead "$wk"
steer workers '{"agent_id": "agent_1", "workers": [{"worker_id": "wk_1", "gpu_ids": ["GPU-0"], "listen_port": '$((platform_port + 0))', "enabled": true, "vram_mb": 8192, "compute_percent": 50, "isolation_mode": "hard"}, {"worker_id": "wk_2", "gpu_ids": ["gpu-1"], "listen_port": 0, "enabled": true}, {"worker_id": "wk_3", "gpu_ids": ["gpu-0"], "listen_port": '$((platform_port + 1))', "enabled": true, "vram_mb": 20000}]}'
eventually "another pushed worker runs" worker_is wk_2 running
note wk_2
check "the change by hand stays" yes "$(worker_is wk_1 stopped && echo yes)"
eventually "twenty fit without the eight" worker_is wk_3 running
note wk_3
steer workers '{"agent_id": "agent_1", "workers": [{"worker_id": "wk_1", "gpu_ids": ["GPU-0"], "listen_port": '$((platform_port + 2))', "enabled": true, "vram_mb": 8192, "compute_percent": 50}, {"worker_id": "wk_2", "gpu_ids": ["gpu-1"], "enabled": true}, {"worker_id": "wk_3", "gpu_ids": ["gpu-0"], "listen_port": '$((platform_port + 1))', "enabled": true, "vram_mb": 20000}]}'
eventually "over-commitment is refused" worker_is wk_1 error
check_has "with the numbers" "has24576MiB,ofwhich20000arepromised;8192donotfit" "$(entry wk_1)"
check "who runs, runs on" yes "$(worker_is wk_3 running && echo yes)"

# Bad messages do not end the channel; a channel that is lost is replaced by asking.
steer push '{"text": "no JSON"}'
steer push '{"text": "{\"config_version\": \"x\"}"}'
eventually "bad messages are told" grep -q "push channel sent what makes no sense" "$log"
steer fault '{"path": "/status", "kind": "500", "count": 2}'
steer fault '{"path": "/config", "kind": "garbage", "count": 1}'
steer workers '{"agent_id": "agent_1", "workers": [{"worker_id": "wk_2", "gpu_ids": ["gpu-1"], "enabled": false}, {"worker_id": "wk_3", "gpu_ids": ["gpu-0"], "listen_port": '$((platform_port + 1))', "enabled": true, "vram_mb": 20000}]}'
eventually "it is pushed all the same, over faults" worker_is wk_2 stopped
eventually "a worker that the platform removed goes" gone_entry wk_1
check_lacks "also from the state file" wk_1 "$(cat "$state")"
check "its share codes went with it" no "$([ -e "$place/config/wk_1_share_codes" ] && echo yes || echo no)"
steer channel '{"enabled": false}'
eventually "no channel any more" told_has '"channels":0'
wk=$(pid_of wk_3)
seen=$(told | grep -o '"channels_seen":[0-9]*')
steer channel '{"enabled": true}'
steer workers '{"agent_id": "agent_1", "silent": true, "workers": [{"worker_id": "wk_2", "gpu_ids": ["gpu-1"], "enabled": true}]}'
eventually "what was not pushed comes with the next channel" worker_is wk_2 running
note wk_2
eventually "what the platform removed ends" dead "$wk"
check_lacks "it was a new channel" "$seen," "$(told)"

# ---- offline ----
agent_end TERM
kill "$platform_pid"
wait "$platform_pid" 2>/dev/null
wk=$(pid_of wk_2)
agent_start --single-node
eventually "offline, the files decide" worker_is wk_2 running
check "and nothing is restarted" "$wk" "$(pid_of wk_2)"
wish wk_2:Running:gpu-1 local:Running:GPU-0
eventually "changes by hand count, too" worker_is local running
note local
check_has "status works" '"registered":true' "$("$ggo" agent status -o json | flat)"
eventually "it is told" grep -q "cannot be reached" "$log"
local=$(pid_of local)
agent_end INT
eventually "all ended" dead "$local"
eventually "also who was taken over" dead "$wk"

# ---- by the platform's word alone ----
rm -f "$place/port"
"$platform" "$place/port" 2>>"$place/platform.log" &
platform_pid=$!
eventually "the platform is back" test -s "$place/port"
server=http://127.0.0.1:$(cat "$place/port")
export GPU_GO_ENDPOINT=$server
check_has "a registration that the platform forgot is replaced" "agent_1" "$(GPU_GO_TOKEN=tmp_good "$ggo" agent register 2>/dev/null)"
rm -f "$state" "$config"
agent_start
steer workers '{"agent_id": "agent_1", "workers": [{"worker_id": "wk_7", "gpu_ids": ["GPU-0"], "listen_port": '$((platform_port + 10))', "enabled": true}]}'
eventually "it runs" worker_is wk_7 running
note wk_7
wk=$(pid_of wk_7)
check "its command" "$worker -p $((platform_port + 10)) -n native " "$(tr '\0' ' ' <"/proc/$wk/cmdline")"
sed -i 's/"Status": "Running"/"Status": "Pending"/' "$state"
sleep 0.3
check "the state file is a report here" yes "$(alive "$wk" && echo yes)"
check "unregister waits for the agent's end" 1 "$(status_of "$ggo" agent unregister)"
agent_end INT
check "unregister" 0 "$(status_of "$ggo" agent unregister)"
check_lacks "the platform forgot it" '"agent_id":"agent_1"' "$(told)"
check_lacks "no secret in the log" "secret_" "$(cat "$log")"
check_lacks "no token in the log" "tmp_good" "$(cat "$log")"
done_or_failed
