#!/usr/bin/env bash
# mig.sh PART GUEST LIBRARY-FOLDER DIVVY-SIM: programs on the MIG devices of a simulated machine of their own.
set -euo pipefail
part=$1 guest=$2 sim=$4
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
unset CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER "${!DIVVY_SIM_@}"
export DIVVY_SIM_DIR=$dir/machine LD_LIBRARY_PATH=$3

die() {
    echo "mig.sh $part: $*" >&2
    exit 1
}
equal() { [ "$1" == "$2" ] || die "'$1', expected '$2'"; }
uuid() { "$sim" mig list "$1" | awk -v i="$2" '/MIG device/ && $3 == i { print $NF }'; }
board() { "$sim" show --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["devices"][int(sys.argv[1])]["uuid"])' "$1"; }
seen() { CUDA_VISIBLE_DEVICES=$1 "$guest"; }
names() { sed 's/^\[\([^]]*\)\].*/\1/' | paste -sd'|'; }
# busy_ns of the process on MIG device 0:$2, whether it lives or has ended
busy() { "$sim" busy "$1" | awk -v u="0:$2" '$2 == u { print $3 }'; }

# What CUDA sees for each way to name a device.
visible() {
    export DIVVY_SIM_DEVICES=3 DIVVY_SIM_MIG='off;1g.18gb,2g.35gb;3g.71gb'
    "$sim" mig list > /dev/null
    local a b c legacy gpu0 gpu1
    a=$(uuid 1 0) b=$(uuid 1 1) c=$(uuid 2 0) gpu0=$(board 0) gpu1=$(board 1)
    equal "$(seen "$a" | sed 's/ [^ ]*$//')" "[NVIDIA H200 MIG 1g.18gb] 16384 16 $a $gpu1"
    equal "$(seen "$b" | names)" "NVIDIA H200 MIG 2g.35gb"
    legacy=MIG-$gpu1/$("$sim" mig list 1 | awk '/MIG device 1/ { gsub(",", ""); print $7 "/" $10 }')
    equal "$(seen "$legacy" | names)" "NVIDIA H200 MIG 2g.35gb"
    equal "$(seen "${a:0:16}" | names)" "NVIDIA H200 MIG 1g.18gb"
    equal "$(seen "$gpu1" | names)" "NVIDIA H200 MIG 1g.18gb"
    equal "$(seen "$gpu0" | names)" "NVIDIA H200"
    # numbers: devices without MIG first, then MIG devices
    equal "$("$guest" | names)" "NVIDIA H200|NVIDIA H200 MIG 1g.18gb|NVIDIA H200 MIG 2g.35gb|NVIDIA H200 MIG 3g.71gb"
    equal "$(seen 1 | names)" "NVIDIA H200 MIG 1g.18gb"
    equal "$(seen "$c,$a" | names)" "NVIDIA H200 MIG 3g.71gb|NVIDIA H200 MIG 1g.18gb"
    equal "$(seen MIG-00000000-0000-5000-8000-000000000000)" "cuInit: CUDA_ERROR_NO_DEVICE"
    equal "$(seen "MIG-$gpu1/9/9")" "cuInit: CUDA_ERROR_NO_DEVICE"
    "$sim" mig destroy "$a"
    equal "$(seen "$a")" "cuInit: CUDA_ERROR_NO_DEVICE"
    equal "$(seen "$gpu1" | names)" "NVIDIA H200 MIG 2g.35gb"
    "$sim" mig destroy 1
    equal "$(seen "$gpu1")" "cuInit: CUDA_ERROR_NO_DEVICE"
}

# Before driver 570 a process sees one MIG device and nothing beside it, and they are called otherwise before 470.
old_driver() {
    export DIVVY_SIM_MODEL=A100 DIVVY_SIM_DEVICES=2 DIVVY_SIM_MIG='2*3g.40gb;off' DIVVY_SIM_DRIVER=460.32.03
    "$sim" mig list > /dev/null
    local a b
    a=$(uuid 0 0) b=$(uuid 0 1)
    [[ $a == MIG-GPU-*/2/0 ]] || die "$a"
    equal "$(seen "$a" | names)" "NVIDIA A100-SXM4-80GB MIG 3g.40gb"
    equal "$(seen "$a,$b" | wc -l)" 1
    equal "$(seen "$a,0" | names)" "NVIDIA A100-SXM4-80GB MIG 3g.40gb"
    equal "$("$guest" | names)" "NVIDIA A100-SXM4-80GB"
    equal "$(seen 1 | names)" "NVIDIA A100-SXM4-80GB MIG 3g.40gb"
}

