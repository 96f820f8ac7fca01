#!/usr/bin/env bash
# Runs a test on all that docs/photos.md shows: val of a pool of photos, and the three sets of sentences by people; and
# again with the sentences of a photo's objects exchanged, but for G-Ref's test, where people may have spoken of a single
# object in each photo. Masks are compared at the photo's own size.
#
# Usage: bash tools/test_photos.sh POOL PEOPLE OUT COMMAND...
#   POOL    data root with refcoco/, splits train and val
#   PEOPLE  data root with refcoco/ and refcoco+/ (val, testA, testB), and refcocog/ (val, test; umd)
#   OUT     folder; gets pool/, refcoco/, refcoco+/ and refcocog/
#   COMMAND python tools/test.py CONFIG CHECKPOINT, or python tools/analysis_tools/blind_baseline.py CONFIG largest
set -euo pipefail
if [ $# -lt 4 ]; then
    echo "error: usage: bash tools/test_photos.sh POOL PEOPLE OUT COMMAND..., with $# arguments given" >&2
    exit 2
fi
pool=$1 people=$2 out=$3
shift 3
command=("$@")

# All that says where a data set is: the config may be of one whose photos and annotations lie elsewhere
run() { # FOLDER DATA_ROOT ANN_FOLDER SPLIT_BY SPLITS EXCHANGED
    local train=train_dataloader.dataset test=test_dataloader.dataset
    "${command[@]}" --out "$out/$1" --cfg-options \
        $train.data_root="$pool" $train.ann_folder=refcoco $train.split_by=unc \
        $train.ann_file=None $train.img_folder=images \
        $test.data_root="$2" $test.ann_folder="$3" $test.split_by="$4" \
        $test.ann_file=None $test.img_folder=images \
        $test.score_at=photo test_cfg.splits="$5" test_cfg.shuffled="$6"
}
run pool "$pool" refcoco unc val val
run refcoco "$people" refcoco unc val,testA,testB val,testA,testB
run refcoco+ "$people" refcoco+ unc val,testA,testB val,testA,testB
run refcocog "$people" refcocog umd val,test val
