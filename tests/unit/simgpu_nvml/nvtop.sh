#!/bin/sh
# nvtop, which nobody here wrote, on the simulated NVML: it shows the device and a process that uses it.
#
# usage: nvtop.sh LIBRARY_FOLDER GUEST_PROGRAM     (ends with 77 where nvtop or script is not installed)
set -eu
libraries=$1 guest=$2
command -v nvtop >/dev/null || { echo "skip: nvtop is not installed"; exit 77; }
command -v script >/dev/null || { echo "skip: script (bsdutils) is not installed"; exit 77; }
room=$(mktemp -d)
export DIVVY_SIM_DIR="$room/sim" HOME="$room" TERM=xterm LC_ALL=C.UTF-8
mkdir "$DIVVY_SIM_DIR"
trap 'exec 8>&-; wait; rm -rf "$room"' EXIT

# 3 GB for as long as the pipe stays open, and 50 ms of work
mkfifo "$room/door" "$room/ready"
"$guest" guest 0 3000000000 50000000 <"$room/door" 9>"$room/ready" &
pid=$!
exec 8>"$room/door"
head -c 1 "$room/ready" >/dev/null

(sleep 3; printf q) | LD_LIBRARY_PATH="$libraries" timeout 30 \
    script -qec "stty cols 160 rows 40 && exec nvtop" /dev/null >"$room/screen" 2>&1 || true
failed=0
# the name may be split by cursor movements, the words are not
for word in H200 "$pid" 2861MiB 141.000Gi; do
    grep -aq -- "$word" "$room/screen" || { echo "FAILED: nvtop does not show $word"; failed=1; }
done
[ "$failed" = 0 ] && echo "nvtop shows the device, process $pid and its memory"
exit "$failed"
