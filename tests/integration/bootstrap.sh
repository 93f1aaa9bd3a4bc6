#!/usr/bin/env bash
# divvy bootstrap, and what its folders do to programs: those of glibc are limited, those of musl and static ones start unharmed,
# whether the loader is told by ld.so.preload or by LD_PRELOAD: bootstrap.sh BUILD
set -euo pipefail
build=$1
if [ "${2:-}" != --inside ]; then
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    export DIVVY_SIM_DIR=$place/sim XDG_RUNTIME_DIR=$place
    unset LD_PRELOAD LD_LIBRARY_PATH DIVVY_TENANT DIVVY_TENANT_DIR DISABLE_GPU_LIMITER RUN_INSIDE_GPU_NODE TENSOR_FUSION_CUDA_MEM_LIMIT
fi
failures=0
check() { # WHAT EXPECTED GOT
    [ "$2" != "$3" ] || return 0
    printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
}

# ---- in a container: the file at /etc/ld.so.preload, the libraries below their path ----

if [ "${2:-}" = --inside ]; then
    place=$3
    mount --bind "$place/etc" /etc
    check "a program of glibc: nothing to be seen" "out 0" "$(sh -c 'echo out' 2>&1 | tr '\n' ' ')$(/bin/true 2>&1; echo $?)"
    check "has both libraries" 2 "$(awk '{ print $6 }' /proc/self/maps | sort -u | grep -c "^$place/to/lib\(add_path\|cuda_limiter\).so$")"
    check "also with an empty environment" 2 \
        "$(env -i /usr/bin/awk '{ print $6 }' /proc/self/maps | sort -u | grep -c "^$place/to/lib\(add_path\|cuda_limiter\).so$")"
    export LD_LIBRARY_PATH=$build/lib/simgpu TENSOR_FUSION_CUDA_MEM_LIMIT='{"0": 1073741824}'
    check "a CUDA program: its limit" "alloc 536870912: 0 alloc 1073741824: 2" \
        "$("$build/tests/runner_program" alloc $((1 << 29)) alloc $((1 << 30)) 2>/dev/null | tr '\n' ' ' | sed 's/ $//')"
    unset LD_LIBRARY_PATH
    for one in musl static; do
        [ -x "$place/$one" ] || continue
        for how in file variable; do
            status=0
            if [ $how = variable ]; then said=$(LD_PRELOAD=$place/to/libcuda_limiter.so "$place/$one" word 2>&1) || status=$?
            else said=$("$place/$one" word 2>&1) || status=$?; fi
            check "$one, told by a $how" "7 word 1 none" "$status $said"
        done
    done
    [ $failures = 0 ]
    exit
fi

# ---- the command ----

