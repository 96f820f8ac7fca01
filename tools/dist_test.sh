#!/usr/bin/env bash
# Usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]
set -euo pipefail
tools=$(dirname "$0")
exec torchrun --standalone --nproc_per_node "$3" "$tools/test.py" "$1" "$2" --launcher pytorch "${@:4}"
