#!/usr/bin/env bash
# Usage: bash tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# On several machines, on each: NNODES=2 NODE_RANK=0 MASTER_ADDR=first.machine [PORT=29500] bash tools/dist_train.sh ...
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n 's/^# //p' "$0" >&2
    exit 2
fi
tools=$(dirname "$0")
exec python "$tools/launch.py" "$2" "$tools/train.py" "$1" --launcher pytorch "${@:3}"
