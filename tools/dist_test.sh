#!/usr/bin/env bash
# Usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]
# On several machines, on each: NNODES=2 NODE_RANK=0 MASTER_ADDR=first.machine [PORT=29500] bash tools/dist_test.sh ...
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n 's/^# //p' "$0" >&2
    exit 2
fi
tools=$(dirname "$0")
exec python "$tools/launch.py" "$3" "$tools/test.py" "$1" "$2" --launcher pytorch "${@:4}"
