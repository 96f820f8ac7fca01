#!/usr/bin/env bash
# The tests of text, configs and folders under several versions of transformers, see test_versions.sh.
#
# Usage: [REUSE=1] bash tools/test_transformers.sh [VERSION...]    (4.53.3 and the newest 5, unless others are named)
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 4.53.3 '5.*'
tests=(
    tests/test_models/test_{text,fast_tokenizer,word_list,clip,clip_vit,fit,checkpoints,vit,convnext}.py
    tests/test_{configs,encoder_configs,startup,checkpoint_files}.py tests/test_apis/test_{export,config}
    tests/test_projects/test_{magnet,seqtr,vlt_and_lts}.py tests/test_tools/test_{mgfe2folder,model_converters,trust}.py
)
failed=()
for version in "$@"; do
    echo "== transformers $version"
    bash tools/test_versions.sh "transformers==$version" --quiet "${tests[@]}" || failed+=("$version")
done
[ ${#failed[@]} = 0 ] || {
    echo "error: no passing run with transformers ${failed[*]}, see above" >&2
    exit 1
}
