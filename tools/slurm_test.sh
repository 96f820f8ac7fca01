#!/usr/bin/env bash
# Usage: GPUS=8 GPUS_PER_NODE=8 bash tools/slurm_test.sh PARTITION CONFIG CHECKPOINT [arguments of test.py]
set -euo pipefail
tools=$(dirname "$0")
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-8}
exec srun -p "$1" --gres="gpu:$per_node" --ntasks="$gpus" --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    python -u "$tools/test.py" "$2" "$3" --launcher slurm "${@:4}"
