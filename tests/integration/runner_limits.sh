#!/usr/bin/env bash
# Limits, restarts, latencies and metrics of divvy-runner: runner_limits.sh RUNNER PROGRAM SANITIZERS
. "$(dirname "$0")/runner_parts/lib.sh"
command -v curl >/dev/null || { echo "curl is not here"; exit 77; }

GiB=$((1 << 30))
export HC_MIG_PROFILE=1g.10gb

# address NAME: of the runner's metrics; scrape NAME: what it serves.
address() { sed -nE 's|.*metrics: (http://[^ ]+)/metrics.*|\1|p' "$place/$1.log"; }
scrape() { curl -fsS --max-time 5 "$(address "$1")/metrics"; }
value() { # NAME SERIES: its value, whatever the labels
    scrape "$1" | sed -nE "s/^$2\{[^}]*\} (.*)/\1/p"
}
is() { [ "$(value "$1" "$2")" = "$3" ]; } # NAME SERIES VALUE

# ---- device memory ----

if [ -z "$sanitized" ]; then
    export HYPERCORE_VRAM_LIMIT_BYTES=$((2 * GiB))
    start vram --metrics 0 --target "$program" -- alloc $GiB alloc $((2 * GiB)) alloc $((GiB / 2)) wait 60000
    soon grep -q "alloc $((GiB / 2))" "$place/vram.out"
    check "beyond the limit: out of memory; smaller: fine" "alloc $GiB: 0 alloc $((2 * GiB)): 2 alloc $((GiB / 2)): 0" \
        "$(tr '\n' ' ' <"$place/vram.out" | sed 's/ $//')"
    soon grep -q 'quota exceeded' "$place/vram.log"
    check_match "a line says so" "quota exceeded: $((2 * GiB)) bytes wanted, $((GiB / 2)) left of $((2 * GiB)); 1 alloc" "$(cat "$place/vram.log")"
    check "once" 1 "$(grep -c 'quota exceeded' "$place/vram.log")"
    check "counted" 1 "$(value vram hypercore_gpu_quota_exceeded_total)"
    check_match "with its slice" '^hypercore_gpu_quota_exceeded_total\{instance="vram",mig_uuid="MIG-[0-9a-f-]{36}"\} 1$' "$(scrape vram)"
    check "1.5 of 2 GiB are used" 75.0000 "$(value vram hypercore_gpu_vram_utilization_percent)"
    kill "$pid"
    end_of "$pid"
    # One that ends at once after it was refused is counted too.
    run --target "$program" -- alloc $((3 * GiB))
    check_has "told at the end" "quota exceeded: $((3 * GiB)) bytes wanted" "$log"

    # More than the slice has is all of it: what Hypercore's own example asks of a slice that is smaller than its name.
    HYPERCORE_VRAM_LIMIT_BYTES=10737418240 run --target "$program" -- alloc $((9 * GiB)) alloc $GiB
    check "10 GiB of a 1g.10gb" "alloc $((9 * GiB)): 0 alloc $GiB: 2" "$(printf '%s' "$out" | tr '\n' ' ')"
    unset HYPERCORE_VRAM_LIMIT_BYTES
    start whole --metrics 0 --target "$program" -- alloc $((5 * 9984 * 1024 * 1024 / 10)) wait 60000
    soon grep -q alloc "$place/whole.out"
    check "without a limit it is the slice's size" 50.0000 "$(value whole hypercore_gpu_vram_utilization_percent)"
    kill "$pid"
    end_of "$pid"

    HYPERCORE_PREFETCH=1 run --target printenv --args HYPERCORE_PREFETCH
    check "prefetch reaches the program" 1 "$out"
    for on in 0 1; do
        DIVVY_SIM_FAULTS='slow:cuMemPrefetchAsync=400ms' HYPERCORE_PREFETCH=$on run --target "$program" -- managed 1048576
        check_match "managed memory, prefetch $on" "managed 1048576: 0 $([ $on = 1 ] && echo '[4-9][0-9]{2}' || echo '[0-9]{1,2}')" "$out"
    done
    HYPERCORE_VRAM_LIMIT_BYTES=$GiB HYPERCORE_DISABLE_SHIM=1 run --target "$program" -- alloc $((2 * GiB))
    check "without the limiter nothing is limited" "alloc $((2 * GiB)): 0" "$out"
    check_has "which is said" HYPERCORE_DISABLE_SHIM "$log"
fi

# ---- host memory ----

export HYPERCORE_CPU_MEM_MB=512
run --target "$program" -- meminfo MemTotal host $((100 << 20)) wait 1200 meminfo MemAvailable
if printf '%s' "$log" | grep -q 'no mount namespace'; then
    check_has "a view that cannot be had is said" "/proc/meminfo shows the whole machine" "$log"
else
    check "the program's memory" "MemTotal 524288" "$(printf '%s\n' "$out" | head -n 1)"
    left=$(printf '%s\n' "$out" | sed -n 's/MemAvailable //p')
    check "what it uses is not available" yes "$([ "${left:-0}" -gt 300000 ] && [ "$left" -lt 424288 ] && echo yes || echo "$left")"
fi
if [ -z "$sanitized" ]; then
    run --target "$program" -- host $((700 << 20))
    # By a control group it is killed, else malloc fails.
    check "beyond it" yes "$([ "$status" = 137 ] || [ "$out" = "host $((700 << 20)): none" ] && echo yes || echo "$status $out")"
