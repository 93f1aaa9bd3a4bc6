#!/usr/bin/env bash
# A machine with a vGPU, memory that it shares with the relay (ivshmem) and a virtio-serial port, with the real relay and a worker:
# ring.sh BIN, bin of a build. Sums, copies of every size, a program in the machine that is killed.
set -euo pipefail
bin=${1:?bin of the build}
place=$(mktemp -d)
relay='' worker=''
cleanup() {
    local pid
    for pid in $relay $worker; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$place"
}
trap cleanup EXIT
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/vm/serial-lib.sh
. "$(dirname "$0")/serial-lib.sh"
[ -x "$bin/divvy-relay" ] && [ -x "$bin/divvy-worker" ] && [ -x "$bin/divvy-client" ] || skip "relay, worker or client is not built"

vm_packages
serial_initrd
serial_worker_start
"$bin/divvy-relay" --worker "$place/worker.sock" --vm-connect "A:1=$place/a.port,shm=$place/a.ring,size=16MiB,qmp=$place/a.qmp" \
    --vm "A-stub:11=$place/a.sock" --state= --admin= --lock "$place/lock" 2>>"$place/relay.log" &
relay=$!

echo "== one machine through shared memory"
serial_stub_options=(--bulk "$place/a.ring=16MiB")
serial_run a 1 divvy.job=ring || true
check "V2: [5, 7, 9] through shared memory" console a 'ring: GPU Result: \[5, 7, 9\]$'
check "V2: a kernel on 5000 elements" console a 'ring: saxpy: 5000 elements.*right$'
for bytes in 1 4095 4096 4097 1MiB 64MiB; do check "V6: $bytes there and back, the same" console a "exact: $bytes\$"; done
check "the port itself, after programs that used the memory" console a 'ring: GPU Result: \[42\]$'
check "V7: the next program, after one that was killed" console a 'ring: GPU Result: \[33\]$'
check "an unprivileged user is kept out" console a 'unprivileged: refused$'
check "the relay's log tells the data path" grep -q 'VM-A: data_path=shared memory' "$place/relay.log"
check "the file is the owner's alone" [ "$(stat -c %a "$place/a.ring")" = 600 ]
echo "== programs killed in a machine, in the middle of copies"
sleep 1 # what the machine before had is gone by then
before=$(processes)
serial_run a 1 "divvy.job=killed divvy.shm=1" &
machine=$!
for way in serial shm; do
    endings=$(ended || true)
    check "the program was killed ($way)" wait_for 180 console a "$way: killed\$"
    check "V7: the relay notices, before another program comes ($way)" wait_for 3 more_ended "$endings"
    check "V7: and what it had is freed ($way)" wait_for 1 at_most_processes "$before"
    check "V7: the next program comes behind that ($way)" wait_for 60 console a "$way: next\$"
done
wait "$machine" || true
check "V7: its results are right, both times" [ "$(grep -c 'GPU Result: \[33\]$' "$place/a.console")" = 2 ]
sed -n 's/^ring: \(.*\(GPU\|median\|p99\) .*[/s]*\)$/      \1/p' "$place/a.console"
if [ "$failed" -gt 0 ]; then
    for file in "$place"/*.console "$place"/*.log; do
        echo "--- $(basename "$file")"
        tail -n 40 "$file"
    done
fi
echo "$failed failed"
[ "$failed" = 0 ]
