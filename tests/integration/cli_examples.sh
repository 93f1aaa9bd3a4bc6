#!/usr/bin/env bash
# The examples on the simulated GPU: alone, and as tenants of divvy run with limits. cli_examples.sh BUILD-FOLDER [SANITIZER]
# What a limit is worth in time is measured by the benches; here each of them must hold and show at all.
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
build=$1
sanitizer=${2-}
divvy=$build/bin/divvy
examples=$build/bin/examples

scratch=$(mktemp -d)
chmod 700 "$scratch"
trap 'rm -rf "$scratch"' EXIT
mkdir -m 700 "$scratch/sim"
export DIVVY_SIM_DIR=$scratch/sim XDG_RUNTIME_DIR=$scratch LC_ALL=C
unset LD_PRELOAD LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES DIVVY_TENANT
# Programs that end early with a message leave to the system what they hold.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0

succeeds() { # WHAT PART COMMAND...: status 0 and PART in the output
    local what=$1 part=$2 out status=0
    shift 2
    out=$("$@" 2>&1) || status=$?
    check "$what: status ($out)" 0 "$status"
    check_has "$what: output" "$part" "$out"
}

field() { # NAME TEXT: a number of the first JSON line
    printf '%s\n' "$2" | head -n 1 | grep -oE "\"$1\": [0-9.a-z]+" | head -n 1 | cut -d ' ' -f 2
}

# ---- alone ----
for example in vector_add saxpy matmul; do
    succeeds "$example" "all equal to the CPU's" "$examples/$example" --gpu sim
done
succeeds "vector_add, an odd size" "1013 elements" "$examples/vector_add" --gpu sim --size 1013
succeeds "matmul, not a multiple of the tile" "33 x 33" "$examples/matmul" --gpu sim --size 33
succeeds "throughput" "in all" "$examples/throughput" --gpu sim --seconds 1 --kernel-us 2000
for way in "--launch ex" "--launch cooperative" "--graph 5" "--streams 3"; do
    # shellcheck disable=SC2086 # words on purpose
    succeeds "throughput $way" "in all" "$examples/throughput" --gpu sim --seconds 1 --kernel-us 1000 $way
done
out=$("$examples/throughput" --gpu sim --memory 8XB 2>&1)
check "bad input of an example" 2 "$?"
check_has "its message" "--memory 8XB: character 2" "$out"

finish() {
    echo "$checks checks, $failures failed"
    [ "$failures" -eq 0 ]
    exit
}

# A sanitized limiter cannot be preloaded: the sanitizer's own library would have to come first.
if [ -n "$sanitizer" ]; then
    echo "a $sanitizer build: examples alone, not as tenants"
    finish
fi

# ---- as tenants, without a daemon (cli_daemon.sh has one) ----
tenant() { "$divvy" run --no-daemon --gpu sim --memory 2GiB --compute 50% -- "$@"; }
for example in vector_add saxpy matmul; do
    succeeds "$example as a tenant" "all equal to the CPU's" tenant "$examples/$example"
done
out=$(tenant "$examples/throughput" --json --seconds 1 --memory 1GiB --attempt 1537MiB 2>&1)
check "a tenant sees a device of its size" $((2 << 30)) "$(field memory_total_bytes "$out")"
check "what does not fit beside what it holds is refused" true "$(field attempt_refused "$out")"
out=$(tenant "$examples/throughput" --json --seconds 1 --attempt 2GiB 2>&1)
check_has "a tenant's whole size may be asked for" '"attempt_refused"' "$out"
out=$(tenant "$examples/throughput" --seconds 1 --memory 2049MiB 2>&1)
check "a tenant that insists fails" 1 "$?"
check_has "with the driver's error" "CUDA_ERROR_OUT_OF_MEMORY" "$out"
out=$("$divvy" run --no-daemon --gpu sim --compute 20% -- "$examples/throughput" --json --seconds 2 2>&1 | tail -n 1)
share=$(field share "$out")
check "a limited tenant gets less than the device ($share)" yes "$(awk -v s="$share" 'BEGIN { print ((s > 0 && s < 0.6) ? "yes" : "no") }')"
check "nothing is left" "" "$(find "$scratch/divvy/alone" -mindepth 1)"

# ---- a mistyped limit never means none ----
out=$(TENSOR_FUSION_CUDA_MEM_LIMIT='{"0": "2G"}' LD_PRELOAD=$build/lib/libcuda_limiter.so \
    "$examples/vector_add" --gpu sim 2>&1)
check "a mistyped limit stops the program" 1 "$?"
check_has "the variable is named" "TENSOR_FUSION_CUDA_MEM_LIMIT" "$out"
check_has "the driver's error" "CUDA_ERROR_NOT_PERMITTED" "$out"

succeeds "divvy gpus shows the simulated GPU" "simulated" "$divvy" gpus --gpu sim
# ---- a simulated GPU that cannot be made says why ----
out=$(DIVVY_SIM_DIR=$scratch/other DIVVY_SIM_MEMORY=much "$divvy" gpus --gpu sim 2>&1)
check "divvy gpus, a size that is none" 1 "$?"
check_has "its variable is named" "DIVVY_SIM_MEMORY=much: want a size" "$out"
check "in one line" 1 "$(printf '%s\n' "$out" | wc -l)"

succeeds "divvy doctor is content" "ok    limiter" "$divvy" doctor

finish
