#!/usr/bin/env bash
# Slices, command line, exit statuses, signals, fallback and locks of divvy-runner: runner.sh RUNNER PROGRAM SANITIZERS
# shellcheck disable=SC2016 # the inner shells expand what stands in single quotes
. "$(dirname "$0")/runner_parts/lib.sh"

# ---- what a slice is to the program, and its lock while it runs ----

umask 077
CUDA_VISIBLE_DEVICES=5 HC_MIG_PROFILE=1g.10gb run --target env
check "env: status" 0 "$status"
check_match "the program sees a slice" '^CUDA_VISIBLE_DEVICES=MIG-[0-9a-f-]{36}$' "$out"
check_match "the user's value is not heeded, and that is said" 'running on slice MIG-.* of GPU 0: 1g.10gb.*CUDA_VISIBLE_DEVICES' "$log"
check_match "output is not held back" '^PYTHONUNBUFFERED=1$' "$out"
check "nothing is held any more" 0 "$(held)"
check "the folder of locks" 755 "$(stat -c %a "$locks")"
check "nothing is left in the runtime folder" '' "$(find "$XDG_RUNTIME_DIR" -name 'runner-*')"
umask 022

export HC_MIG_PROFILE=1g.10gb
run --target sh --args '-c "stat -c %a \"$HC_MIG_LOCK_DIR/$CUDA_VISIBLE_DEVICES.lock\"; cat \"$HC_MIG_LOCK_DIR/$CUDA_VISIBLE_DEVICES.lock\"; echo $PPID"'
check "mode of the lock" 644 "$(echo "$out" | sed -n 1p)"
check_match "content of the lock" "^pid=$(echo "$out" | sed -n 3p) ts=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z\$" "$(echo "$out" | sed -n 2p)"

# ---- the command line and how it ends ----

run --target echo --args "MIG device reserved"
check "a string is split" "MIG device reserved" "$out"
run --target sh --args "-c 'exit 7'"
check "status of the program" 7 "$status"
check "nothing is held after a failure" 0 "$(held)"
run --target sh -- -c 'kill -9 $$'
check "killed by a signal" 137 "$status"
run --target printf --args '%s,' a 'b c' --metrics
check "all that follows is the program's" 'a,b c,--metrics,' "$out"
run --target no-such-program
check "not found" 127 "$status"
run --target /etc/passwd
check "not executable" 126 "$status"
printf 'echo no interpreter\n' >"$place/script"
chmod +x "$place/script"
run --target "$place/script"
check "no shell steps in" 126 "$status"
for bad in '--targe x' '--target' '--profile 9z.1gb --target true' '--profile custom.x --target true' '--profile 1g. --target true' \
    '--on-busy panic --target true' 'x'; do
    # shellcheck disable=SC2086 # words
    run $bad
    check "$bad: status" 2 "$status"
    check "$bad: one line" 1 "$(printf '%s\n' "$log" | wc -l)"
    check_match "$bad: who says it" '^[^ ]+ error divvy-runner\[[0-9]+\]: ' "$log"
done
# Nothing is begun for what cannot run: no address is bound for it.
start malformed --metrics 0 --profile 9z.1gb --target true
end_of "$pid"
check "a bad profile: status with metrics" 2 "$status"
check "a bad profile: no address is opened before" 0 "$(grep -c 'metrics:' "$place/malformed.log")"
run --profile 9z.1gb --target true
check_has "a bad profile is repeated" '9z.1gb' "$log"
check_has "and those here are shown" '1g.10gb' "$log"
HYPERCORE_VRAM_LIMIT_BYTES=2GiB run --target true
check "a bad limit" 2 "$status"
check "no lock is left" 0 "$(held)"
HC_MIG_TTL=soon run --target true
check "a bad TTL is no reason to stop" 0 "$status"
check_has "but said" "HC_MIG_TTL" "$log"
check "a limit of arguments is the program's own" 3 "$(printf 'a\nb\nc\n' | "$runner" --metrics off --target wc --args=-l 2>/dev/null)"

# ---- signals ----

for signal in TERM INT HUP QUIT; do
    start "by-$signal" --metrics off --target sleep --args 60
    soon test -e "$XDG_RUNTIME_DIR/divvy/alone/by-$signal/latency"
    soon pgrep -P "$pid" sleep
    kill -"$signal" "$pid"
    end_of "$pid"
    check "SIG$signal" $((128 + $(kill -l "$signal"))) "$status"
    check "SIG$signal: given back" 0 "$(held)"
