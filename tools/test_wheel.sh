#!/usr/bin/env bash
# For each Python: an empty environment, into which pip installs the wheel that it builds of our source distribution, and
# all that mgfe-ris[full] names; then data are drawn, a model is trained for seven steps, tested and used, outside of
# the checkout. The environments are deleted; each takes some 6 GB meanwhile, and minutes to install.
#
#   bash tools/test_wheel.sh [PYTHON...]     such as python3.10 python3.13; default: python3
set -euo pipefail
[ $# -gt 0 ] || set -- python3
for python in "$@"; do
    "$python" -c '' 2>/dev/null || {
        echo "error: no $python that runs; name another one, /path/to/python" >&2
        exit 2
    }
done
checkout=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset PYTHONPATH # a checkout there would pass for an installed package
export PYTHONWARNINGS=ignore

# from a copy: a build packs again what one before has left
git -C "$checkout" ls-files -z --cached --others --exclude-standard |
    (cd "$checkout" && tar --null --create --files-from - --file -) | (mkdir "$scratch/source" && tar -x -C "$scratch/source")

for python in "$@"; do
    echo "== $("$python" --version)"
    "$python" -m venv "$scratch/environment"
    ours=$scratch/environment/bin/python
    pip=("$ours" -m pip --quiet --disable-pip-version-check)
    "${pip[@]}" install 'setuptools>=77'
    (cd "$scratch/source" && "$ours" -c "import setuptools.build_meta as b; b.build_sdist('$scratch')" >/dev/null)
    "${pip[@]}" wheel --no-deps --wheel-dir "$scratch" "$scratch"/mgfe_ris-*.tar.gz
    wheel=("$scratch"/mgfe_ris-*.whl)
    "${pip[@]}" install "mgfe-ris[full] @ file://${wheel[0]}"
    "$ours" -m pip check
    mkdir "$scratch/here" && cd "$scratch/here"
    tools=$("$ours" -c 'from mgfe_ris.packaged import packaged; print(packaged("tools"))' | tail -n 1)
    "$ours" "$tools/dataset_converters/make_refshapes.py" --out data/refshapes --images 40
    "$ours" "$tools/train.py" mgfe-ris_tiny_refshapes --work-dir out \
        --cfg-options train_dataloader.batch_size=16 train_cfg.max_epochs=1 train_cfg.val_interval=1
    "$ours" "$tools/test.py" out out --out tested
    "$ours" "$tools/infer.py" data/refshapes/images --text 'the red ring' --model out --out found
    ls tested/metrics.json found/results.jsonl
    cd "$checkout"
    rm -rf "$scratch/environment" "$scratch/here" "$scratch"/mgfe_ris-*
done
echo "== done: $*"
