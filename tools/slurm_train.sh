#!/usr/bin/env bash
# Usage: GPUS=8 GPUS_PER_NODE=8 bash tools/slurm_train.sh PARTITION CONFIG [arguments of train.py]
# GPUS counts the processes, of all machines together. GPUS_PER_NODE=0: without GPUs, one process a machine.
# Others: CPUS_PER_TASK=5, PORT (of the first machine), SRUN_ARGS='--time=08:00:00 --account=vision'
set -euo pipefail
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-8}
if [ $# -lt 2 ] || ! [[ $gpus =~ ^[1-9][0-9]*$ && $per_node =~ ^[0-9]+$ ]]; then
    sed -n 's/^# //p' "$0" >&2
    exit 2
fi
gres=()
if [ "$per_node" -eq 0 ]; then
    per_node=1
else
    per_node=$((per_node < gpus ? per_node : gpus))
    gres=(--gres="gpu:$per_node")
fi
[ -z "${PORT:-}" ] || export MASTER_PORT=$PORT
tools=$(dirname "$0")
exec srun -p "$1" --nodes=$(((gpus + per_node - 1) / per_node)) --ntasks="$gpus" --ntasks-per-node="$per_node" \
    ${gres[@]+"${gres[@]}"} --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    python -u "$tools/train.py" "$2" --launcher slurm "${@:3}"
