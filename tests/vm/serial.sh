#!/usr/bin/env bash
# Machines that ask over virtio-serial and through the vGPU, with the real relay and a worker: serial.sh BIN, bin of a build.
# One machine, two at once, and QEMU, relay and worker killed while machines work.
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
serial_relay_start

echo "== one machine over virtio-serial, worker and relay as they are built"
serial_run a 1 divvy.job=serial || true
check "V2: [5, 7, 9] as JSON" console a 'serial: GPU Result: \{"result": ?\[5, ?7, ?9\]\}$'
check "V2: [5, 7, 9] by divvy-client, after it on the same port" console a 'serial: GPU Result: \[5, 7, 9\]$'
check "V2: a kernel on 5000 elements" console a 'serial: saxpy: 5000 elements.*right$'
for bytes in 1 4095 4096 4097 1MiB 64MiB; do check "V6: $bytes there and back, the same" console a "exact: $bytes\$"; done
check "V3: the relay's log names the machine" grep -q 'Received GPU request from VM-A' "$place/relay.log"
check "V3: and what it sent" grep -q 'Sent response to VM A' "$place/relay.log"

echo "== two machines at once, a hundred requests each over the port and a hundred through the vGPU"
serial_run a 1 "divvy.job=serial_many divvy.seed=11" &
first=$!
serial_run b 2 "divvy.job=serial_many divvy.seed=29" &
second=$!
wait "$first" || true
wait "$second" || true
check "V3: every answer of the first is its own" console a 'own answers: 200 of 200$'
check "V3: every answer of the second is its own" console b 'own answers: 200 of 200$'
check "V3: the relay's log names the second" grep -q 'Received GPU request from VM-B' "$place/relay.log"

echo "== QEMU killed while its machine works; another machine beside it; then the machine again"
serial_run a 1 divvy.job=work &
first=$!
serial_run b 2 "divvy.job=serial_many divvy.seed=31" &
second=$!
check "the machine is at work" wait_for 180 console a 'work: from the GPU'
kill -KILL "$(qemu_of a)"
wait "$first" || true
check "V7: what it had on the device is freed, but for contexts" wait_for 60 at_most_processes 6
wait "$second" || true
check "V7: the other machine did not notice" console b 'own answers: 200 of 200$'
serial_run a 1 divvy.job=serial || true
check "V7: the machine again" console a 'serial: GPU Result: \[5, 7, 9\]$'

echo "== a program killed in a machine, in the middle of a copy"
sleep 1 # what the machine before had is gone by then
before=$(processes) endings=$(ended || true)
serial_run a 1 divvy.job=killed &
first=$!
check "the program was killed" wait_for 180 console a 'serial: killed$'
check "V7: the relay notices, before another program comes" wait_for 3 more_ended "$endings"
check "V7: and what it had is freed" wait_for 1 at_most_processes "$before"
wait "$first" || true
check "V7: the next program, on a port that was left within a frame" console a 'GPU Result: \[33\]$'

echo "== relay, then worker, killed while a machine works; it is not rebooted"
serial_run a 1 divvy.job=lose_relay,lose_worker &
first=$!
check "the machine is at work" wait_for 180 console a 'relay: ready$'
end_now "$relay"
check "V7: without a relay: an error" wait_for 180 console a 'relay: without: divvy-client: .'
serial_relay_start
check "V7: with the relay again" wait_for 180 console a 'relay: after [0-9]+ tries$'
check "the machine is at work" wait_for 180 console a 'worker: ready$'
end_now "$worker"
check "V8: without a worker: an error" wait_for 180 console a 'worker: without: divvy-client: .'
serial_worker_start
check "V8: with the worker again" wait_for 180 console a 'worker: after [0-9]+ tries$'
wait "$first" || true
check "and the answers are right" [ "$(grep -c 'GPU Result: \[42\]$' "$place/a.console")" -ge 2 ]

kill "$worker"
wait "$worker" || true
worker=
check "no memory is left on the device" wait_for 60 at_most_processes 0
if [ "$failed" -gt 0 ]; then
    for file in "$place"/*.console "$place"/*.log; do
        echo "--- $(basename "$file")"
        tail -n 40 "$file"
    done
fi
echo "$failed failed"
[ "$failed" = 0 ]
