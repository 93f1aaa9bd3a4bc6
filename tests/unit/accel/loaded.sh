#!/usr/bin/env bash
# What an accelerator library does to a host that loads it, from its symbols: tests/unit/accel/loaded.sh LIBRARY...
# No constructor that starts a thread or opens a driver, nothing written, and the host never ended.
set -euo pipefail
command -v nm >/dev/null && command -v objdump >/dev/null || { echo "nm and objdump are needed"; exit 77; }

bad=0
for library in "$@"; do
    name=$(basename "$library")
    for symbol in $(nm -D --undefined-only "$library" | awk '{ print $NF }' | sed 's/@.*//'); do
        case $symbol in
        *printf* | puts | fputs | putchar | fwrite | perror | stdout | stderr | pthread_create | exit | _exit | abort | atexit | \
            signal | sigaction | setenv | unsetenv | putenv | chdir | umask | fork | execve | system | __assert_fail)
            echo "$name uses $symbol"
            bad=1
            ;;
        esac
    done
    # frame_dummy of the C runtime is the only one
    size=$(objdump -h "$library" | awk '$2 == ".init_array" { print $3 }')
    [ -z "$size" ] || [ $((16#$size)) -le 8 ] || { echo "$name has constructors"; bad=1; }
    if nm -D --defined-only "$library" | awk '{ print $NF }' | grep -qx 'VGPUInit'; then
        echo "$name exports VGPUInit"
        bad=1
    fi
done
exit $bad
