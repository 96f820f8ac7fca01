#!/usr/bin/env bash
# The tests of text, configs and folders under several versions of transformers, each in an environment of its own.
#
# Usage: bash tools/test_transformers.sh [VERSION...]    (4.53.3 and the newest 5, unless others are named)
#   ENVIRONMENTS  folder of the environments, kept for the next time (build/transformers)
#   REUSE=1       take all but transformers and what it needs from the active environment, instead of installing it anew
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 4.53.3 '5.*'
environments=${ENVIRONMENTS:-build/transformers}
tests=(
    tests/test_models/test_{text,fast_tokenizer,word_list,clip,clip_vit,fit,checkpoints,vit,convnext}.py
    tests/test_{configs,encoder_configs,startup}.py tests/test_apis/test_{export,config}
    tests/test_projects/test_{magnet,seqtr,vlt_and_lts}.py tests/test_tools/test_{mgfe2folder,model_converters}.py
)
active=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
export OMP_NUM_THREADS=1 PYTHONPATH=$PWD
failed=()
for version in "$@"; do
    environment=$environments/${version//\*/newest}
    [ -e "$environment/bin/python" ] || python -m venv "$environment"
    install=("$environment/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "transformers==$version")
    if [ "${REUSE:-}" = 1 ]; then
        echo "$active" >"$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/reused.pth"
        "${install[@]}"
    else
        "${install[@]}" -r requirements.txt -r tests/requirements.txt -r tools/deployment/requirements.txt
    fi
    echo "== transformers $("$environment/bin/python" -c 'import transformers; print(transformers.__version__)')"
    # what the tests start finds this python, too
    PATH="$(realpath "$environment")/bin:$PATH" VIRTUAL_ENV=$(realpath "$environment") \
        "$environment/bin/python" -m pytest --quiet "${tests[@]}" || failed+=("$version")
done
[ ${#failed[@]} = 0 ] || {
    echo "error: tests fail with transformers ${failed[*]}" >&2
    exit 1
}
