#!/usr/bin/env bash
# divvy's command line in a tree with stand-ins for limiter and driver, without a daemon: cli.sh DIVVY TREE TERMINAL-TEST
# (cli_daemon.sh is about the rest.)
# Exit statuses, signals, bad input, what the tenant is told, what is left behind.
# shellcheck disable=SC2016 # the inner shells expand what stands in single quotes
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
tree=$2
terminal=$3

mkdir -p "$tree/bin" "$tree/real"
ln -f "$1" "$tree/bin/divvy" 2>/dev/null || cp -f "$1" "$tree/bin/divvy"
cp -f "$tree"/lib/simgpu/lib* "$tree/real/" # found by LD_LIBRARY_PATH, they pass for a real driver
divvy=$tree/bin/divvy
runtime=$(mktemp -d)
chmod 700 "$runtime"
trap 'rm -rf "$runtime"' EXIT
export XDG_RUNTIME_DIR=$runtime LC_ALL=C
unset LD_PRELOAD LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES DIVVY_TENANT DIVVY_SOCKET
tenants=$runtime/divvy/alone
# A sanitized divvy finds leaks in nothing that matters here, but its children must not be slowed down by looking.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0:verify_asan_link_order=0

refused() { # WHAT PART ARGUMENT...: exit 2, one line on stderr with PART, nothing started
    local what=$1 part=$2 errors status=0
    shift 2
    errors=$("$divvy" run --no-daemon "$@" -- touch "$runtime/started" 2>&1 >/dev/null) || status=$?
    check "$what: status" 2 "$status"
    check_has "$what: message" "$part" "$errors"
    check "$what: one line" 1 "$(printf '%s\n' "$errors" | wc -l)"
    check "$what: nothing started" no "$([ -e "$runtime/started" ] && echo yes || echo no)"
    rm -f "$runtime/started"
}

status_of() { # COMMAND...: its exit status, output dropped
    local status=0
    "$@" >/dev/null 2>&1 || status=$?
    echo "$status"
}

left() { find "$tenants" -mindepth 1 2>/dev/null | wc -l; }

nothing_left() { [ "$(left)" -eq 0 ]; }

# ---- exit statuses ----
sim=("$divvy" run --no-daemon --gpu sim --)
check "success" 0 "$(status_of "${sim[@]}" true)"
check "failure" 1 "$(status_of "${sim[@]}" false)"
check "its own status" 42 "$(status_of "${sim[@]}" sh -c 'exit 42')"
check "not found" 127 "$(status_of "${sim[@]}" /nowhere/program)"
check "not found by PATH" 127 "$(status_of "${sim[@]}" no-such-program-anywhere)"
check "a directory" 126 "$(status_of "${sim[@]}" /tmp)"
printf 'x' >"$runtime/plain"
check "not executable" 126 "$(status_of "${sim[@]}" "$runtime/plain")"
for signal in TERM:143 KILL:137 SEGV:139 INT:130 HUP:129; do
    check "ended by ${signal%:*}" "${signal#*:}" "$(status_of "${sim[@]}" sh -c "kill -${signal%:*} \$\$")"
done
check "without --" 5 "$(status_of "$divvy" run --no-daemon --gpu sim sh -c 'exit 5')"
check "options of the program are its own" "--memory --help" "$("$divvy" run --no-daemon --gpu sim echo --memory --help 2>&1)"
check "stdin and stdout" hello "$(echo hello | "${sim[@]}" cat)"
check "nothing is left" 0 "$(left)"

# ---- signals ----
pass_on() { # SIGNAL: to divvy run alone; the program says what it got
    local out=$runtime/out pid
    : >"$out"
    "${sim[@]}" sh -c "trap 'echo got; exit 9' $1; echo ready; while :; do sleep 0.02; done" >"$out" &
    pid=$!
    eventually "$1: the program starts" grep -q ready "$out"
    kill -"$1" "$pid"
    local status=0
    wait "$pid" || status=$?
    check "$1 is passed on: status" 9 "$status"
    check "$1 is passed on: once" "ready got" "$(tr '\n' ' ' <"$out" | sed 's/ $//')"
}
for signal in TERM HUP USR1 USR2 ALRM WINCH; do pass_on $signal; done