done
start passed --metrics off --target bash -- -c 'trap "echo one" USR1; trap "echo two" USR2; echo ready; for i in {1..100}; do sleep 0.05; [ -e '"$place"'/go ] && exit 0; done'
soon grep -q ready "$place/passed.out"
kill -USR1 "$pid"
soon grep -q one "$place/passed.out"
kill -USR2 "$pid"
soon grep -q two "$place/passed.out"
touch "$place/go"
end_of "$pid"
check "passed on" 0 "$status"
check "each once" "ready one two" "$(tr '\n' ' ' <"$place/passed.out" | sed 's/ $//')"
start stubborn --metrics off --kill-after 300ms --target bash -- -c 'trap "" TERM; echo ready; while :; do sleep 1; done'
soon grep -q ready "$place/stubborn.out"
kill "$pid"
end_of "$pid"
check "killed when it does not end" 137 "$status"

# ---- SIGKILL: the program goes with its runner, and the slice is free at once ----

start killed --metrics off --target sh -- -c 'echo $$ $CUDA_VISIBLE_DEVICES; exec sleep 60'
soon grep -q MIG "$place/killed.out"
read -r child slice <"$place/killed.out"
kill -9 "$pid"
wait "$pid" 2>/dev/null
soon test ! -d "/proc/$child"
check "the program is gone" no "$([ -d "/proc/$child" ] && [ "$(sed 's/.*) \(.\).*/\1/' "/proc/$child/stat" 2>/dev/null)" != Z ] && echo yes || echo no)"
run --target printenv --args CUDA_VISIBLE_DEVICES
check "the same slice is to be had again" "$slice" "$out"