fi
HYPERCORE_DISABLE_FUSE=1 run --target "$program" -- meminfo MemTotal
check "the machine's view" "MemTotal $(sed -nE 's/MemTotal: +([0-9]+).*/\1/p' /proc/meminfo)" "$out"
start memory --metrics 0 --target "$program" -- host $((128 << 20)) wait 60000
soon grep -q host "$place/memory.out"
quarter() {
    percent=$(value memory hypercore_gpu_cpu_mem_utilization_percent)
    [ "${percent%.*}" -ge 25 ] && [ "${percent%.*}" -lt 40 ]
}
check "a good quarter of it is used" yes "$(soon quarter && echo yes || value memory hypercore_gpu_cpu_mem_utilization_percent)"
kill "$pid"
end_of "$pid"
unset HYPERCORE_CPU_MEM_MB

# ---- restarts ----

cat >"$place/model.json" <<EOF
{"name": "crashing", "engine": "$program", "model_path": "wait", "model_args": ["200", "exit", "5"],
 "vram_limit": "1GiB", "cpu_mem_limit": "4gb", "port": 9999, "batch_max": 4, "weights": "/weights"}
EOF
start restarts --metrics 0 --model "$place/model.json" --restart-limit 2
soon is restarts hypercore_model_restarts_total 1
check "one restart, one more" 1 "$(value restarts hypercore_model_restarts_total)"
check_match "the model's name" 'hypercore_runner_info\{.*model_id="crashing"\} 1' "$(scrape restarts)"
end_of "$pid"
check "after the last start the program's status" 5 "$status"
check_match "it was said each time" 'ended with status 5; it is started again in (19|20)[0-9]{2} ms' "$(cat "$place/restarts.log")"
start on-failure --metrics 0 --restart on-failure --target "$program" -- exit 0
end_of "$pid"
check "no restart after success" 0 "$status"
start stopped --metrics 0 --restart always --target "$program" -- wait 60000
soon is stopped hypercore_gpu_model_count 1
kill "$pid"
end_of "$pid"
check "a stop is no failure" 143 "$status"
sed 's/"wait"/"no"/; s/"200", "exit", "5"//; s|"'"$program"'"|"printenv"|; s/"no"/"HYPERCORE_MODEL_PORT"/' "$place/model.json" >"$place/env.json"
run --model "$place/env.json" --restart never
check "the model is told its port" 9999 "$out"
HYPERCORE_VRAM_LIMIT_BYTES=5 run --model "$place/model.json"
check "two limits that contradict" 2 "$status"
check_has "both are named" vram_limit "$log"

# ---- latencies, and the form of it all ----

start told --metrics 0 --target "$program" -- tell 'latency 0.07' tell 'latency 0.3
latency 20
error
nonsense' wait 60000
soon is told hypercore_infer_latency_seconds_count 3
text=$(scrape told)
check_match "below 0.1 s" '^hypercore_infer_latency_seconds_bucket\{instance="told",le="0.1"\} 1$' "$text"
check_match "all" '^hypercore_infer_latency_seconds_bucket\{instance="told",le="\+Inf"\} 3$' "$text"
check_match "errors" '^hypercore_gpu_model_errors_total\{instance="told"\} 1$' "$text"
check_match "lines that are none" '^hypercore_runner_observations_refused_total\{instance="told"\} 1$' "$text"
for series in hypercore_gpu_quota_exceeded_total hypercore_infer_latency_seconds_bucket hypercore_model_restarts_total \
    hypercore_gpu_vram_utilization_percent hypercore_gpu_cpu_mem_utilization_percent; do
    [ -n "$sanitized" ] && [ $series = hypercore_gpu_vram_utilization_percent ] && continue
    check_match "the series $series" "^$series\{instance=\"told\"" "$text"
done
if command -v promtool >/dev/null; then
    # Of a name that is Hypercore's, and so stays, it thinks that histograms alone should be called that.
    check "promtool finds no other fault" '' "$(printf '%s\n' "$text" | promtool check metrics 2>&1 | grep -v '^hypercore_gpu_model_count non-histogram')"
fi
check "health" running "$(curl -fsS "$(address told)/healthz")"
kill "$pid"
end_of "$pid"

# ---- several on one machine, and an address that is taken ----

start first --target "$program" -- wait 60000
one=$pid
start second --target "$program" -- wait 60000
two=$pid
soon scrape first
soon scrape second
check "two addresses" 2 "$(printf '%s\n' "$(address first)" "$(address second)" | sort -u | grep -c 'http://127.0.0.1:80')"
port=$(address first)
status=0
"$runner" --metrics "${port##*:}" --target true 2>"$place/log" || status=$?
check "an address that was asked for and is taken" 1 "$status"
check_has "is named" "${port##*:}" "$(cat "$place/log")"
kill "$one" "$two"
end_of "$one"
end_of "$two"

# ---- the proxy, before a server that knows nothing of it ----

if command -v python3 >/dev/null; then
    mkdir "$place/www"
    echo hello >"$place/www/file"
    model_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    start proxied --metrics 0 --proxy 0 --model-port "$model_port" --target python3 -- -m http.server --bind 127.0.0.1 --directory "$place/www" "$model_port"
    soon curl -fs "http://127.0.0.1:$model_port/file"
    proxy=$(sed -nE 's|.*proxy: ([0-9.:]+) to.*|\1|p' "$place/proxied.log")
    check "through the proxy" hello "$(curl -fsS "http://$proxy/file")"
    check "a status passes" 404 "$(curl -s -o "$place/body" -w '%{http_code}' "http://$proxy/nothing")"
    check "both are counted" 2 "$(value proxied hypercore_infer_latency_seconds_count)"
    check "as requests" 2 "$(value proxied hypercore_gpu_model_requests_total)"
    kill "$pid"
    end_of "$pid"
    check "the port is free again" 000 "$(curl -s -o "$place/body" -w '%{http_code}' "http://$proxy/file")"
fi

finish