"${sim[@]}" sh -c 'echo $$ >"$0"; exec sleep 30' "$runtime/pid" &
front=$!
eventually "the program starts" test -s "$runtime/pid"
kill -KILL "$front"
wait "$front" 2>/dev/null
eventually "the program goes when divvy run is killed" gone "$(cat "$runtime/pid")"
eventually "and its folder" nothing_left

# The keeper is the program's parent.
rm -f "$runtime/pid"
"${sim[@]}" sh -c 'echo $$ $PPID >"$0"; exec sleep 30' "$runtime/pid" 2>"$runtime/errors" &
front=$!
eventually "the program starts" test -s "$runtime/pid"
read -r program keeper <"$runtime/pid"
kill -KILL "$keeper"
status=0
wait "$front" || status=$?
check "divvy run fails when its keeper is killed" 1 "$status"
eventually "the program goes with it" gone "$program"
check "nothing is left of it" 0 "$(left)"

# Where the caller ignores SIGCHLD.
check "SIGCHLD ignored by the caller" 6 "$(status_of bash -c 'trap "" CHLD; exec "$@"' x "${sim[@]}" sh -c 'exit 6')"

"$terminal" "$divvy" >"$runtime/terminal" 2>&1
status=$?
# A bare chroot has no /dev/pts.
[ "$status" = 77 ] && cat "$runtime/terminal" || check "at a terminal" 0 "$status"
grep -q FAILED "$runtime/terminal" && cat "$runtime/terminal"

# ---- the tenant's folder ----
out=$("${sim[@]}" sh -c 'stat -c "%a %n" "$DIVVY_TENANT_DIR"; echo "$DIVVY_TENANT"' | tr '\n' ' ')
check_has "the folder is private" "700 $tenants/sh-" "$out"
out=$("$divvy" run --no-daemon --gpu sim --name blue -- sh -c 'echo "$DIVVY_TENANT $DIVVY_TENANT_DIR"; touch "$DIVVY_TENANT_DIR/usage"')
check "a name of one's own" "blue $tenants/blue" "$out"
check "it is removed with what is in it" 0 "$(left)"

rm -f "$runtime/pid"
"$divvy" run --no-daemon --gpu sim --name green -- sh -c 'echo up >"$0"; exec sleep 30' "$runtime/pid" &
front=$!
eventually "the first of a name runs" test -s "$runtime/pid"
refused "a second of the same name" "green" --gpu sim --name green
check "another name is free" 0 "$(status_of "$divvy" run --no-daemon --gpu sim --name yellow -- true)"
kill "$front"
wait "$front"
check "the name is free again" 0 "$(status_of "$divvy" run --no-daemon --gpu sim --name green -- true)"

# A process that outlives the program keeps the folder; divvy run does not wait for it, nor does a pipe.
SECONDS=0
out=$("$divvy" run --no-daemon --gpu sim --name slow -- sh -c '(sleep 1.5; :) >/dev/null 2>&1 & echo started')
check "a background process does not hold divvy run" started "$out"
check "it came back at once" yes "$([ $SECONDS -le 1 ] && echo yes || echo no)"
check "the folder stays meanwhile" yes "$([ -d "$tenants/slow" ] && echo yes || echo no)"
refused "its name is still taken" "slow" --gpu sim --name slow
eventually "the folder goes with the last process" nothing_left

