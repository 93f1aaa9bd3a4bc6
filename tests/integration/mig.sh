#!/usr/bin/env bash
# divvy mig and the discovery example as their users run them: mig.sh DIVVY MIG_DISCOVERY FOLDER-OF-FAKE-NVML
set -euo pipefail
divvy=$1 discovery=$2 fake=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HC_MIG_LOCK_DIR=$folder/locks FAKE_MIG='H100:1g.10gb,-,-,2g.20gb,1g.10gb;H200:off'
unset HC_MIG_PROFILE HC_MIG_TTL FAKE_MIG_FAIL FAKE_MIG_NAMES FAKE_MIG_LEGACY FAKE_MIG_STATE CUDA_VISIBLE_DEVICES || true
first=MIG-b0000000-0000-5555-6666-777777777777
second=MIG-b0000004-0000-5555-6666-777777777777
big=MIG-b0000003-0000-5555-6666-777777777777

bad=0
fail() {
    echo "FAIL: $*"
    bad=1
}
# expect STATUS WORDS COMMAND...: its exit status, and words in what it says on stdout or stderr.
expect() {
    local status=0 wanted=$1 words=$2
    shift 2
    LD_LIBRARY_PATH=$fake "$@" >"$folder/out" 2>"$folder/err" </dev/null || status=$?
    [ "$status" = "$wanted" ] || fail "$*: status $status instead of $wanted: $(cat "$folder/err")"
    [ -z "$words" ] || grep -qF -e "$words" "$folder/out" "$folder/err" || fail "$*: no '$words' in: $(cat "$folder/out" "$folder/err")"
}

# The line of each parent and instance; holes are skipped.
expect 0 '' "$divvy" mig list
cat >"$folder/wanted" <<END
GPU 0: UUID=GPU-a0000000-1111-2222-3333-444444444444, Memory=85520809984B, MIG=false, Profile=~81559 MB
GPU 0: UUID=$first, Memory=10468982784B, MIG=true, Profile=1g.10gb
GPU 0: UUID=$big, Memory=21072183296B, MIG=true, Profile=2g.20gb
GPU 0: UUID=$second, Memory=10468982784B, MIG=true, Profile=1g.10gb
GPU 1: UUID=GPU-a0000001-1111-2222-3333-444444444444, Memory=150754820096B, MIG=false, Profile=~143771 MB
END
diff "$folder/wanted" "$folder/out" || fail "divvy mig list"
expect 0 "Reserved: $first" "$discovery"
head -n 5 "$folder/out" | diff "$folder/wanted" - || fail "mig_discovery"
expect 0 "Reserved: $big" "$discovery" 2g.20gb
HC_MIG_PROFILE=custom.12000 expect 0 "Reserved: $big" "$discovery"
expect 1 "9z.1gb" "$discovery" 9z.1gb
[ -z "$(find "$folder/locks" -type f)" ] || fail "locks are left"

# Nothing runs nvidia-smi, nor anything else.
if command -v strace >/dev/null 2>&1 && strace -o "$folder/trace" true 2>/dev/null; then
    unleaky=${ASAN_OPTIONS-}:detect_leaks=0 # leaks cannot be looked for under strace
    ASAN_OPTIONS=$unleaky LD_LIBRARY_PATH=$fake strace -f -e trace=execve,execveat -o "$folder/trace" "$divvy" mig list >/dev/null
    [ "$(grep -c 'execve' "$folder/trace")" = 1 ] || fail "divvy mig list starts programs: $(cat "$folder/trace")"
    ASAN_OPTIONS=$unleaky LD_LIBRARY_PATH=$fake strace -f -e trace=execve,execveat -o "$folder/trace" "$discovery" >/dev/null </dev/null
    [ "$(grep -c 'execve' "$folder/trace")" = 1 ] || fail "mig_discovery starts programs: $(cat "$folder/trace")"
fi

# For the shell that calls: until it gives it back, or ends.
expect 0 "$first" "$divvy" mig reserve 1g.10gb
grep -qE '^pid=[0-9]+ ts=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$' "$folder/locks/$first.lock" || fail "content of a lock"
[ "$(stat -c %a "$folder/locks/$first.lock") $(stat -c %a "$folder/locks")" = "644 755" ] || fail "modes of locks"
grep -q "^pid=$$ " "$folder/locks/$first.lock" || fail "the lock is not this shell's: $(cat "$folder/locks/$first.lock")"
expect 0 "$second" "$divvy" mig reserve 1g.10gb --json
expect 75 "are taken" "$divvy" mig reserve 1g.10gb
expect 75 "in time" "$divvy" mig reserve 1g.10gb --wait=50ms
expect 0 "$big" "$divvy" mig reserve 1g.10gb --bigger
expect 0 '"state": "named"' "$divvy" mig status --json
expect 0 named "$divvy" mig status
expect 1 "not reserved for process" "$divvy" mig release "$big" --pid 1
expect 0 '' "$divvy" mig release "$first" "$second" "$big"
expect 1 "is not reserved" "$divvy" mig release "$first"
expect 0 "$first" bash -c "'$divvy' mig reserve 1g.10gb; :" # its shell has ended
expect 0 dead "$divvy" mig status
expect 0 "$first" "$divvy" mig reserve 1g.10gb # and so it is free
expect 0 '' "$divvy" mig release "$first"