# run_guest NAME VISIBLE ARGUMENT...: in the background, once it is ready
run_guest() {
    local name=$1 visible=$2
    shift 2
    mkfifo "$dir/$name.in"
    CUDA_VISIBLE_DEVICES=$visible "$guest" "$@" < "$dir/$name.in" > "$dir/$name.out" &
    pid=$!
    exec {door}> "$dir/$name.in"
    for _ in $(seq 2000); do
        [ -s "$dir/$name.out" ] && return
        sleep 0.01
    done
    die "$name does not start"
}

# Two instances at once, each at full speed; two programs on one instance share it.
speed() {
    export DIVVY_SIM_MIG='3g.71gb,3g.71gb'
    "$sim" mig list > /dev/null
    local a b p q took
    a=$(uuid 0 0) b=$(uuid 0 1)
    run_guest one "$a" run 600; p=$pid; local one=$door
    run_guest two "$b" run 600; q=$pid; local two=$door
    echo >&"$one"; echo >&"$two"
    wait "$p" "$q"
    for name in one two; do
        took=$(tail -1 "$dir/$name.out")
        [ "$took" -ge 600 ] && [ "$took" -lt 900 ] || die "$name: $took ms of device time for 600 ms of work"
    done
    equal "$(busy "$p" 0)" 600000000
    equal "$(busy "$q" 1)" 600000000
    run_guest three "$a" run 600; p=$pid; one=$door
    run_guest four "$a" run 600; q=$pid; two=$door
    echo >&"$one"; echo >&"$two"
    wait "$p" "$q"
    took=$(($(tail -1 "$dir/three.out") + $(tail -1 "$dir/four.out")))
    [ "$took" -gt 1700 ] || die "two programs on one instance took $took ms of device time together"
    equal "$(busy "$p" 0)" 600000000
}

# An instance's memory is all a program gets, and none of it is another's.
memory() {
    export DIVVY_SIM_MEMORY=2GiB DIVVY_SIM_MIG='2*1g.18gb,3g.71gb'
    "$sim" mig list > /dev/null
    local got total other
    run_guest one "$(uuid 0 0)" fill; local one=$door p=$pid
    read -r got total < "$dir/one.out"
    [ "$total" -ge 220 ] && [ "$total" -le 256 ] || die "total $total MiB of an eighth of 2 GiB"
    [ "$got" -ge $((total * 3 / 4)) ] && [ "$got" -le "$total" ] || die "got $got of $total MiB"
    run_guest two "$(uuid 0 1)" fill
    read -r other total < "$dir/two.out"
    equal "$other" "$got"
    equal "$("$sim" mig destroy "$(uuid 0 0)" 2>&1)" "divvy-sim mig: $(uuid 0 0): in use; end the programs that use it"
    kill -9 "$p"
    wait "$p" || true
    run_guest three "$(uuid 0 0)" fill
    read -r other total < "$dir/three.out"
    equal "$other" "$got"
    : "$one"
}

# Programs that are killed leave their instance as it was: nothing charged, free to be destroyed.
killed() {
    export DIVVY_SIM_MIG='7*1g.18gb'
    "$sim" mig list > /dev/null
    local pids=() i before
    before=$("$sim" mig list)
    for i in 0 1 2 3 4 5 6; do
        run_guest "g$i" "$(uuid 0 "$i")" run 10000
        pids+=("$pid")
        echo >&"$door"
    done
    sleep 0.1
    "$sim" mig off 0 2> /dev/null && die "MIG went off under seven programs"
    kill -9 "${pids[@]}"
    wait "${pids[@]}" || true
    equal "$("$sim" mig list | tail -n +2)" "$(tail -n +2 <<< "$before")"
    for i in 0 1 2 3 4 5 6; do
        [ "$(busy "${pids[$i]}" "$i")" -gt 0 ] || die "no record of a killed program on 0:$i"
    done
    "$sim" show --json | python3 -c '
import json, sys
for d in json.load(sys.stdin)["devices"][0]["mig"]["devices"]:
    assert d["used_bytes"] == 0 and d["contexts"] == 0 and d["processes"] == [], d
    assert len(d["history"]) == 1 and d["history"][0]["busy_ns"] == d["busy_ns"] > 0, d'
    "$sim" mig reset 0 # the mode that was noted
    equal "$("$sim" mig list)" "0  NVIDIA H200  MIG off"
}

