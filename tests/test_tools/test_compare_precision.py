"""What the tool counts is what two inferencers find."""

import json

import numpy as np
import pytest
from mmseg.registry import DATASETS

from mgfe_ris.apis import RISInferencer, load_config


def test_masks_of_a_batch(model_folder, refshapes, tmp_path, run_here):
    out = tmp_path / 'new/changes.json'
    options = '--device', 'cpu', '--batches', 1, '--out', out, '--cfg-options', f'data_root={refshapes}'
    lines = run_here('analysis_tools/compare_precision.py', model_folder, *options)
    report = json.loads(out.read_text())
    said = lines.index(next(line for line in lines if ' sentences: in bf16 ' in line))
    assert lines[said].startswith(f'{report["sentences"]} sentences: in bf16 {report["pixels_changed"]:.3f} %')
    assert [line.split('|')[1].strip() for line in lines[said + 2 :]] == ['', '---', 'float32', 'bf16']
    whole = RISInferencer(model_folder, device='cpu')
    half = RISInferencer(whole.model, precision='bf16')
    asked = first_of_val(refshapes, whole, report['sentences'])
    changed = [whole(*one).mask != half(*one).mask for one in asked]
    # one at a time, where numbers are rounded otherwise than in a batch
    assert report['pixels_changed'] == pytest.approx(100 * np.mean(changed), rel=0.1)
    assert report['masks_changed'] == pytest.approx(100 * np.mean([one.any() for one in changed]), rel=0.1)


@pytest.mark.parametrize(('name', 'wrong'), [('.', 'is a folder; name a file'), ('file/x.json', 'name a folder')])
def test_where_nothing_can_be_written_is_said_ahead(tmp_path, monkeypatch, capfd, run_here, name, wrong):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit) as stop:
        run_here('analysis_tools/compare_precision.py', 'no-such-model', '--out', name)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith('error: ')]
    assert stop.value.code == 2 and f'--out {name}' in line and wrong in line


def first_of_val(refshapes, inferencer, count: int) -> list[tuple[str, str]]:
    """Photos and sentences, in the order of the data set."""
    cfg = load_config(inferencer.model.cfg.filename, data_root=str(refshapes))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    samples = [dataset[i]['data_samples'] for i in range(count)]
    return [(sample.img_path, sample.sentence) for sample in samples]