# What was left by tenants that were killed with everything.
mkdir -m 700 "$tenants/old"
touch "$tenants/old/usage"
check "a run beside leftovers" 0 "$(status_of "${sim[@]}" true)"
check "leftovers are removed" 0 "$(left)"
mkdir -m 700 "$tenants/held"
(
    exec 9>"$tenants/held/usage"
    flock -s 9
    refused "a page that somebody still uses" "held" --gpu sim --name held
    check "a run beside it" 0 "$(status_of "${sim[@]}" true)"
    check "it is left alone" yes "$([ -e "$tenants/held/usage" ] && echo yes || echo no)"
    exit "$failures"
) || failures=$((failures + 1))
rm -rf "$tenants/held"
chmod 775 "$runtime/divvy"
out=$(env XDG_RUNTIME_DIR="$runtime" "${sim[@]}" sh -c 'echo "$DIVVY_TENANT_DIR"')
case $out in "$runtime"/*) check "a folder that others can write to is not used" "elsewhere" "$out" ;; esac
chmod 700 "$runtime/divvy"

# Many at once: each makes and removes its folder while others look for leftovers.
storm() {
    local i
    for ((i = 1; i <= 40; i++)); do
        check "run $i among many" "$i" "$(status_of "${sim[@]}" sh -c "exit $i")"
    done
    exit "$failures"
}
(storm) & first=$!
(storm) & second=$!
(storm) || failures=$((failures + 1))
wait "$first" || failures=$((failures + 1))
wait "$second" || failures=$((failures + 1))
check "many at once leave nothing" 0 "$(left)"

# ---- bad input ----
refused "unknown unit" "--memory '8XB': character 2: unknown unit" --memory 8XB
refused "negative size" "--memory '-8GiB': character 1: a negative" --memory=-8GiB
refused "fraction" "character 2: a fraction is not accepted" --memory 1.5GiB
refused "no size" "nothing given" --memory ''
refused "zero" "nothing could run in no memory" --memory 0
refused "forgotten unit" "was a unit forgotten?" --memory 8
refused "too large for numbers" "too large" --memory 99999999999999999999
refused "more than the device" "more than GPU 0 has (15.8 GiB, 17000000000 bytes)" --gpu sim --memory 17000000001
refused "more than all" "more than 100 percent" --memory 101%
refused "share above all" "--compute '101%': character 1: more than 100 percent; write 1% to 100%" --compute 101%
refused "no share" "nothing could run in no time" --compute 0
refused "fraction of a share" "character 3: a fraction" --compute 12.5%
refused "words" "must begin with a digit" --compute half
refused "GPU by a wrong word" "write sim, a number, or a UUID" --gpu first
refused "GPU by half a UUID" "character 13" --gpu GPU-11111111
refused "bad name" "character 2 cannot stand there" --name 'a/b'
refused "name that climbs" "character 1 cannot stand there" --name ..
refused "no name" "an empty name" --name ''
refused "long name" "longer than 64" --name "$(printf 'x%.0s' $(seq 65))"
check "unknown option" 2 "$(status_of "$divvy" run --no-daemon --nonsense -- true)"
check "option without value" 2 "$(status_of "$divvy" run --no-daemon --memory)"
check "no program" 2 "$(status_of "$divvy" run --no-daemon --memory 8GiB)"
check "unknown verb" 2 "$(status_of "$divvy" nonsense)"
check "no verb" 2 "$(status_of "$divvy")"
TENSOR_FUSION_CUDA_MEM_LIMIT='{"0": "2G"}' refused "malformed variable" \
    'TENSOR_FUSION_CUDA_MEM_LIMIT: byte 6: the value must be a number' --gpu sim
TENSOR_FUSION_CUDA_UP_LIMIT='{"0": 20' refused "unfinished variable" \
    'TENSOR_FUSION_CUDA_UP_LIMIT: byte 8' --gpu sim
check "a variable that is replaced does not matter" 0 \
    "$(TENSOR_FUSION_CUDA_UP_LIMIT='{' status_of "$divvy" run --no-daemon --gpu sim --compute 5 -- true)"
DIVVY_TENANT=outer refused "inside a tenant" "already inside the tenant 'outer'" --gpu sim

# ---- what the tenant is told ----
told() { # VARIABLE OPTION...
    local name=$1
    shift
    "$divvy" run --no-daemon "$@" -- env 2>/dev/null | sed -n "s/^$name=//p"
}
uuid0=GPU-11111111-1111-1111-1111-111111111110
uuid1=GPU-11111111-1111-1111-1111-111111111111
check "bytes" "{\"$uuid0\": 8589934592}" "$(told TENSOR_FUSION_CUDA_MEM_LIMIT --gpu sim --memory 8GiB)"
check "percent of the device, as programs see it" "{\"$uuid0\": 8500000000}" \
    "$(told TENSOR_FUSION_CUDA_MEM_LIMIT --gpu sim --memory 50%)"
check "all of it" "{\"$uuid0\": 17000000000}" "$(told TENSOR_FUSION_CUDA_MEM_LIMIT --gpu sim --memory 17000000000)"
check "share" "{\"$uuid0\": 30}" "$(told TENSOR_FUSION_CUDA_UP_LIMIT --gpu sim --compute 30%)"
check "no limit asked, none told" "" "$(told TENSOR_FUSION_CUDA_MEM_LIMIT --gpu sim --compute 30)"
check "the limiter" "$tree/lib/libcuda_limiter.so" "$(told LD_PRELOAD --gpu sim)"
check "the limiter before others" "$tree/lib/libcuda_limiter.so:libm.so.6" "$(LD_PRELOAD=libm.so.6 told LD_PRELOAD --gpu sim)"
check "the simulated driver" "$tree/lib/simgpu" "$(told LD_LIBRARY_PATH --gpu sim)"
check "before other folders" "$tree/lib/simgpu:/opt/x" "$(LD_LIBRARY_PATH=/opt/x told LD_LIBRARY_PATH --gpu sim)"

# With "real" GPUs.
real() { LD_LIBRARY_PATH=$tree/real "$@"; }
check "the first" "$uuid0" "$(real told CUDA_VISIBLE_DEVICES)"
check "by number, as nvidia-smi counts" "$uuid1" "$(real told CUDA_VISIBLE_DEVICES --gpu 1)"
check "by UUID in any spelling" "{\"$uuid1\": 9}" \
    "$(real told TENSOR_FUSION_CUDA_UP_LIMIT --compute 9 --gpu 11111111-1111-1111-1111-111111111111)"
check "as the caller narrowed it" "{\"$uuid1\": 9}" \
    "$(CUDA_VISIBLE_DEVICES=$uuid1 real told TENSOR_FUSION_CUDA_UP_LIMIT --compute 9)"
check "no simulated driver for real GPUs" "$tree/real" "$(real told LD_LIBRARY_PATH)"
real refused "no such number" "there are 2 GPUs, numbered from 0" --gpu 2
real refused "no such UUID" "no GPU here has this UUID" --gpu GPU-00000000-1111-1111-1111-111111111110
check "a broken driver is not replaced by a simulated one" 1 "$(FAKE_DRIVER=broken real status_of "$divvy" run --no-daemon -- true)"
check_has "it says so" "the GPU driver does not work" "$(FAKE_DRIVER=broken real "$divvy" run --no-daemon -- true 2>&1)"
check_has "a driver that crashes" "crashes the program" "$(FAKE_DRIVER=crash real "$divvy" run --no-daemon -- true 2>&1)"
check "no device: the simulated GPU, and one line about it" \
    "divvy run: no GPU here; using the simulated GPU" "$(FAKE_DRIVER=none real "$divvy" run --no-daemon -- true 2>&1 | head -n 1)"

# ---- gpus and doctor ----
out=$(real "$divvy" gpus)
check_has "gpus: first" "0    Fake GPU 0                   15.8 GiB      24  real       $uuid0" "$out"
check_has "gpus: second" "1    Fake GPU 1" "$out"
check "gpus --gpu" 2 "$(real "$divvy" gpus --gpu 1 | wc -l)"
check_has "gpus --json" '"memory_bytes": 17000000000' "$(real "$divvy" gpus --json)"
check_has "gpus --gpu sim" "simulated" "$("$divvy" gpus --gpu sim)"
check "gpus: bad input" 2 "$(status_of "$divvy" gpus --gpu x)"
check "gpus: stray word" 2 "$(status_of "$divvy" gpus x)"
out=$(real "$divvy" doctor)
check_has "doctor: driver" "ok    driver: $tree/real/libcuda.so.1, CUDA 12.8, 2 GPUs" "$out"
check_has "doctor: daemon" "warn  daemon: none runs, and divvyd is not installed beside divvy" "$out"
check_has "doctor: limiter" "ok    limiter: $tree/lib/libcuda_limiter.so" "$out"
out=$(FAKE_EXCLUSIVE=1 real "$divvy" doctor)
check_has "doctor: compute mode" "FAIL  compute mode" "$out"
check_has "doctor: a remedy" "nvidia-smi -i 0 -c DEFAULT" "$out"
out=$(FAKE_DRIVER=broken real "$divvy" doctor)
check "doctor fails on a broken driver" 1 "$(FAKE_DRIVER=broken real status_of "$divvy" doctor)"
check_has "doctor: why" "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" "$out"
out=$(TENSOR_FUSION_CUDA_UP_LIMIT='{"0": -1}' "$divvy" doctor)
check_has "doctor: variables" "TENSOR_FUSION_CUDA_UP_LIMIT: byte 6: a negative limit" "$out"
check_has "doctor: another limiter" "another GPU limiter" "$(LD_PRELOAD=/opt/libvgpu.so "$divvy" doctor 2>/dev/null)"
check_has "doctor --json" '"verdict": "fail"' "$(DISABLE_GPU_LIMITER=1 "$divvy" doctor --json)"
printf 'not a library\n' >"$runtime/junk"
mv "$tree/lib/libcuda_limiter.so" "$runtime/limiter"
cp "$runtime/junk" "$tree/lib/libcuda_limiter.so"
check_has "doctor: a limiter that does not load" "FAIL  limiter" "$("$divvy" doctor)"
rm "$tree/lib/libcuda_limiter.so"
check_has "run without a limiter" "install it again" "$("$divvy" run --no-daemon --gpu sim -- true 2>&1)"
check "its status" 1 "$(status_of "$divvy" run --no-daemon --gpu sim -- true)"
mv "$runtime/limiter" "$tree/lib/libcuda_limiter.so"

# ---- help ----
for arguments in --help "run --help" "gpus --help" "doctor --help" "ps --help" "top --help" "set --help" \
    "freeze --help" "resume --help" "snapshot --help" "rm --help" "events --help" "help run" "help help" help --version; do
    # shellcheck disable=SC2086 # words on purpose
    out=$("$divvy" $arguments 2>"$runtime/errors")
    check "$arguments: status" 0 "$?"
    check "$arguments: on stdout only" "" "$(cat "$runtime/errors")"
    check "$arguments: fits 80 columns" "" "$(printf '%s\n' "$out" | awk 'length($0) > 80')"
done

# ---- no daemon ----
# None is installed in this tree, and none answers.
nobody="no divvyd answers at $runtime/divvy/divvyd.sock: start it with 'divvyd', or start a tenant with 'divvy run'"
for arguments in ps "ps --json" "top --once" "top --json" events "events --follow" "freeze x" "resume x" "snapshot x" "rm x" \
    "set x --soft"; do
    # shellcheck disable=SC2086 # words on purpose
    out=$("$divvy" $arguments 2>&1)
    check "$arguments without a daemon: status" 1 "$?"
    check "$arguments without a daemon: why" "divvy ${arguments%% *}: $nobody" "$out"
done
check "run goes on without, and says so" \
    "divvy run: no divvyd runs, and none is installed beside divvy; running without the daemon" \
    "$("$divvy" run --gpu sim -- true 2>&1)"
check "what needs a daemon fails without" 1 "$(status_of "$divvy" run --gpu sim --qos high -- true)"
check_has "and says so" "need the daemon: no divvyd runs" "$("$divvy" run --gpu sim --weight 7 -- true 2>&1)"
printf '#!/bin/sh\necho starting >&2\necho divvyd: no room on the moon >&2\nexit 1\n' >"$tree/bin/divvyd"
chmod +x "$tree/bin/divvyd"
check "a daemon that does not start is told with its last words" \
    "divvy run: divvyd does not start: divvyd: no room on the moon; running without the daemon" \
    "$("$divvy" run --gpu sim -- true 2>&1)"
rm "$tree/bin/divvyd"
check "--no-daemon excludes what needs it" 2 "$(status_of "$divvy" run --no-daemon --soft -- true)"

check "nothing is left in the end" 0 "$(left)"
summary
