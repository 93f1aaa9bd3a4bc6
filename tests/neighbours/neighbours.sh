#!/usr/bin/env bash
# The limiter beside other preloads, and in programs that have nothing to do with CUDA: neighbours.sh BUILD-FOLDER
set -u
build=$1
limiter=$build/lib/libcuda_limiter.so
here=$build/tests/neighbours
failures=0 checks=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DIVVY_SIM_DIR=$work/sim LC_ALL=C
unset LD_PRELOAD LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES DIVVY_TENANT DIVVY_TENANT_DIR DIVVY_LOG TENSOR_FUSION_CUDA_UP_LIMIT
[ -f "$limiter" ] || exit 77
limit=1073741824
export TENSOR_FUSION_CUDA_MEM_LIMIT="{\"0\": $limit}"

check() { # WHAT EXPECTED GOT
    checks=$((checks + 1))
    if [ "$2" != "$3" ]; then
        printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
        failures=$((failures + 1))
    fi
}

runs() { # PRELOADS CASE VALUE
    checks=$((checks + 1))
    LD_LIBRARY_PATH=$build/lib/simgpu LD_PRELOAD=$1 timeout 60 "$here/program" "$2" "${3:-}" || {
        echo "FAILED: $2 ${3:-} with LD_PRELOAD=$1"
        failures=$((failures + 1))
    }
}

one=$here/libwrap1.so two=$here/libwrap1000.so dlsym=$here/libhook_dlsym.so early=$here/libearly.so

# Wrappers in any order: every one is called once.
runs "$limiter" chain 0
for order in "$limiter:$one" "$one:$limiter"; do runs "$order" chain 1; done
for order in "$limiter:$one:$two" "$one:$limiter:$two" "$one:$two:$limiter" "$two:$limiter:$one"; do
    runs "$order" chain 1001
done
# A lookup in tail position, a jump and no call, is answered as the loader alone answers it.
next_of() { LD_LIBRARY_PATH=$build/lib/simgpu LD_PRELOAD=$1 timeout 60 "$here/program" tail 2>&1; }
for preloads in "$one" "$one:$two" "$two:$one"; do
    plain=$(next_of "$preloads")
    check "a lookup in tail position, $preloads" "$plain" "$(next_of "$limiter:$preloads")"
    check "a lookup in tail position, $preloads, limiter last" "$plain" "$(next_of "$preloads:$limiter")"
done
runs "$limiter" errors
for order in "$limiter:$dlsym" "$dlsym:$limiter"; do
    runs "$order" calls
    runs "$order" cuda $limit
done
for order in "$limiter:$early" "$early:$limiter"; do
    runs "$order" early
    runs "$order" cuda $limit
done
runs "$limiter:$one:$two:$dlsym:$early" cuda $limit
runs "$limiter" closes
runs "$limiter" manners

# Programs without CUDA: the same output, the same status, nothing of ours; also with limits that make no sense.
mkdir -p "$work/d"
touch "$work/d/a" "$work/d/b"
for value in "$TENSOR_FUSION_CUDA_MEM_LIMIT" '{' ''; do
    export TENSOR_FUSION_CUDA_MEM_LIMIT=$value
    for command in "ls -l $work/d" "ls /nonexistent" "sh -c 'exit 7'" "sh -c 'kill -9 \$\$'" "true" "false" "cat /dev/null" \
        "sh -c 'echo a | tr a b; (echo c)'" "env -i /bin/echo x" "awk 'BEGIN{print 1+1}'"; do
        plain=$(eval "$command" 2>&1; echo "status $?")
        preloaded=$(export LD_PRELOAD=$limiter; eval "$command" 2>&1; echo "status $?")
        check "$command" "$plain" "$preloaded"
    done
done

# Loading it does nothing that can be seen: no file, no thread, no mapping of its own beyond what the loader makes.
if command -v strace >/dev/null; then
    calls=$(LD_PRELOAD=$limiter strace -f -o "$work/trace" /bin/true && sed -n '/libcuda_limiter.so/,$p' "$work/trace" |
        grep -E 'clone|fork|socket|connect|nvidia|libcuda\.so|/proc/|/dev/shm|write\(' | grep -v limiter)
    check "system calls of /bin/true" "" "$calls"
fi

# musl: its loader takes no part in this.
if command -v musl-gcc >/dev/null; then
    printf '#include <stdio.h>\nint main(void){puts("musl");return 3;}\n' >"$work/m.c"
    musl-gcc -o "$work/m" "$work/m.c"
    check "a musl program" "$(printf 'musl\n3')" "$(LD_PRELOAD=$limiter "$work/m" 2>&1; echo $?)"
    musl-gcc -static -o "$work/ms" "$work/m.c"
    check "a static program" "$(printf 'musl\n3')" "$(LD_PRELOAD=$limiter "$work/ms" 2>&1; echo $?)"
else
    echo "no musl-gcc: musl programs not tested"
fi

echo "$checks checks, $failures failures"
[ $failures -eq 0 ]
