#!/usr/bin/env bash
# From an empty machine to a trained model, its numbers and its pictures, in work_dirs/quickstart.
# Needs Python >= 3.10 and pip. Run again, it goes on where it stopped and reuses what is there.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup_env.sh requirements.txt
export PYTHONWARNINGS=ignore # other packages' deprecations
config=configs/mgfe_ris/mgfe-ris_tiny_refshapes.py
out=work_dirs/quickstart

echo "== 1/4 built-in data set"
python tools/dataset_converters/make_refshapes.py --out data/refshapes --flavour refshapes --images 5200

echo "== 2/4 training"
python tools/train.py $config --work-dir $out --resume

best=$(ls -t $out/best_*.pth | head -n 1)
if [ ! $out/metrics.json -nt "$best" ]; then
    echo "== 3/4 testing $best on val, testA and testB, and on val with exchanged sentences"
    python tools/test.py $config "$best" --work-dir $out/test --out $out
fi

echo "== 4/4 pictures"
python tools/analysis_tools/plot_curves.py $out --out $out/curves.png
python tools/analysis_tools/results_grid.py $out/val.jsonl --out $out/grid.png

echo "== done"
for file in "$best" $out/metrics.json $out/curves.png $out/grid.png; do
    echo "$PWD/$file"
done
echo "For your own commands, first: source $environment/bin/activate"
