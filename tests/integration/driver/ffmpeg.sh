#!/usr/bin/env bash
# ffmpeg.sh LIBRARY-FOLDER [SANITIZER]: a program that nobody here wrote opens the simulated device.
set -euo pipefail
command -v ffmpeg >/dev/null || { echo "skipped: no ffmpeg"; exit 77; }
[ -z "${2:-}" ] || { echo "skipped: ffmpeg cannot load a library built with a sanitizer"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export DIVVY_SIM_DIR=$dir LD_LIBRARY_PATH=$1
out=$(ffmpeg -hide_banner -v verbose -init_hw_device cuda=gpu:0 -f lavfi -i testsrc=size=64x64:duration=0.1 \
    -f null - 2>&1) || { echo "$out"; exit 1; }
if grep -qiE 'failed|cannot load|not supported' <<<"$out"; then
    echo "$out"
    exit 1
fi