# What outlives the program is ended before the slice is given back.
run --target "$program" -- orphan 60000 exit 4
check "status with something left behind" 4 "$status"
check_has "it is said" "left 1 processes behind" "$log"
check "and ended" no "$([ -d "/proc/${out#orphan }" ] && echo yes || echo no)"

# ---- as many runners as slices, and one more ----

pids=()
for i in 1 2 3; do
    start "three-$i" --metrics off --target sh -- -c 'echo $CUDA_VISIBLE_DEVICES; exec sleep 60'
    pids+=("$pid")
done
for i in 1 2 3; do soon grep -q MIG "$place/three-$i.out"; done
check "three different slices" 3 "$(sort -u "$place"/three-?.out | grep -c '^MIG-')"
check "three locks" 3 "$(held)"
run --target true
check "all taken" 75 "$status"
check_match "and by whom" "process $(IFS='|'; echo "(${pids[*]})")|pid=?.?$(IFS='|'; echo "(${pids[*]})")" "$log"
run --on-busy fallback --target true
check "falling back would be on somebody's slice" 75 "$status"
check_has "which is said" "holds" "$log"
run --wait-timeout 300ms --target true
check "waited in vain" 75 "$status"
start waits --metrics off --on-busy wait --target printenv --args CUDA_VISIBLE_DEVICES
waiting=$pid
sleep 0.3
check "still waiting" yes "$(kill -0 "$waiting" 2>/dev/null && echo yes)"
start impatient --metrics off --on-busy wait --target true
sleep 0.3
kill "$pid"
end_of "$pid"
check "a wait ends by a signal" 143 "$status"
slice=$(cat "$place/three-2.out")
kill "${pids[1]}"
end_of "$waiting"
check "the wait is over" 0 "$status"
check "with the slice that became free" "$slice" "$(cat "$place/waits.out")"
kill "${pids[0]}" "${pids[2]}"
wait "${pids[@]}" 2>/dev/null
check "all given back" 0 "$(held)"

# ---- slices on demand ----

if [ -z "$sanitized" ]; then
    export DIVVY_SIM_DIR=$place/empty DIVVY_SIM_MIG=on
    start made --metrics off --create --target sh -- -c 'echo $CUDA_VISIBLE_DEVICES; exec sleep 60'
    soon grep -q MIG "$place/made.out"
    check_has "created" "created for this run" "$(cat "$place/made.log")"
    check "nothing is half done" no "$([ -e "$locks/.creating" ] && echo yes || echo no)"
    # NVML and all that it takes is in processes that have ended: 8 MiB are the most that a runner may have.
    rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")
    check "its own memory while it holds what it made ($rss KiB)" yes "$([ "$rss" -le 8192 ] && echo yes || echo no)"
    # Killed: the instance is left marked, and goes with the next one's start.
    kill -9 "$pid"
    wait "$pid" 2>/dev/null
    check "what the killed one made is marked" 1 "$(find "$locks" -name '.*.made' | wc -l)"
    run --create --profile 7g.80gb --target true
    check "and makes room for the next" 0 "$status"
    check_has "which has one made for it" "created for this run" "$log"
    check "nothing is left" 0 "$(find "$locks" -name '.*.made' -o -name .creating -o -name '*.lock' | wc -l)"
    export DIVVY_SIM_DIR=$place/sim DIVVY_SIM_MIG='3*1g.10gb'
fi

# ---- without a slice ----

unset HC_MIG_PROFILE
CUDA_VISIBLE_DEVICES=whatever run --target printenv --args CUDA_VISIBLE_DEVICES
check "no profile: nothing is changed" whatever "$out"
check "no profile: no attempt" 0 "$(held)"
export HC_MIG_PROFILE=1g.10gb
out=$(CUDA_VISIBLE_DEVICES=7 "$runner" --metrics off --target printenv --args CUDA_VISIBLE_DEVICES 2>"$place/log")
if ! ldconfig -p 2>/dev/null | grep -q libnvidia-ml; then
    check "no NVML: the user's value" 7 "$out"
    check "no NVML: one line" 1 "$(grep -c 'running with CUDA_VISIBLE_DEVICES=7' "$place/log")"
    check_has "no NVML: why" "libnvidia-ml" "$(cat "$place/log")"
fi
CUDA_VISIBLE_DEVICES=0 DIVVY_SIM_DIR=$place/whole DIVVY_SIM_MIG=off run --target printenv --args CUDA_VISIBLE_DEVICES
check "MIG is off: the user's value" 0 "$out"
check_match "MIG is off: what it got" 'whole GPU GPU-' "$log"
run --profile 7g.80gb --target sh -- -c 'echo ${CUDA_VISIBLE_DEVICES-unset}'
check "no match: nothing is set" unset "$out"
check_match "no match: the profiles that are here, and the slice it got" '1g.10gb.*slice MIG-' "$log"
check "no match: one line" 1 "$(printf '%s\n' "$log" | grep -c 'running with')"

# Never on a whole GPU instead.
for lacks in "--profile 7g.80gb" "--profile 1g.10gb --gpu 1"; do
    # shellcheck disable=SC2086 # words
    DIVVY_SIM_DIR=$place/two DIVVY_SIM_DEVICES=2 DIVVY_SIM_MIG='1g.10gb;off' run --require-slice $lacks --target echo --args ran
    check "no slice, no run: $lacks" "75 " "$status $out"
    check "no slice, no run: one line" 1 "$(printf '%s\n' "$log" | wc -l)"
done
status=0
out=$("$runner" --metrics off --require-slice --profile 1g.10gb --target echo --args ran 2>/dev/null) || status=$?
ldconfig -p 2>/dev/null | grep -q libnvidia-ml || check "no NVML, no run" "75 " "$status $out"
run --gpu 7 --target true
check "a GPU that is not there" 2 "$status"
run --gpu 0 --target printenv --args CUDA_VISIBLE_DEVICES
check_match "a slice of that GPU" '^MIG-' "$out"
(unset HC_MIG_PROFILE && run --require-slice --target true && exit "$status")
check "a slice, and no profile" 2 $?

# ---- folders of locks ----

touch "$place/file"
run --lock-dir "$place/file/mig" --target true
check "no folder can be made: it runs" 0 "$status"
check_has "and the folder is named" "$place/file/mig" "$log"
nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
# Where the build lies in root's home nobody else gets there.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && nobody test -x "$(realpath "$runner")"; then
    mkdir -m 755 "$place/roots"
    chmod 755 "$place"
    mkdir -m 777 "$place/nobody"
    out=$(XDG_RUNTIME_DIR='' DIVVY_SIM_DIR=$place/nobody/sim nobody \
        "$runner" --simulate --metrics off --lock-dir "$place/roots" --target echo --args run 2>&1) || true
    check_has "not writable: it runs" "run" "$out"
    check_has "not writable: the folder" "$place/roots" "$out"
    check_has "not writable: the remedy" "chmod" "$out"
fi

# ---- what a log line is for ----

run --target true
check "no debug lines" 0 "$(printf '%s\n' "$log" | grep -c ' debug ')"
HC_DEBUG=1 run --target true
check_match "debug lines" ' debug .*started' "$log"
run --log-format json --target true
check_match "as JSON" '^\{"time":.*"program":"divvy-runner"' "$log"

finish
