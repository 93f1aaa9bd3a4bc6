#!/usr/bin/env bash
# Figures of a test VM under software emulation against their targets: bench.sh BIN [JSON-FILE], bin of a build. Lines of JSON, as
# the benches print them, are appended to the file.
set -euo pipefail
bin=${1:?bin of the build} json=${2:-/dev/null}
place=$(mktemp -d)
relay='' worker='' bare=''
cleanup() {
    local pid
    for pid in $relay $worker $bare; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$place"
}
trap cleanup EXIT
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/vm/serial-lib.sh
. "$(dirname "$0")/serial-lib.sh"
[ -x "$bin/divvy-relay" ] && [ -x "$bin/divvy-worker" ] && [ -x "$bin/divvy-client" ] || skip "relay, worker or client is not built"
have python3 || skip "python3 is not here: it is what the bare port is measured against"

# bare_serve SOCKET: the other end of a port that has nothing behind it: takes 256 MiB, gives as much.
bare_serve() {
    python3 - "$1" <<'PYTHON'
import socket, sys, time

port = socket.socket(socket.AF_UNIX)
while True:
    try:
        port.connect(sys.argv[1])
        break
    except OSError:
        time.sleep(0.02)
left = 256 << 20
while left > 0:
    left -= len(port.recv(1 << 18))
port.sendall(bytes(256 << 20))
time.sleep(60)
PYTHON
}

# figure NAME: its value in the guest's output.
figure() { sed -n "s/^bench: $1 \([0-9.]*\) .*/\1/p" "$place/a.console" | tail -n 1; }

# row WHAT VALUE UNIT TARGET at-most|at-least LIMIT: a line for people and a line of JSON; without a limit nothing is judged.
row() {
    local verdict=''
    [ -n "$2" ] || { echo "no figure: $1"; failed=$((failed + 1)); return 0; }
    case ${5-} in
    at-most) verdict=$(awk -v v="$2" -v l="$6" 'BEGIN { print (v <= l ? "met" : "MISSED") }') ;;
    at-least) verdict=$(awk -v v="$2" -v l="$6" 'BEGIN { print (v >= l ? "met" : "MISSED") }') ;;
    esac
    printf '%-14s %-46s %12.6g %25s %-6s %-10s %s\n' vm "$1" "$2" '' "$3" "$4" "$verdict"
    printf '{"bench": "vm", "what": "%s", "gpu": "sim", "quick": false, "value": %s, "low": %s, "high": %s, "unit": "%s", "target": "%s", "verdict": "%s"}\n' \
        "$1" "$2" "$2" "$2" "$3" "$4" "$verdict" >>"$json"
}

part() { awk -v a="$1" -v b="$2" 'BEGIN { if (a > 0 && b > 0) printf "%.1f", 100 * a / b }'; }
rate() { awk -v s="$1" 'BEGIN { if (s > 0) printf "%.4f", 256 * 1048576 / s / 1e9 }'; }

vm_packages
serial_initrd
serial_worker_start
serial_relay_start
wait_for 30 test -S "$place/worker.sock" || skip "the worker does not start"

# From the start of QEMU to the first right answer; on a worker that has served before, as on a host that is up.
begun_ns=$(date +%s%N)
serial_run a 1 divvy.job=serial &
machine=$!
wait_for 120 console a 'serial: GPU Result: .*5, ?7, ?9' || { cat "$place/a.console"; exit 1; }
boot_s=$(awk -v ns=$(($(date +%s%N) - begun_ns)) 'BEGIN { printf "%.2f", ns / 1e9 }')
wait "$machine" || true

bare_serve "$place/bare.sock" &
bare=$!
serial_run a 1 divvy.job=bench -chardev "socket,id=c1,path=$place/bare.sock,server=on,wait=off" \
    -device virtserialport,chardev=c1,name=org.divvy.bare || true

row "boot of a machine to the right result" "$boot_s" s "<= 10" at-most 10
row "empty request over virtio-serial, median" "$(figure serial_empty_median)" us ''
row "small job over virtio-serial, median" "$(figure serial_median)" us "<= 250" at-most 250
row "small job over virtio-serial, p99" "$(figure serial_p99)" us ''
row "vGPU, doorbell to done, median" "$(figure doorbell_median)" us "<= 150" at-most 150
row "vGPU, doorbell to done, p99" "$(figure doorbell_p99)" us ''
bare_to=$(rate "$(figure bare_to)") bare_from=$(rate "$(figure bare_from)")
row "virtio-serial with nothing behind it, to the host" "$bare_to" GB/s ''
row "virtio-serial with nothing behind it, from it" "$bare_from" GB/s ''
row "bulk over virtio-serial to the GPU" "$(figure serial_to)" GB/s ''
row "bulk over virtio-serial from the GPU" "$(figure serial_from)" GB/s ''
row "bulk to the GPU, part of the bare port" "$(part "$(figure serial_to)" "$bare_to")" % ">= 50" at-least 50
row "bulk from the GPU, part of the bare port" "$(part "$(figure serial_from)" "$bare_from")" % ">= 50" at-least 50
[ "$failed" = 0 ] || tail -n 40 "$place"/*.console "$place"/*.log
[ "$failed" = 0 ]
