#!/usr/bin/env bash
# The limiter on the simulated GPU: limiter.sh BUILD-FOLDER CASE
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
build=$1
case_name=$2
tests=$build/tests
limiter=$build/lib/libcuda_limiter.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DIVVY_SIM_DIR=$work/sim LD_LIBRARY_PATH=$build/lib/simgpu LC_ALL=C
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0:verify_asan_link_order=0
unset LD_PRELOAD CUDA_VISIBLE_DEVICES DIVVY_TENANT DIVVY_TENANT_DIR DIVVY_FAIL_POLICY DIVVY_LOG \
    TENSOR_FUSION_CUDA_MEM_LIMIT TENSOR_FUSION_CUDA_UP_LIMIT
[ -f "$limiter" ] && [ -f "$build/lib/simgpu/libcuda.so.1" ] || exit 77

limited() { # MEM-LIMIT COMMAND...
    local limit=$1
    shift
    TENSOR_FUSION_CUDA_MEM_LIMIT=$limit LD_PRELOAD=$limiter "$@"
}

# Bytes in use on the device itself, past the limiter.
device_used() {
    "$tests/limiter_probe" nvml | sed -n 's/.*nvml-used //p' | head -1
}

uuid_of() { # INDEX
    "$tests/limiter_probe" uuids | sed -n "$(($1 + 1))p"
}

# One line on stderr that has all parts; cuInit refused.
check_refused() { # NAME VALUE PART...
    local name=$1 value=$2 out err
    shift 2
    out=$(env "$name=$value" LD_PRELOAD="$limiter" "$tests/limiter_probe" 2>"$work/err")
    err=$(cat "$work/err")
    check "$name=$value: cuInit" "init 800" "$out"
    check "$name=$value: lines on stderr" 1 "$(wc -l <"$work/err")"
    for part in "$name" "$@"; do
        check_has "$name=$value" "$part" "$err"
    done
    out=$(env "$name=$value" DIVVY_FAIL_POLICY=open LD_PRELOAD="$limiter" "$tests/limiter_probe" 2>/dev/null | head -1)
    check "$name=$value: policy open" "init 0" "$out"
    # Programs without CUDA see nothing of it.
    out=$(env "$name=$value" LD_PRELOAD="$limiter" /bin/echo hello 2>&1)
    check "$name=$value: echo" hello "$out"
}

case_bad_input() {
    local mem=TENSOR_FUSION_CUDA_MEM_LIMIT up=TENSOR_FUSION_CUDA_UP_LIMIT
    check_refused $mem '{' 'byte 1'
    check_refused $mem 'nonsense' 'byte 0'
    check_refused $mem '{"0": -5}' 'byte 6'
    check_refused $mem '{"0": 1.5}' 'byte'
    check_refused $mem '{"0": "8GiB"}' 'byte 6'
    check_refused $mem '{"0": 99999999999999999999999}' 'byte 6'
    check_refused $mem '{"0": 1, "0": 2}' 'byte 10'
    check_refused $mem '{"0": 1} x' 'byte'
    check_refused $mem '{"7": 1024}' 'byte 2' 'no device 7'
    check_refused $mem '{"GPU-00000000-0000-0000-0000-00000000dead": 1024}' 'byte 2' 'nvidia-smi -L'
    check_refused $mem '{"0": 1152921504606846976}' 'byte 6' 'is more than the'
    check_refused $up '{"0": }' 'byte 6'
    check_refused $up '{"0": -1}' 'byte 6'
    check_refused $up '{"gpu-zz": 5}' 'byte 6'

    # The tenant's folder: not there, or with something else in the page's place, which stays untouched.
    local out
    for folder in /nowhere "$work/foreign"; do
        mkdir -p "$work/foreign"
        head -c 100000 /dev/urandom >"$work/foreign/usage"
        out=$(DIVVY_TENANT_DIR=$folder limited '{"0": 1073741824}' "$tests/limiter_probe" 2>"$work/err")
        check "DIVVY_TENANT_DIR=$folder" "init 800" "$out"
        check_has "DIVVY_TENANT_DIR=$folder" "DIVVY_TENANT_DIR" "$(cat "$work/err")"
        check "DIVVY_TENANT_DIR=$folder: lines" 1 "$(wc -l <"$work/err")"
        check_has "DIVVY_TENANT_DIR=$folder: what follows" "; CUDA is refused" "$(cat "$work/err")"
        out=$(DIVVY_FAIL_POLICY=open DIVVY_TENANT_DIR=$folder limited '{"0": 1073741824}' "$tests/limiter_probe" 2>"$work/err")
        check_has "DIVVY_TENANT_DIR=$folder, open" "init 0" "$out"
        check_has "DIVVY_TENANT_DIR=$folder, open: what follows" "; running without limits" "$(cat "$work/err")"
        check "the foreign file" 100000 "$(stat -c %s "$work/foreign/usage")"
    done
}

