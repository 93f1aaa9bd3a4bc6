#!/usr/bin/env bash
# Real virtual machines with a vGPU, under software emulation: run.sh BIN TESTS, bin and tests of a build.
# What a booted guest sees of the device, what it can do with it, two guests at once, a relay that goes and comes back.
set -euo pipefail
bin=${1:?bin of the build} tests=${2:?tests of the build}
place=$(mktemp -d)
relay='' worker=''
cleanup() {
    [ -z "$worker" ] || kill "$worker" 2>/dev/null || true
    [ -z "$relay" ] || kill "$relay" 2>/dev/null || true
    rm -rf "$place"
}
trap cleanup EXIT
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/lib.sh"

relay_start() {
    "$tests/vgpu_relay_standin" VM-A="$place/a.sock" VM-B="$place/b.sock" >>"$place/relay.log" &
    relay=$!
}
relay_stop() {
    kill "$relay"
    wait "$relay" 2>/dev/null || true
    relay=
}

# wait_console NAME PATTERN: until the VM's console has it, at most a minute.
wait_console() {
    for _ in $(seq 600); do
        ! console "$1" "$2" || return 0
        sleep 0.1
    done
    return 1
}

vm_packages
vm_initrd
relay_start

echo "== one machine: what it sees, what it can do"
status=0
vm_run a 3 divvy.job=look,use --pool B --priority high || status=$?
check "the stub ends as its QEMU does" [ "$status" = 0 ]
check "V1: lspci shows the device and its class" console a 'Processing accelerators \[1200\]: .*\[1af4:1111\]'
check "V1: BAR0 has 4 KiB" console a 'Region 0: Memory at .*32-bit, non-prefetchable\) \[size=4K\]'
check "V1: version of the protocol" console a 'protocol +1\.0$'
check "V1: the VM's number is the host's" console a 'vm +3$'
check "V1: the pool is the host's" console a 'pool +B$'
check "V1: the priority is the host's" console a 'priority +2$'
check "V1: resource0 is root's" console a 'look: -rw-------.*resource0'
check "V1: an unprivileged user is kept out" console a 'unprivileged: status 1$'
check "V2: [1,2,3] + [4,5,6] = [5,7,9]" console a 'use: GPU Result: \[5, 7, 9\]$'
check "V2: negative numbers, and sums that wrap" console a 'use: GPU Result: \[-2, -2147483648\]$'
check "V4: ten NOPs" console a 'nops: 10$'
check "V4: bad requests get their codes, registers behave" console a '9 of 9 bad requests refused.*registers good'
check "V4: the relay logs the VM" grep -q '^Received GPU request from VM-A$' "$place/relay.log"
echo "V5: $(sed -n 's/^use: \(1000 requests.*\)/\1/p' "$place/a.console")"
p95=$(sed -n 's/^use: 1000 requests.*p95 \([0-9]*\).*/\1/p' "$place/a.console")
check "V5: doorbell to done below 50 ms for 95 of 100" [ "${p95:-50000}" -lt 50000 ]

echo "== two machines at once, a hundred requests each"
vm_run a 1 "divvy.job=many divvy.seed=11" &
first=$!
vm_run b 2 "divvy.job=many divvy.seed=29" &
second=$!
wait "$first" || true
wait "$second" || true
check "V3: every answer of the first is its own" console a 'own answers: 100 of 100$'
check "V3: every answer of the second is its own" console b 'own answers: 100 of 100$'

echo "== a relay that goes and comes back"
: >"$place/a.console"
vm_run a 1 divvy.job=restart &
first=$!
check "the guest is at work" wait_console a 'ready to lose the relay$'
relay_stop
check "V4: without a relay: error 3" wait_console a 'without: .*relay unavailable \(code 3\)'
relay_start
check "V7: with the relay again, without a reboot" wait_console a 'after: good$'
wait "$first" || true

if [ -x "$bin/divvy-relay" ] && [ -x "$bin/divvy-worker" ]; then
    echo "== two machines, the real relay, a worker on the simulated GPU"
    relay_stop
    DIVVY_SIM_DIR=$place/sim "$bin/divvy-worker" --no-daemon --gpu sim --socket "$place/worker.sock" 2>"$place/worker.log" &
    worker=$!
    "$bin/divvy-relay" --worker "$place/worker.sock" --vm A:1="$place/a.sock" --vm B:2="$place/b.sock" --state= --admin= \
        --lock "$place/lock" 2>"$place/divvy-relay.log" &
    relay=$!
    vm_run a 1 "divvy.job=use,many divvy.seed=11" &
    first=$!
    vm_run b 2 "divvy.job=many divvy.seed=29" &
    second=$!
    wait "$first" || true
    wait "$second" || true
    check "V2: [5,7,9] from the worker" console a 'use: GPU Result: \[5, 7, 9\]$'
    check "V3: every answer of the first is its own" console a 'own answers: 100 of 100$'
    check "V3: every answer of the second is its own" console b 'own answers: 100 of 100$'
    check "V3: the relay's log names the machine" grep -q 'Received GPU request from VM-A' "$place/divvy-relay.log"
    echo "V5, with the real relay: $(sed -n 's/^use: \(1000 requests.*\)/\1/p' "$place/a.console")"
    relay_stop
    kill "$worker"
    wait "$worker" || true
    worker=
    relay_start
fi

echo "== a stub that is killed takes its machine along"
: >"$place/a.console"
vm_run a 1 divvy.job=wait &
first=$!
check "the guest is up" wait_console a 'BEGIN wait'
qemu=$(pgrep -f "^qemu-system-x86_64 .*$place/initrd.gz")
stub=$(ps -o ppid= -p "$qemu" | tr -d ' ')
check "QEMU's parent is the stub" grep -q divvy-vgpu-stub "/proc/$stub/comm"
kill -9 "$stub"
wait "$first" || true
check "QEMU is gone" [ ! -e "/proc/$qemu/fd/0" ]

if [ "$failed" -gt 0 ]; then
    for file in "$place"/*.console "$place"/*.log; do
        echo "--- $(basename "$file")"
        tail -n 40 "$file"
    done
fi
echo "$failed failed"
[ "$failed" = 0 ]
