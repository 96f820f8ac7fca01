#!/usr/bin/env bash
# Usage: GPUS=8 GPUS_PER_NODE=8 bash tools/slurm_train.sh PARTITION CONFIG [arguments of train.py]
set -euo pipefail
tools=$(dirname "$0")
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-8}
exec srun -p "$1" --gres="gpu:$per_node" --ntasks="$gpus" --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    python -u "$tools/train.py" "$2" --launcher slurm "${@:3}"