probe_line() { # DEVICE
    grep "^device $1 " | sed 's/^device [0-9]* //'
}

case_limits() {
    local gib=1073741824 physical
    physical=$("$tests/limiter_probe" | sed -n 's/.* total \([0-9]*\) used.*/\1/p' | head -1)
    check "by index" "total $gib used 0 nvml-total $gib nvml-used 0" "$(limited "{\"0\": $gib}" "$tests/limiter_probe" | probe_line 0)"
    check "by UUID" "total $gib used 0 nvml-total $gib nvml-used 0" \
        "$(limited "{\"$(uuid_of 0)\": $gib}" "$tests/limiter_probe" | probe_line 0)"
    check "by UUID in capitals" "total $gib used 0 nvml-total $gib nvml-used 0" \
        "$(limited "{\"$(uuid_of 0 | tr '[:lower:]' '[:upper:]')\": $gib}" "$tests/limiter_probe" | probe_line 0)"
    check "both: the stricter" "total $gib used 0 nvml-total $gib nvml-used 0" \
        "$(limited "{\"0\": $((gib * 2)), \"$(uuid_of 0)\": $gib}" "$tests/limiter_probe" | probe_line 0)"
    check "NVML first" "total $gib used 0 nvml-total $gib nvml-used 0" \
        "$(limited "{\"0\": $gib}" "$tests/limiter_probe" nvml-first | probe_line 0)"
    check "NVML only" "nvml-total $gib nvml-used 0" "$(limited "{\"0\": $gib}" "$tests/limiter_probe" nvml | probe_line 0)"
    for switch in DISABLE_GPU_LIMITER=1 DISABLE_GPU_LIMITER=true TF_ENABLE_DISPATCH_FORWARD=1; do
        check_has "$switch" "total $physical" "$(env $switch LD_PRELOAD="$limiter" \
            TENSOR_FUSION_CUDA_MEM_LIMIT="{\"0\": $gib}" "$tests/limiter_probe" | probe_line 0)"
    done
    check_has "0 is no limit" "total $physical" "$(limited '{"0": 0}' "$tests/limiter_probe" | probe_line 0)"
    check_has "no limit at all" "total $physical" "$(LD_PRELOAD=$limiter "$tests/limiter_probe" | probe_line 0)"
    check_has "only a compute limit" "total $physical" \
        "$(TENSOR_FUSION_CUDA_UP_LIMIT='{"0": 50}' LD_PRELOAD=$limiter "$tests/limiter_probe" | probe_line 0)"
    check_has "idle limits are skipped" "total $physical" "$(TF_SKIP_HOOKS_IF_NO_LIMIT=true limited "{\"0\": $physical}" \
        "$tests/limiter_probe" | probe_line 0)"
    check_has "CUDA hooks off" "total $physical" "$(ENABLE_CUDA_HOOKS=false limited "{\"0\": $gib}" \
        "$tests/limiter_probe" | probe_line 0)"
    check_has "CUDA hooks off, NVML on" "nvml-total $gib" "$(ENABLE_CUDA_HOOKS=false limited "{\"0\": $gib}" \
        "$tests/limiter_probe" nvml | probe_line 0)"
    check_has "NVML hooks off" "nvml-total $physical" "$(ENABLE_NVML_HOOKS=false limited "{\"0\": $gib}" \
        "$tests/limiter_probe" | probe_line 0)"
    check "overhead is charged if asked" "$(("$("$tests/limiter_processes" context)"))" \
        "$(DIVVY_OVERHEAD=charge limited "{\"0\": $gib}" "$tests/limiter_probe" | sed -n 's/.* used \([0-9]*\) nvml.*/\1/p')"
    check "memory off" "init 0" "$(TF_DISABLE_MEMORY_MANAGER=1 limited "{\"0\": $gib}" "$tests/limiter_probe" | head -1)"
}

