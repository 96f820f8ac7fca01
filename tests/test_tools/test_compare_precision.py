"""What the tool counts is what two inferencers find."""

import json

import numpy as np

from mgfe_ris.apis import RISInferencer


def test_masks_of_a_photo(model_folder, refshapes, tmp_path, run_here):
    out = tmp_path / 'changes.json'
    model = '--cfg-options', f'data_root={refshapes}'
    lines = run_here(
        'analysis_tools/compare_precision.py', model_folder, '--device', 'cpu', '--batches', 1, '--out', out, *model
    )
    report = json.loads(out.read_text())
    assert lines[0].startswith(f'{report["sentences"]} sentences: in bf16 {report["pixels_changed"]:.3f} %')
    assert [line.split('|')[1].strip() for line in lines[2:]] == ['', '---', 'float32', 'bf16']
    whole = RISInferencer(model_folder, device='cpu')
    half = RISInferencer(whole.model, precision='bf16')
    photo, sentences = first_photo(refshapes, whole)
    pairs = [(a.mask, b.mask) for a, b in zip(whole(photo, sentences), half(photo, sentences), strict=True)]
    assert report['sentences'] == len(sentences)
    assert report['pixels_changed'] == 100 * np.mean([a != b for a, b in pairs])
    assert report['masks_changed'] == 100 * np.mean([(a != b).any() for a, b in pairs])


def first_photo(refshapes, inferencer) -> tuple[str, list[str]]:
    """Of val, with all that is said about it, in the order of the data set."""
    from mmseg.registry import DATASETS

    from mgfe_ris.apis import load_config

    cfg = load_config(inferencer.model.cfg.filename, data_root=str(refshapes))
    samples = [one['data_samples'] for one in DATASETS.build(cfg.test_dataloader.dataset)]
    photo = samples[0].img_path
    return photo, [sample.sentence for sample in samples if sample.img_path == photo]