# For a program: with the variable set, its status, and the kernel's lock while it runs.
# shellcheck disable=SC2016 # it is the program's variable
expect 7 "on $first" "$divvy" mig reserve 1g.10gb -- bash -c 'echo "on $CUDA_VISIBLE_DEVICES"; exit 7'
expect 0 held "$divvy" mig reserve 1g.10gb -- "$divvy" mig status
expect 75 "itself: end that" "$divvy" mig reserve 1g.10gb -- "$divvy" mig release "$first"
expect 127 "cannot start" "$divvy" mig reserve 1g.10gb -- "$folder/none"
expect 126 "cannot start" "$divvy" mig reserve 1g.10gb -- "$folder"
expect 0 "$second" "$divvy" mig reserve 1g.10gb --instance "$second"
expect 0 '' "$divvy" mig release "$second"

# A program's lock has a heartbeat, and stays while anything that it started lives; then nothing is left.
# shellcheck disable=SC2016
HC_MIG_TTL=150ms expect 0 '' "$divvy" mig reserve 1g.10gb -- bash -c 'file=$HC_MIG_LOCK_DIR/$CUDA_VISIBLE_DEVICES.lock
    touch -d "1 hour ago" "$file"; for _ in {1..100}; do sleep 0.05; [ $(($(date +%s) - $(stat -c %Y "$file"))) -gt 60 ] || exit 0; done; exit 1'
for _ in {1..100}; do [ -e "$folder/locks/$first.lock" ] || break; sleep 0.05; done
[ ! -e "$folder/locks/$first.lock" ] || fail "the lock file of a program that has ended is left"
# shellcheck disable=SC2016
expect 0 '' "$divvy" mig reserve 1g.10gb -- bash -c 'sleep 30 >/dev/null 2>&1 & echo $! >'"$folder/left"
expect 0 '"state": "held"' "$divvy" mig status --json
kill "$(cat "$folder/left")"
for _ in {1..100}; do [ -e "$folder/locks/$first.lock" ] || break; sleep 0.05; done
[ ! -e "$folder/locks/$first.lock" ] || fail "the lock file of what a program left is left"

# What is wrong is said.
expect 2 "profiles here: 1g.10gb, 2g.20gb" "$divvy" mig reserve custom.x
expect 2 "9z.1gb" "$divvy" mig reserve 9z.1gb
expect 1 "profiles here: 1g.10gb, 2g.20gb" "$divvy" mig reserve 7g.80gb
expect 2 "no GPU '5'" "$divvy" mig reserve 1g.10gb --gpu 5
expect 2 "" "$divvy" mig reserve
expect 2 "" "$divvy" mig reserve 1g.10gb --wait=ten
expect 2 "" "$divvy" mig reserve 1g.10gb --create
expect 2 "nothing that can be done" "$divvy" mig steal
expect 2 "absolute path" "$divvy" mig reserve 1g.10gb --locks relative
HC_MIG_TTL=soon expect 0 "HC_MIG_TTL='soon' is no duration" "$divvy" mig reserve 1g.10gb
expect 0 '' "$divvy" mig release "$first"
for ttl in 10m 90s 1h30m; do
    HC_MIG_TTL=$ttl expect 0 "$first" "$divvy" mig reserve 1g.10gb
    [ ! -s "$folder/err" ] || fail "HC_MIG_TTL=$ttl: $(cat "$folder/err")"
    expect 0 '' "$divvy" mig release "$first"
done
FAKE_MIG=H100:off expect 1 "MIG mode" "$divvy" mig reserve 1g.10gb
FAKE_MIG_FAIL=nvmlInit_v2=9 expect 1 "Driver Not Loaded" "$divvy" mig list
fake=/nowhere expect 1 "no NVML here" "$divvy" mig list
ln -s "$folder/locks" "$folder/link"
expect 1 "symbolic link" "$divvy" mig reserve 1g.10gb --locks "$folder/link"

# The simulated GPU: creation on demand, and what is left by the dead.
sim=(env DIVVY_SIM_DIR="$folder/sim" DIVVY_SIM_MODEL=H100 DIVVY_SIM_MIG="2g.20gb")
expect 0 "" "${sim[@]}" "$divvy" mig reserve 2g.20gb --gpu sim -- "${sim[@]}" "$divvy" mig reserve 2g.20gb --gpu sim --create -- \
    "${sim[@]}" "$divvy" mig list --gpu sim
[ "$(grep -c 'MIG=true, Profile=2g.20gb' "$folder/out")" = 2 ] || fail "no instance was created: $(cat "$folder/out")"
for _ in {1..100}; do
    expect 0 "" "${sim[@]}" "$divvy" mig list --gpu sim
    [ "$(grep -c 'MIG=true' "$folder/out")" != 1 ] || break
    sleep 0.05
done
[ "$(grep -c 'MIG=true' "$folder/out")" = 1 ] || fail "what was created is left: $(cat "$folder/out")"
expect 0 "0 destroyed" "${sim[@]}" "$divvy" mig release --orphans --gpu sim

exit $bad