# Two devices: a limit on the second one holds under every numbering.
case_two_devices() {
    local gib=1073741824 physical first second
    export DIVVY_SIM_DEVICES=2
    physical=$("$tests/limiter_probe" | sed -n 's/.* total \([0-9]*\) used.*/\1/p' | head -1)
    first=$(uuid_of 0) second=$(uuid_of 1)
    check_has "device 0 is free" "total $physical" "$(limited "{\"1\": $gib}" "$tests/limiter_probe" | probe_line 0)"
    check "device 1 is limited" "total $gib used 0 nvml-total $gib nvml-used 0" \
        "$(limited "{\"1\": $gib}" "$tests/limiter_probe" | probe_line 1)"
    for visible in 1 "$second" "1,0" "$second,$first"; do
        check "CUDA_VISIBLE_DEVICES=$visible" "total $gib used 0 nvml-total $gib nvml-used 0" \
            "$(CUDA_VISIBLE_DEVICES=$visible limited "{\"1\": $gib}" "$tests/limiter_probe" | probe_line 0)"
        check "CUDA_VISIBLE_DEVICES=$visible, NVML first" "total $gib used 0 nvml-total $gib nvml-used 0" \
            "$(CUDA_VISIBLE_DEVICES=$visible limited "{\"1\": $gib}" "$tests/limiter_probe" nvml-first | probe_line 0)"
    done
    check_has "the hidden one is limited" "total $physical" \
        "$(CUDA_VISIBLE_DEVICES=0 limited "{\"$second\": $gib}" "$tests/limiter_probe" | probe_line 0)"
    check "an index too many beside a good one" "init 0" \
        "$(limited "{\"1\": $gib, \"5\": $gib}" "$tests/limiter_probe" 2>&1 | head -1)"
}

case_families() {
    limited '{"0": 7516196865}' "$tests/limiter_families" || failures=$((failures + 1))
    limited '{"0": 1073741824}' "$tests/limiter_families" >/dev/null || failures=$((failures + 1))
}

case_routes() {
    limited '{"0": 1073741824}' "$tests/limiter_routes" || failures=$((failures + 1))
    limited '{"0": 1073741824}' "$tests/limiter_routes_linked" linked || failures=$((failures + 1))
    limited '{"0": 1073741824}' "$tests/limiter_linked" 1073741824 || failures=$((failures + 1))
    for plugin in lazy now; do
        for flags in now lazy now,global lazy,global now,deep lazy,deep; do
            limited '{"0": 1073741824}' "$tests/limiter_linked_loader" 1073741824 \
                "$tests/liblimiter_plugin_$plugin.so" $flags || {
                echo "FAILED: plugin $plugin, $flags"
                failures=$((failures + 1))
            }
        done
    done
}

# limiter.h, as a program uses it that hooks the driver itself.
case_abi() {
    local name share=TENSOR_FUSION_CUDA_UP_LIMIT
    for name in memory freeze fork; do
        limited '{"0": 4294967296}' timeout 60 "$tests/limiter_abi" $name || {
            echo "FAILED: abi $name"
            failures=$((failures + 1))
        }
    done
    env $share='{"0": 20}' LD_PRELOAD="$limiter" timeout 60 "$tests/limiter_abi" compute || failures=$((failures + 1))
    LD_PRELOAD=$limiter timeout 60 "$tests/limiter_abi" free || failures=$((failures + 1))
    mkdir "$work/pods"
    LD_PRELOAD=$limiter timeout 60 "$tests/limiter_abi" host "$work/pods" || failures=$((failures + 1))
    checks=$((checks + 6))
}

case_processes() {
    for name in fork vfork threads contexts pools live errno; do
        limited '{"0": 4294967296}' timeout 100 "$tests/limiter_processes" "$name" || {
            echo "FAILED: processes $name"
            failures=$((failures + 1))
        }
    done
    DIVVY_OVERHEAD=charge limited '{"0": 4294967296}' "$tests/limiter_processes" overhead || failures=$((failures + 1))
    check "exec into a program with CUDA" "used 0" "$(limited '{"0": 4294967296}' "$tests/limiter_processes" exec)"
    # One tenant: a program that starts others. The child sees what its sibling holds, and gets the rest.
    check "siblings share" "$(printf 'held 0\nheld 2\nused 3221225472')" "$(limited '{"0": 4294967296}' bash -c "
        mkfifo $work/a
        (sleep 30 >$work/a & echo \$! >$work/sleeper)
        $tests/limiter_processes hold 3221225472 <$work/a >$work/first &
        for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -s $work/first ] && break; sleep 0.1; done
        cat $work/first
        $tests/limiter_processes hold 2147483648 </dev/null
        $tests/limiter_processes check
        kill \$(cat $work/sleeper); wait")"
    # exec into a program that never uses CUDA: the bytes come back although the process lives on.
    check "exec into another program" "used 0" "$(limited '{"0": 4294967296}' bash -c "
        $tests/limiter_processes exec-other 2 &
        sleep 0.7
        $tests/limiter_processes check
        wait")"
}

