#!/bin/sh
# libadd_path.so preloaded into real programs: addpath.sh PATH-OF-THE-LIBRARY [SANITIZER]
set -u
library=$1
if [ -n "${2-}" ]; then
    echo "a sanitized library cannot be preloaded into programs that are not"
    exit 77
fi
failures=0

expect() { # WHAT EXPECTED GOT
    if [ "$2" != "$3" ]; then
        printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
        failures=$((failures + 1))
    fi
}

# clean VARIABLE=VALUE... -- COMMAND: runs it with only these variables and the preload.
clean() {
    env -i PATH=/usr/bin:/bin LD_PRELOAD="$library" "$@"
}

line() { # NAME TEXT: the line of this variable
    printf '%s\n' "$2" | grep "^$1="
}

# The four commands of vgpu.rs' manual.
out=$(env -i PATH=/home/user/bin:/usr/local/sbin:/usr/bin:/bin LD_PRELOAD="$library" \
    /bin/sh -c "TF_PATH=/usr/custom/bin env | grep PATH")
expect "TF_PATH appends" "PATH=/home/user/bin:/usr/local/sbin:/usr/bin:/bin:/usr/custom/bin" \
    "$(line PATH "$out")"
out=$(clean /bin/sh -c "TF_LD_PRELOAD=/path/to/custom.so env | grep LD_PRELOAD" 2>/dev/null)
expect "TF_LD_PRELOAD appends" "LD_PRELOAD=$library:/path/to/custom.so" "$(line LD_PRELOAD "$out")"
out=$(clean LD_LIBRARY_PATH=/usr/lib64:/lib64 \
    /bin/sh -c "TF_LD_LIBRARY_PATH=/usr/local/cuda/lib64 env | grep LD_LIBRARY_PATH")
expect "TF_LD_LIBRARY_PATH appends" "LD_LIBRARY_PATH=/usr/lib64:/lib64:/usr/local/cuda/lib64" \
    "$(line LD_LIBRARY_PATH "$out")"
out=$(clean /bin/sh -c "TF_PREPEND_PATH=/opt/custom/bin env | grep PATH")
expect "TF_PREPEND_PATH prepends" "PATH=/opt/custom/bin:/usr/bin:/bin" "$(line PATH "$out")"

out=$(clean TF_PREPEND_LD_LIBRARY_PATH=/a:/b LD_LIBRARY_PATH=/c env)
expect "TF_PREPEND_LD_LIBRARY_PATH" "LD_LIBRARY_PATH=/a:/b:/c" "$(line LD_LIBRARY_PATH "$out")"
out=$(clean TF_PREPEND_LD_PRELOAD=/first.so env 2>/dev/null)
expect "TF_PREPEND_LD_PRELOAD" "LD_PRELOAD=/first.so:$library" "$(line LD_PRELOAD "$out")"
out=$(env -i LD_PRELOAD="$library" TF_PATH=/only /usr/bin/env)
expect "an unset target is set" "PATH=/only" "$(line PATH "$out")"
out=$(env -i PATH= LD_PRELOAD="$library" TF_PATH=/only /usr/bin/env)
expect "an empty target is set" "PATH=/only" "$(line PATH "$out")"
out=$(env -i LD_PRELOAD="$library" TF_PATH=/p TF_LD_LIBRARY_PATH=/l TF_PREPEND_PATH=/q /usr/bin/env)
expect "several new variables: PATH" "PATH=/q:/p" "$(line PATH "$out")"
expect "several new variables: LD_LIBRARY_PATH" "LD_LIBRARY_PATH=/l" "$(line LD_LIBRARY_PATH "$out")"
out=$(clean TF_PATH= env)
expect "an empty value changes nothing" "PATH=/usr/bin:/bin" "$(line PATH "$out")"
out=$(clean TF_PATH=/app TF_PREPEND_PATH=/pre env)
expect "both ends" "PATH=/pre:/usr/bin:/bin:/app" "$(line PATH "$out")"
before=$(env -i A=1 PATH=/usr/bin:/bin B=2 LD_PRELOAD="$library" /usr/bin/env)
expect "without its variables nothing changes" "A=1
PATH=/usr/bin:/bin
B=2
LD_PRELOAD=$library" "$before"

# Five nested programs, each with the library: the list does not grow after the first.
out=$(clean TF_PATH=/a:/b TF_PREPEND_PATH=/c:/d \
    sh -c 'exec env sh -c "exec env sh -c \"env sh -c env\""')
expect "five nested programs" "PATH=/c:/d:/usr/bin:/bin:/a:/b" "$(line PATH "$out")"
out=$(clean TF_LD_PRELOAD=/nowhere/x.so:/nowhere/y.so \
    sh -c 'exec env sh -c "exec env sh -c \"env sh -c env\""' 2>/dev/null)
expect "five nested programs, LD_PRELOAD" "LD_PRELOAD=$library:/nowhere/x.so:/nowhere/y.so" \
    "$(line LD_PRELOAD "$out")"

# The program itself sees the change, also shells that bring a getenv() and setenv() of their own.
for shell in sh dash bash; do
    command -v "$shell" >/dev/null || continue
    # shellcheck disable=SC2016 # the inner shell expands it
    expect "$shell itself sees it" "/pre:/usr/bin:/bin:/app" \
        "$(clean TF_PATH=/app TF_PREPEND_PATH=/pre "$shell" -c 'echo "$PATH"')"
done
if command -v python3 >/dev/null; then
    # shellcheck disable=SC2016 # the inner program expands it
    expect "python sees it and passes on what it changes" "True /new:/app" \
        "$(clean TF_PATH=/app "$(command -v python3)" -c '
import os
seen = os.environ["PATH"].endswith("/usr/bin:/bin:/app")
os.environ["PATH"] = "/new"
print(seen, os.popen("echo $PATH").read().strip())')"
fi

# It says nothing, whatever it is loaded into.
expect "silence" "" "$(clean TF_PATH=/app /bin/true 2>&1)"

[ "$failures" -eq 0 ] && echo "all passed"
exit "$((failures > 0))"
