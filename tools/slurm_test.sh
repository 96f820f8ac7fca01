#!/usr/bin/env bash
# Usage: GPUS=8 GPUS_PER_NODE=8 bash tools/slurm_test.sh PARTITION CONFIG CHECKPOINT [arguments of test.py]
# GPUS counts the processes, of all machines together. GPUS_PER_NODE=0: without GPUs, one process a machine.
# Others: CPUS_PER_TASK=5, PORT (of the first machine), SRUN_ARGS='--time=08:00:00 --account=vision'
set -euo pipefail
. "$(dirname "$0")/slurm_flags.sh" 3 "$@"
exec srun -p "$1" "${flags[@]}" python -u "$(dirname "$0")/test.py" "$2" "$3" --launcher slurm "${@:4}"