# SIGKILL at random moments: nothing is left in the ledger or on the device, and nobody else is disturbed.
case_kill() {
    local kills=${DIVVY_TEST_KILLS:-150} baseline
    baseline=$(device_used)
    # shellcheck disable=SC2016  # the inner shell expands
    limited '{"0": 8589934592}' bash -c '
        kills=$0 tests=$1 work=$2
        $tests/limiter_processes worker 1000 & undisturbed=$!
        for i in 1 2 3 4; do $tests/limiter_processes worker 1000 2>/dev/null & workers[i]=$!; done
        for ((n = 0; n < kills; n++)); do
            i=$((1 + RANDOM % 4))
            sleep 0.0$((RANDOM % 6))
            kill -9 ${workers[i]}
            wait ${workers[i]} 2>/dev/null
            $tests/limiter_processes worker 1000 2>>$work/worker-errors & workers[i]=$!
        done
        kill -0 $undisturbed && echo undisturbed
        kill -9 $undisturbed ${workers[@]}
        wait 2>/dev/null
        $tests/limiter_processes check
    ' "$kills" "$tests" "$work" >"$work/out" 2>/dev/null
    check "after $kills kills" "$(printf 'undisturbed\nused 0')" "$(cat "$work/out")"
    check "workers' complaints" "" "$(cat "$work/worker-errors" 2>/dev/null)"
    check "bytes left on the device" "$baseline" "$(device_used)"
}

# Eight processes at once: the device itself never holds more than the limit and the contexts.
case_storm() {
    local limit=4294967296 highest=0 context
    context=$("$tests/limiter_processes" context)
    limited "{\"0\": $limit}" bash -c 'for i in 1 2 3 4 5 6 7 8; do '"$tests"'/limiter_processes worker 5 & done; wait' &
    local storm=$!
    highest=$("$tests/limiter_probe" watch 5)
    wait $storm
    check "the storm's end" 0 $?
    check "more than a little was held" yes "$([ "$highest" -gt $((limit / 2)) ] && echo yes)"
    check "highest seen on the device" "" "$([ "$highest" -le $((limit + 8 * context)) ] ||
        echo "$highest, more than $limit and 8 contexts of $context")"
}

# A tenant with one process, and a stranger beside it: NVML, and nvtop, show the tenant's own.
case_views() {
    local gib=1073741824 own stranger shown tenant=$work/tenant
    mkdir "$tenant"
    mkfifo "$work/hold"
    sleep 60 >"$work/hold" &
    local sleeper=$!
    "$tests/limiter_processes" hold $((5 * gib)) <"$work/hold" >"$work/stranger" &
    stranger=$!
    env DIVVY_TENANT_DIR="$tenant" TENSOR_FUSION_CUDA_MEM_LIMIT="{\"0\": $((7 * gib))}" LD_PRELOAD="$limiter" \
        "$tests/limiter_processes" hold $((3 * gib)) <"$work/hold" >"$work/own" &
    own=$!
    for _ in $(seq 50); do
        [ -s "$work/own" ] && [ -s "$work/stranger" ] && break
        sleep 0.1
    done
    check "own process has its memory" "held 0" "$(cat "$work/own")"
    check "both are on the device" "$(printf '%s\n' $own $stranger | sort)" "$("$tests/limiter_probe" processes | sort)"
    shown=$(DIVVY_TENANT_DIR=$tenant limited "{\"0\": $((7 * gib))}" "$tests/limiter_probe" processes)
    check "the tenant sees its own" "$own" "$shown"
    check "size and use" "nvml-total $((7 * gib)) nvml-used $((3 * gib))" \
        "$(DIVVY_TENANT_DIR=$tenant limited "{\"0\": $((7 * gib))}" "$tests/limiter_probe" nvml | probe_line 0)"
    if command -v nvtop >/dev/null && command -v script >/dev/null; then
        cat >"$work/nvtop.sh" <<NVTOP
stty cols 150 rows 40
export TERM=xterm DIVVY_TENANT_DIR=$tenant TENSOR_FUSION_CUDA_MEM_LIMIT='{"0": $((7 * gib))}'
LD_PRELOAD=$limiter timeout --foreground 3 nvtop
NVTOP
        timeout -s KILL 20 script -qfc "bash $work/nvtop.sh" "$work/nvtop.out" </dev/null >/dev/null
        shown=$(sed 's/\x1b([B0]//g; s/\x1b\[[0-9;?]*[a-zA-Z]/ /g' "$work/nvtop.out" | tr -s ' ')
        check_has "nvtop: size and use" "3.000Gi/7.000Gi" "$shown"
        check_has "nvtop: own process" " $own " "$shown"
        case $shown in *" $stranger "*) check "nvtop: the stranger" "not shown" shown ;; esac
    else
        echo "nvtop or script is missing: not looked at"
    fi
    kill $sleeper
    wait 2>/dev/null
}

"case_$case_name"
summary
