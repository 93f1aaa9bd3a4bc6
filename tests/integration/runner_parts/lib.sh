# shellcheck shell=bash
# Shared by the tests of the runner: a simulated machine of their own, checks, and starting runners. Sourced with the
# arguments RUNNER PROGRAM SANITIZERS.
# shellcheck disable=SC2034 # used by those who source this
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
runner=$1 program=$2 sanitized=${3:-}
place=$(mktemp -d)
locks=$place/locks/mig # made by the runner, with its parents
export XDG_RUNTIME_DIR=$place/run DIVVY_SIM_DIR=$place/sim DIVVY_SIM_MODEL=H100 DIVVY_SIM_MIG='3*1g.10gb'
export HC_MIG_LOCK_DIR=$locks LC_ALL=C PYTHONDONTWRITEBYTECODE=1
mkdir -m 700 "$XDG_RUNTIME_DIR"
unset LD_PRELOAD LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES DIVVY_TENANT HC_MIG_PROFILE HC_MIG_TTL HC_DEBUG MODEL_ID \
    HYPERCORE_VRAM_LIMIT_BYTES HYPERCORE_CPU_MEM_MB HYPERCORE_PREFETCH HYPERCORE_DISABLE_SHIM
# A limiter that was built with a sanitizer cannot be preloaded into programs that were not.
[ -z "$sanitized" ] || export HYPERCORE_DISABLE_SHIM=1
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0:verify_asan_link_order=0
started=()
tidy() {
    [ ${#started[@]} = 0 ] || kill -9 "${started[@]}" 2>/dev/null
    rm -rf "$place"
}
trap tidy EXIT

check_match() { # WHAT PATTERN TEXT: an extended regular expression for one of the lines
    checks=$((checks + 1))
    if ! printf '%s\n' "$3" | grep -qE "$2"; then
        printf 'FAILED: %s\n  expected to match: %s\n  got: %s\n' "$1" "$2" "$3"
        failures=$((failures + 1))
    fi
}

# run ARGUMENT...: the runner in the foreground without metrics; its output in $out, its log in $log, its status in $status.
run() {
    status=0
    out=$("$runner" --simulate --metrics off "$@" 2>"$place/log") || status=$?
    log=$(cat "$place/log")
}

# start NAME ARGUMENT...: the same in the background; its pid in $pid, its output in the files $place/NAME.out and .log.
start() {
    local name=$1
    shift
    # A shell starts what it puts into the background with these ignored.
    env --default-signal=INT,QUIT "$runner" --simulate --instance "$name" "$@" >"$place/$name.out" 2>"$place/$name.log" &
    pid=$!
    started+=("$pid")
}

# soon COMMAND...: waits until it succeeds, at most twenty seconds.
soon() { until_true 20 "$@" >/dev/null 2>&1; }

end_of() { # PID: waits for it; how it ended is in $status
    status=0
    wait "$1" 2>/dev/null || status=$?
}

held() { find "$locks" -name '*.lock' 2>/dev/null | wc -l; }

finish() {
    echo "$checks checks, $failures failed"
    [ "$failures" = 0 ]
}
