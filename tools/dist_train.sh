#!/usr/bin/env bash
# Usage: bash tools/dist_train.sh CONFIG GPUS [arguments of train.py]
set -euo pipefail
tools=$(dirname "$0")
exec torchrun --standalone --nproc_per_node "$2" "$tools/train.py" "$1" --launcher pytorch "${@:3}"
