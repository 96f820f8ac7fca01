#!/usr/bin/env bash
# Run tests with the oldest versions that requirements.txt admits, or with the newest there are:
#
#   bash tools/test_versions.sh oldest [TESTS ...]    Python 3.10
#   bash tools/test_versions.sh newest [TESTS ...]    Python 3.13
#   PYTHON=python3.12 bash tools/test_versions.sh newest tests/test_models
#
# TESTS are pytest's arguments; without any, the whole suite. The environment stays in work_dirs/versions/ for the next
# time: some 6 GB, where pip takes PyTorch's build for CUDA. Delete it when done.
set -euo pipefail
case "${1:-}" in
oldest) python=${PYTHON:-python3.10} ;;
newest) python=${PYTHON:-python3.13} ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
which=$1
shift
cd "$(dirname "$0")/.."
command -v "$python" >/dev/null || {
    echo "error: no $python on the PATH; name another one, PYTHON=/path/to/python" >&2
    exit 2
}
environment=work_dirs/versions/$which
pins=$environment/versions.txt
[ -e "$environment/bin/activate" ] || "$python" -m venv "$environment"
. "$environment/bin/activate"
if [ "$which" = oldest ]; then
    # what onedl-mmsegmentation asks for, and the first OpenCV that works with it, beside our own lower bounds
    { sed 's/>=/==/; s/,<.*//' requirements.txt && echo 'numpy==2.0.1' && echo 'opencv-python==4.10.0.84'; } >"$pins"
else
    cp requirements.txt "$pins"
fi
python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager \
    -r "$pins" -r tests/requirements.txt -r tools/deployment/requirements.txt
python --version
python -m pip list --disable-pip-version-check 2>/dev/null |
    grep -E '^(torch|torchvision|numpy|opencv-python|onedl-[a-z]+|transformers|pillow|pycocotools|tensorboard) '
export PYTHONPATH=$PWD OMP_NUM_THREADS=1
exec python -m pytest "${@:-tests}"
