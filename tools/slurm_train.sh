#!/usr/bin/env bash
# Usage: GPUS=8 GPUS_PER_NODE=8 bash tools/slurm_train.sh PARTITION CONFIG [arguments of train.py]
# GPUS counts the processes, of all machines together. GPUS_PER_NODE=0: without GPUs, one process a machine.
# Others: CPUS_PER_TASK=5, PORT (of the first machine), SRUN_ARGS='--time=08:00:00 --account=vision'
set -euo pipefail
. "$(dirname "$0")/slurm_flags.sh" 2 "$@"
exec srun -p "$1" "${flags[@]}" python -u "$(dirname "$0")/train.py" "$2" --launcher slurm "${@:3}"