# divvyd where one device is split: it lives, tells its devices, and takes tenants of the other one.
daemon() {
    bin=$(dirname "$sim")
    export DIVVY_SIM_DEVICES=2 DIVVY_SIM_MIG='2*1g.18gb;off' XDG_RUNTIME_DIR=$dir
    unset DIVVY_TENANT DIVVY_TENANT_DIR DIVVY_SOCKET
    "$sim" mig list > /dev/null
    local a said
    a=$(uuid 0 0)
    "$bin/divvyd" --background --idle-exit 1m
    daemon_pid=$("$bin/divvy" top --once --json | sed -nE 's/^ *"pid": ([0-9]+).*/\1/p' | head -1)
    trap 'kill "$daemon_pid" $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
    equal "$("$bin/divvy" run --gpu 1 --memory 25% -- "$guest" | names)" "NVIDIA H200"
    said=$("$bin/divvy" run --gpu "$a" --memory 25% -- "$guest" 2>&1)
    [[ $said == *"does not have $a; running without the daemon"*"] 4096 16 $a"* ]] || die "$said"
    run_guest one "$a" fill
    sleep 1.5 # samples with a process on the instance
    equal "$("$bin/divvy" top --once --json | python3 -c '
import json, sys
print(" ".join(str(d["healthy"]) for d in json.load(sys.stdin)["devices"]))')" "True True"
    kill -0 "$daemon_pid" || die "divvyd is gone"
}

# limited VISIBLE VARIABLE VALUE: what a program under the limiter gets of a MIG device, or why not
limited() {
    env CUDA_VISIBLE_DEVICES="$1" LD_PRELOAD="$bin/../lib/libcuda_limiter.so" "$2=$3" "$guest" fill < /dev/null 2>&1 || true
}

# Limits hold on a MIG device, whether they name it by its UUID, by its device's, or by number; divvy run knows them.
limits() {
    bin=$(dirname "$sim")
    export DIVVY_SIM_DEVICES=2 DIVVY_SIM_MIG='2*1g.18gb;off' XDG_RUNTIME_DIR=$dir
    unset DIVVY_TENANT DIVVY_TENANT_DIR DIVVY_SOCKET
    "$sim" mig list > /dev/null
    local a b key got gib4=4294967296
    a=$(uuid 0 0) b=$(uuid 0 1)
    for key in "$a" "${a/MIG/mig}" "$(board 0)" 0; do
        equal "$(limited "$a" TENSOR_FUSION_CUDA_MEM_LIMIT "{\"$key\": $gib4}" | awk '{ print $2 }')" 4096
    done
    # a limit of one is none of the other
    equal "$(limited "$b" TENSOR_FUSION_CUDA_MEM_LIMIT "{\"$a\": $gib4}" | awk '{ print $2 }')" 16384
    got=$(limited "$a" TENSOR_FUSION_CUDA_MEM_LIMIT '{"MIG-00000000-0000-5000-8000-000000000000": 1}')
    [[ $got == *"no device of this machine is MIG-00000000-0000-5000-8000-000000000000"* ]] || die "$got"
    got=$(limited "$a" TENSOR_FUSION_CUDA_MEM_LIMIT "{\"$a\": $((17 * 1024 * 1024 * 1024))}")
    [[ $got == *"more than the 17179869184 bytes of device $a"* ]] || die "$got"

    equal "$("$bin/divvy" run --no-daemon --gpu "$a" --memory 25% -- "$guest" fill < /dev/null | awk '{ print $2 }')" 4096
    equal "$("$bin/divvy" run --no-daemon --gpu "$b" -- "$guest" | grep -o 'MIG-[-0-9a-f]*')" "$b"
    equal "$(CUDA_VISIBLE_DEVICES=$b "$bin/divvy" run --no-daemon --memory 25% -- "$guest" | grep -o '\] [0-9]* ')" "] 4096 "
    got=$("$bin/divvy" run --no-daemon --gpu 0 -- true 2>&1) && die "the whole of a device that is split: $got"
    [[ $got == *"split into MIG instances"* ]] || die "$got"
    equal "$("$bin/divvy" gpus | awk 'NR > 1 { print $1 }' | paste -sd' ')" "0 0:0 0:1 1"

    # a quarter of an instance's time: 400 ms of work take some 1600 ms, whatever runs on the other
    "$bin/divvy" run --no-daemon --gpu "$a" --compute 25% -- "$guest" run 400 < <(echo) > "$dir/share" &
    "$bin/divvy" run --no-daemon --gpu "$b" -- "$guest" run 400 < <(echo) > "$dir/all"
    wait
    got=$(tail -1 "$dir/share")
    [ "$got" -ge 1000 ] || die "400 ms of work at 25 % took $got ms"
    got=$(tail -1 "$dir/all")
    [ "$got" -lt 700 ] || die "400 ms of work beside it took $got ms"
}

"$part"
