#!/usr/bin/env bash
# The examples of Hypercore's document, typed as they stand there, on a machine with the right slices:
# runner_examples.sh RUNNER PROGRAM SANITIZERS
# /opt/models and /var/run are the document's own paths: they are replaced in a mount namespace of this test.
# shellcheck disable=SC2030,SC2031 # each example has a shell, and so an environment, of its own
if [ "${1:-}" != --inside ]; then
    command -v python3 >/dev/null || { echo "python3 is not here"; exit 77; }
    unshare -m true 2>/dev/null || { echo "no mount namespace can be had"; exit 77; }
    exec unshare -m "$0" --inside "$@"
fi
shift
. "$(dirname "$0")/runner_parts/lib.sh"
unset HC_MIG_LOCK_DIR
mount -t tmpfs tmpfs /opt && mount -t tmpfs tmpfs /run || exit 77
[ "$(readlink -f /var/run)" = /run ] || mount --bind /run /var/run || exit 77
mkdir -p /opt/models "$place/tree"
ln -s "$(dirname "$runner")" "$place/tree/bin"
cd "$place/tree" || exit 1
for model in server small large custom; do
    cat >/opt/models/$model.py <<'EOF'
import os
print(os.environ.get("MODEL_ID", "-"), os.environ.get("CUDA_VISIBLE_DEVICES", "-"), os.environ.get("HYPERCORE_PREFETCH", "-"),
      os.environ.get("HYPERCORE_VRAM_LIMIT_BYTES", "-"))
EOF
done
# The driver's libraries, found as on any machine.
LD_LIBRARY_PATH=$(cd "$(dirname "$runner")/../lib/simgpu" && pwd)
export LD_LIBRARY_PATH
export DIVVY_SIM_DEVICES=2 DIVVY_SIM_MODEL='A100-40GB,H100' DIVVY_SIM_MIG='1g.5gb,1g.5gb;1g.10gb,2g.20gb,4g.40gb'

slice_of() { sed -nE 's/.*running on slice (MIG-[^ ]+) of GPU ([0-9]+): ([^,]+),.*/\3/p' "$place/log"; }

# --- Configuration, Basic MIG Usage
(
    export HC_MIG_PROFILE="1g.10gb"  # or "2g.20gb", "4g.40gb", "custom.10240"
    export HC_MIG_TTL="10m"
    export HYPERCORE_VRAM_LIMIT_BYTES="10737418240"  # 10GB
    export HYPERCORE_CPU_MEM_MB="2048"
    export CUDA_VISIBLE_DEVICES="0"  # Will be overridden with MIG UUID
    ./bin/runner --target python3 --args /opt/models/server.py
) >"$place/out" 2>"$place/log"
check "basic: status" 0 $?
check_match "basic: a slice" '^- MIG-[0-9a-f-]+ - 10737418240$' "$(cat "$place/out")"
check "basic: the profile" 1g.10gb "$(slice_of)"

# --- Multiple Runners with Different Profiles
(
    export HC_MIG_PROFILE="1g.5gb"
    export MODEL_ID="small-model"
    ./bin/runner --target python3 --args /opt/models/small.py
) >"$place/out" 2>"$place/log"
check_match "small model" '^small-model MIG-' "$(cat "$place/out")"
check "small model: the profile" 1g.5gb "$(slice_of)"
(
    export HC_MIG_PROFILE="2g.20gb"
    export MODEL_ID="large-model"
    ./bin/runner --target python3 --args /opt/models/large.py
) >"$place/out" 2>"$place/log"
check_match "large model" '^large-model MIG-' "$(cat "$place/out")"
check "large model: the profile" 2g.20gb "$(slice_of)"

# --- Custom Memory Profile: the smallest that holds 8 GiB
(
    export HC_MIG_PROFILE="custom.8192"
    ./bin/runner --target python3 --args /opt/models/custom.py
) >"$place/out" 2>"$place/log"
check "custom memory" 1g.10gb "$(slice_of)"

# --- Fallback to Whole GPU
(
    export HC_MIG_PROFILE="1g.10gb"  # Will try MIG first
    export CUDA_VISIBLE_DEVICES="0"  # Fallback device
    export DIVVY_SIM_DIR=$place/whole DIVVY_SIM_MIG='off' # a machine without slices
    ./bin/runner --target python3 --args /opt/models/server.py
) >"$place/out" 2>"$place/log"
check "fallback: the device that was set" "- 0 - -" "$(cat "$place/out")"
check_has "fallback: said" "whole GPU" "$(cat "$place/log")"

# --- Testing Reservation
(
    export HC_MIG_PROFILE="1g.10gb"
    ./bin/runner --target echo --args "MIG device reserved"
) >"$place/out" 2>"$place/log"
check "reservation" "MIG device reserved" "$(cat "$place/out")"
(
    export HC_MIG_PROFILE="1g.10gb"
    ./bin/runner --target ls --args "-la /var/run/hypercore/mig/"
) >"$place/out" 2>"$place/log"
check_match "lock files while it runs" 'MIG-[0-9a-f-]+\.lock$' "$(cat "$place/out")"
# shellcheck disable=SC2010,SC2012 # as the document has it
check "and none behind it" 0 "$(ls -la /var/run/hypercore/mig/ | grep -c '\.lock$')"

# --- Troubleshooting: Permission denied for lock files
rm -rf /var/run/hypercore
sudo() { "$@"; }
sudo mkdir -p /var/run/hypercore/mig
sudo chmod 755 /var/run/hypercore/mig
(
    export HC_MIG_PROFILE="4g.40gb"
    ./bin/runner --target true
) >"$place/out" 2>"$place/log"
check "a folder made by hand" 4g.40gb "$(slice_of)"

# --- Debug Mode
(
    export HC_DEBUG=1
    export HC_MIG_PROFILE="1g.10gb"
    ./bin/runner --target python3 --args /opt/models/server.py
) >"$place/out" 2>"$place/log"
check_has "debug mode" " debug " "$(cat "$place/log")"

# --- Performance Tips
(
    export HYPERCORE_PREFETCH=1
    export HYPERCORE_VRAM_LIMIT_BYTES=$((2*1024*1024*1024))  # 2GB
    ./bin/runner --target python3 --args /opt/models/server.py
) >"$place/out" 2>"$place/log"
check "for better latency" "- - 1 2147483648" "$(cat "$place/out")"

finish
