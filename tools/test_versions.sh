#!/usr/bin/env bash
# Run tests with other versions of what is needed, in an environment of their own:
#
#   bash tools/test_versions.sh oldest [TESTS ...]                  the lowest that requirements.txt admits, Python 3.10
#   bash tools/test_versions.sh newest [TESTS ...]                  the newest there are, Python 3.13
#   bash tools/test_versions.sh transformers==4.53.3 [TESTS ...]    one of one package, the python of the shell
#   PYTHON=python3.12 bash tools/test_versions.sh newest tests/test_models
#
# TESTS are pytest's arguments; without any, the whole suite. The environment stays in work_dirs/versions/ for the next
# time: some 6 GB, where pip takes PyTorch's build for CUDA. Delete it when done. REUSE=1, with one package: what else is
# needed is that of the active environment.
set -euo pipefail
which=${1:-}
case "$which" in
oldest) python=${PYTHON:-python3.10} ;;
newest) python=${PYTHON:-python3.13} ;;
[a-z]*==?*) python=${PYTHON:-python3} ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
shift
cd "$(dirname "$0")/.."
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || {
    echo "error: no $python that runs; name another one, PYTHON=/path/to/python" >&2
    exit 2
}
site() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
reused=$(site "$python")
environment=work_dirs/versions/${which//\*/newest}-python$version
pins=$environment/versions.txt
[ -e "$environment/bin/activate" ] || "$python" -m venv "$environment"
. "$environment/bin/activate"
install=(python -m pip install --quiet --disable-pip-version-check --upgrade)
case "$which" in
oldest)
    # what onedl-mmsegmentation asks for, and the first OpenCV that works with it, beside our own lower bounds
    { sed 's/>=/==/; s/,<.*//' requirements.txt && echo 'numpy==2.0.1' && echo 'opencv-python==4.10.0.84'; } >"$pins"
    ;;
newest) cp requirements.txt "$pins" ;;
*) { grep -vE "^${which%%==*}([^a-z0-9-]|\$)" requirements.txt && echo "$which"; } >"$pins" ;;
esac
if [ "${REUSE:-}" = 1 ] && [[ $which == *==* ]]; then
    echo "$reused" >"$(site python)/reused.pth"
    "${install[@]}" "$which"
else
    others=({tests,tools/deployment,projects/{web_demo,serve,ray_inference}}/requirements.txt)
    "${install[@]}" --upgrade-strategy eager -r "$pins" "${others[@]/#/--requirement=}"
fi
python --version
python -m pip list --disable-pip-version-check 2>/dev/null |
    grep -E '^(torch|torchvision|numpy|opencv-python|onedl-[a-z]+|transformers|pillow|pycocotools|tensorboard) '
export PYTHONPATH=$PWD OMP_NUM_THREADS=1
exec python -m pytest "${@:-tests}"
