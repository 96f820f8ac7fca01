#!/usr/bin/env bash
# The tests of text, configs and folders under several versions of transformers, see test_versions.sh; and folders of
# models that the first one writes are read by the others, and the last one's by the first.
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
folders=$(mktemp -d)
trap 'rm -rf "$folders"' EXIT
elsewhere() { # VERSION write|read NAME
    PYTHONPATH=$PWD "work_dirs/versions/transformers==${1//\*/newest}-python$minor/bin/python" -W ignore \
        tests/folders_elsewhere.py "$2" "$folders/$3" || failed+=("$1, $2")
}
minor=$("${PYTHON:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
mkdir "$folders/first" "$folders/last"
elsewhere "$1" write first
elsewhere "${!#}" write last
for version in "$@"; do elsewhere "$version" read first; done
elsewhere "$1" read last
[ ${#failed[@]} = 0 ] || {
    echo "error: no passing run with transformers ${failed[*]}, see above" >&2
    exit 1
}
