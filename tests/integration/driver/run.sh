#!/usr/bin/env bash
# run.sh PROGRAM LIBRARY-FOLDER: runs PROGRAM on a fresh simulated machine of its own.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER "${!DIVVY_SIM_@}"
export DIVVY_SIM_DIR=$dir DIVVY_SIM_DEVICES=2 LD_LIBRARY_PATH=$2
"$1"
