# For slurm_train.sh and slurm_test.sh, which read it: `flags` of srun, by the environment variables that they name.
# After the number of arguments that the script needs stand those that it got; where they or a variable do not fit, it
# prints the script's own head and ends.
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-8}
if [ $(($# - 1)) -lt "$1" ] || ! [[ $gpus =~ ^[1-9][0-9]*$ && $per_node =~ ^[0-9]+$ ]]; then
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
# shellcheck disable=SC2206 # SRUN_ARGS is a list of words
flags=(--nodes=$(((gpus + per_node - 1) / per_node)) --ntasks="$gpus" --ntasks-per-node="$per_node"
    ${gres[@]+"${gres[@]}"} --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-})