mkdir "$place/to" "$place/conf" "$place/bin"
run() { PATH=$place/bin:/usr/bin:/bin "$build/bin/divvy" bootstrap --to "$place/to" --config "$place/conf" "$@"; }
printf '#!/bin/sh\necho smi\n' >"$place/bin/nvidia-smi"
chmod 755 "$place/bin/nvidia-smi"
check "the command" 0 "$(run --as /tensor-fusion >"$place/said" 2>&1; echo $?)"
check "the loader's file" "/tensor-fusion/libadd_path.so /tensor-fusion/libcuda_limiter.so " "$(tr '\n' ' ' <"$place/conf/ld.so.preload")"
check "the folder to search" /tensor-fusion "$(cat "$place/conf/zz_tensor-fusion.conf")"
check "what is there" "libadd_path.so libadd_path.so.1 libcuda_limiter.so libcuda_limiter.so.1 nvidia-smi " "$(find "$place/to" -mindepth 1 -printf '%f\n' | sort | tr '\n' ' ')"
check "links as programs name them" libcuda_limiter.so "$(readlink "$place/to/libcuda_limiter.so.1")"
check "modes" "755 755 644" "$(stat -c %a "$place/to/libcuda_limiter.so" "$place/to/nvidia-smi" "$place/conf/ld.so.preload" | tr '\n' ' ' | sed 's/ $//')"
check "the same bytes" 0 "$(cmp "$build/lib/libcuda_limiter.so" "$place/to/libcuda_limiter.so"; echo $?)"
# What programs have mapped stays; what a run that was killed has left is no hindrance.
ln "$place/to/libcuda_limiter.so" "$place/mapped"
touch "$place/to/.libcuda_limiter.so.new"
check "once more" 0 "$(run --json >"$place/json"; echo $?)"
check "replaced, not overwritten" yes "$([ "$place/mapped" -ef "$place/to/libcuda_limiter.so" ] || echo yes)"
check "nothing half done is left" '' "$(find "$place/to" "$place/conf" -name '*.new')"
check "as JSON" '/tensor-fusion/libcuda_limiter.so' "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["preload"][1])' "$place/json" 2>/dev/null || echo no JSON)"
pids=()
for _ in 1 2 3 4; do run >"$place/said" 2>&1 & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid" || { echo "FAILED: four at once: $(cat "$place/said")"; failures=$((failures + 1)); }; done
check "and all is whole" 0 "$(cmp "$build/lib/libcuda_limiter.so" "$place/to/libcuda_limiter.so"; echo $?)"
rm "$place/to/nvidia-smi"
RUN_INSIDE_GPU_NODE=true run >/dev/null
check "nvidia-smi only where it is wanted" no "$([ -e "$place/to/nvidia-smi" ] && echo yes || echo no)"
DISABLE_GPU_LIMITER=true run >/dev/null 2>"$place/said"
check "the emergency switch" "/tensor-fusion/libadd_path.so 1" "$(cat "$place/conf/ld.so.preload") $(wc -l <"$place/said")"
if [ ! -e "$build/lib/client/libcuda.so" ]; then
    check "no client to be had: said" 1 "$(run --remote 2>"$place/said" >/dev/null; echo $?)"
    check "in one line" 1 "$(grep -c 'client/libcuda.so' "$place/said")"
fi
for bad in "--as here" "--as /a:b" "--what" "word"; do
    # shellcheck disable=SC2086 # two words
    check "$bad" 2 "$(run $bad >/dev/null 2>&1; echo $?)"
done
check "no such folder" 1 "$("$build/bin/divvy" bootstrap --to "$place/nowhere" --config "$place/conf" 2>"$place/said"; echo $?)"
check "it is named" 1 "$(grep -c "$place/nowhere" "$place/said")"
check "no newer symbol of glibc is asked for than 2.17's" '' "$(objdump -T "$place"/to/*.so | grep -oE 'GLIBC_[0-9.]+' | sort -uV |
    awk -F '[_.]' '$2 * 1000 + $3 > 2017')"

# ---- containers ----

if [ "$(id -u)" != 0 ] || ! unshare --mount true 2>/dev/null; then
    echo "without namespaces: programs are not tried"
elif [ -e /etc/ld.so.preload ]; then
    echo "this machine has an ld.so.preload of its own: programs are not tried"
else
    run --as "$place/to" >/dev/null
    cp -a /etc "$place/etc"
    cp "$place/conf/ld.so.preload" "$place/etc/"
    cat >"$place/program.c" <<'END'
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    void *memory = malloc(100000);
#ifdef STATIC
    printf("%s %d none\n", argv[argc - 1], memory != NULL);
#else
    printf("%s %d %s\n", argv[argc - 1], dlsym(RTLD_DEFAULT, "printf") != NULL && memory,
           dlopen("libcuda.so.1", RTLD_NOW) ? "driver" : dlerror() ? "none" : "no reason");
#endif
    return 7;
}
END
    musl-gcc -O1 -o "$place/musl" "$place/program.c" 2>/dev/null || echo "no musl here: its programs are not tried"
    "${CC:-cc}" -DSTATIC -static -O1 -o "$place/static" "$place/program.c" 2>/dev/null || true
    unshare --mount "$0" "$build" --inside "$place" || failures=$((failures + 1))
fi
[ $failures = 0 ] || exit 1
echo "all well"
