#!/usr/bin/env bash
# divvy-vgpu-stub as its users run it, with a QEMU that is played: stub.sh STUB RELAY-STANDIN FAKE-QEMU
set -euo pipefail
stub=$1 standin=$2 qemu=$3
place=$(mktemp -d)
relay=
cleanup() {
    [ -z "$relay" ] || kill "$relay" 2>/dev/null || true
    rm -rf "$place"
}
trap cleanup EXIT

failed=0
check() {
    if [ "$2" = "$3" ]; then
        echo "ok    $1"
    else
        echo "FAIL  $1: expected '$2', got '$3'"
        failed=$((failed + 1))
    fi
}
# at_most WHAT LIMIT NAME: the request NAME in $out took no longer, in milliseconds.
at_most() {
    local took
    took=$(sed -n "s/^$3 took \([0-9]*\) ms/\1/p" <<<"$out" | tail -n 1)
    check "$1" yes "$([ "${took:-999999}" -le "$2" ] && echo yes || echo "no: $took ms")"
}
relay_start() {
    "$standin" "$@" VM-A="$place/a.sock" >>"$place/relay.log" &
    relay=$!
    for _ in $(seq 200); do
        [ ! -S "$place/a.sock" ] || break
        sleep 0.01
    done
}
relay_stop() {
    kill "$relay"
    wait "$relay" 2>/dev/null || true
    relay=
    rm -f "$place/a.sock"
}
# run SCRIPT STUB-OPTION...: sets out and status; standard error is in $place/log.
run() {
    local script=$1
    shift
    status=0
    out=$(timeout 60 "$stub" --relay "$place/a.sock" "$@" -- "$qemu" -m 64 "$script" 2>"$place/log") || status=$?
}
code() { sed -n "s/^$1: //p" <<<"$out" | tr '\n' ';'; }

# ---- a relay that does as it should ----

relay_start
run nop,add,bad
check "the status is QEMU's" 3 "$status"
check "a NOP" 'code 0 result 0;' "$(code nop)"
check "1 + 2" 'code 0 result 3;' "$(code add)"
check "an opcode without a meaning" 'code 8 result 0;' "$(code bad)"
check "what has no meaning is not sent" 2 "$(grep -c 'from VM-A' "$place/relay.log")"
run nop,reset,add
check "after a reset of the guest" 'code 0 result 3;' "$(code add)"

# ---- relays that misbehave, and none ----

relay_stop
run nop,nop
check "no relay: error 3" 'code 3 result 0;code 3 result 0;' "$(code nop)"
at_most "and that within a second" 1000 nop
for how in garbage:3 short:3 busy:10 quarantine:11; do
    relay_start --misbehave "${how%:*}"
    run nop,nop
    check "a relay that sends ${how%:*}" "code ${how#*:} result 0;code ${how#*:} result 0;" "$(code nop)"
    relay_stop
done
relay_start --misbehave silent
run nop --timeout 1
check "a relay that does not answer: timeout" 'code 4 result 0;' "$(code nop)"

# ---- a relay that goes in the middle of a request, and comes back ----

: >"$place/relay.log"
timeout 60 "$stub" --relay "$place/a.sock" -- "$qemu" "nop,wait-$place/back,add" >"$place/out" 2>"$place/log" &
running=$!
for _ in $(seq 500); do
    ! grep -q 'from VM-A' "$place/relay.log" || break
    sleep 0.01
done
relay_stop
relay_start
touch "$place/back"
wait "$running" || true
out=$(cat "$place/out")
check "what was under way fails, once" 'code 3 result 0;' "$(code nop)"
check "what comes after works" 'code 0 result 3;' "$(code add)"

# ---- ends ----

run flood,nop
check "a flood on standard error does not disturb" 'code 0 result 0;' "$(code nop)"
check "and is bounded" yes "$([ "$(wc -c <"$place/log")" -lt 70000 ] && echo yes)"
run garbage
check "a QEMU that breaks the link's protocol is ended" 143 "$status"
timeout 60 "$stub" --relay "$place/a.sock" -- "$qemu" "nop,sleep" >"$place/out" 2>"$place/log" &
running=$!
for _ in $(seq 500); do
    ! grep -q took "$place/out" || break
    sleep 0.01
done
child=$(pgrep -P "$(pgrep -P "$running" -f divvy-vgpu-stub)")
pkill -KILL -P "$running"
wait "$running" || true
for _ in $(seq 200); do
    [ -d "/proc/$child" ] || break
    sleep 0.01
done
check "a stub that is killed takes QEMU along" gone "$([ -d "/proc/$child" ] || echo gone)"
status=0
timeout 20 "$stub" --relay "$place/a.sock" -- /no/such/qemu 2>"$place/log" || status=$?
check "no QEMU" 127 "$status"

# ---- the command line ----

for bad in '' '--relay' '--relay x' '--vm-id -1 --relay x -- true' '--pool AB --relay x -- true' '--pci-id 1af4 --relay x -- true' \
    '--pci-id ffff:0001 --relay x -- true' '--bulk f=5000 --relay x -- true' '--timeout 0 --relay x -- true' '--what --relay x -- true'; do
    status=0
    # shellcheck disable=SC2086 # words
    "$stub" $bad 2>"$place/log" || status=$?
    check "'$bad': status" 2 "$status"
    check "'$bad': one line" 1 "$(wc -l <"$place/log")"
done

echo "$failed failed"
[ "$failed" = 0 ] || cat "$place/log"
[ "$failed" = 0 ]
