"""A model that draws polygons, by the tools: what they write of it, and what they refuse in a line."""

import json
import sys
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from PIL import Image
from polygon_toy import write_toy

from mgfe_ris.apis import load_model, save_folder

REPO = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def toy(refshapes, tmp_path_factory) -> Path:
    """The folder of the model, beside its config."""
    return write_toy(tmp_path_factory.mktemp('toy') / 'model', refshapes)


@pytest.fixture
def run_test(run_here, toy, refshapes, tmp_path):
    """Tests the toy on val."""

    def run(*args: object, options: tuple[str, ...] = ()) -> list[str]:
        work = ('--work-dir', tmp_path / 'work', '--cfg-options', f'data_root={refshapes}', *options)
        return run_here('test.py', toy.parent / 'polygon_toy.py', toy, *args, *work)

    return run


@pytest.fixture
def refused(capfd):
    """The line that a tool says of what is wrong, with status 2."""

    def run(tool, *args: object, **kwargs) -> str:
        with pytest.raises(SystemExit) as stop:
            tool(*args, **kwargs)
        out, err = capfd.readouterr()
        assert stop.value.code == 2 and 'Epoch(' not in out + err, out + err
        (line,) = [line for line in err.splitlines() if 'error: ' in line]
        return line.partition('error: ')[2]

    return run


def test_a_test_writes_lines_pictures_and_coco_results(run_test, toy, tmp_path):
    out = tmp_path / 'out'
    run_test('--out', out, '--coco-json', '--show-dir', out / 'pictures')
    report = json.loads((out / 'metrics.json').read_text())
    assert report['masks'] == 'filled polygons, whose pixels have no scores' and 'mask_rule' not in report
    metrics = report['metrics']
    assert 0 < metrics['val/oIoU'] == metrics['val/common_photo/oIoU'] and metrics['val/common_64/oIoU'] > 0
    lines = [json.loads(line) for line in (out / 'val.jsonl').read_text().splitlines()]
    results = json.loads((out / 'val.coco.json').read_text())
    for line, result in zip(lines, results, strict=True):
        assert 'score' not in result and result['segmentation'] == line['pred']
        assert coco_mask.decode(line['pred']).any()
    assert len(list((out / 'pictures/val').iterdir())) == len(lines)
    card = (save_folder(load_model(toy), tmp_path / 'card', out / 'metrics.json') / 'README.md').read_text()
    assert '- masks are filled polygons, whose pixels have no scores' in card
    assert 'result.box; there are no scores' in card and 'result.score' not in card


def test_a_test_refuses_what_needs_scores(run_test, refused, tmp_path):
    assert 'mean of two readings; the model draws polygons' in refused(run_test, '--tta')
    said = refused(run_test, '--save-logits', tmp_path / 'logits')
    assert said == '--save-logits: the model draws polygons: a pixel has no score of its own; leave it away'
    said = refused(run_test, options=('test_evaluator.protocols.common_photo.threshold=0.5',))
    assert said.startswith('a threshold is set in the protocols common_photo, and the model draws polygons')


def test_training_goes_through_validation(run_here, toy, refshapes, tmp_path, refused):
    short = ('train_dataloader.batch_size=64', f'data_root={refshapes}')
    asked = ('train.py', toy.parent / 'polygon_toy.py', '--work-dir', tmp_path / 'work')
    protocols = 'val_evaluator.protocols=dict(half=dict(threshold=0.5))'
    said = refused(run_here, *asked, '--cfg-options', *short, protocols)
    assert said.startswith('a threshold is set in the protocols half, and')
    run_here(*asked, '--cfg-options', *short)
    assert list((tmp_path / 'work').glob('best_*.pth'))


def test_own_photos(run_here, toy, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new('RGB', (80, 50)).save('photo.jpg')
    asked = ('infer.py', 'photo.jpg', '--text', 'the red ring', 'red', '--model', toy, '--device', 'cpu')
    assert refused(run_here, *asked, '--threshold', 0.3).endswith('above 0.3; leave the threshold away')
    assert not Path('results').exists()
    run_here(*asked)
    lines = [json.loads(line) for line in Path('results/results.jsonl').read_text().splitlines()]
    assert [line['confidence'] for line in lines] == [None, None] and lines[0]['area'] > lines[1]['area'] > 0
    np.testing.assert_array_equal(
        np.asarray(Image.open('results/masks/photo.png')) > 0, coco_mask.decode(lines[0]['rle'])
    )
    assert Path('results/overlays/photo-2.png').is_file()


@pytest.mark.parametrize('tool', ['export_onnx', 'export_torch'])
def test_an_export_is_refused(run_here, toy, refused, tmp_path, tool):
    said = refused(run_here, f'deployment/{tool}.py', toy, '--out', tmp_path / 'out')
    assert said.startswith('an exported graph gives logits; the model draws polygons')
    assert not (tmp_path / 'out').exists()


def test_multiply_adds_are_counted(run_here, toy):
    assert any('0.0' in line for line in run_here('analysis_tools/get_flops.py', toy.parent / 'polygon_toy.py'))


def test_parts_of_many_photos(toy, tmp_path, monkeypatch):
    """Workers of projects/ray_inference; Ray itself is not asked."""
    parquet = pytest.importorskip('pyarrow.parquet', reason='needs pyarrow')
    monkeypatch.syspath_prepend(REPO / 'projects/ray_inference')
    for name in ('shards', 'shard_worker'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from dataclasses import asdict

    from shard_worker import ShardWorker, model_settings
    from shards import cut

    from mgfe_ris.apis import RISInferencer

    Image.new('RGB', (80, 50)).save(tmp_path / 'photo.jpg')
    (tmp_path / 'pairs.jsonl').write_text('{"photo": "photo.jpg", "text": ["the red ring", "red"]}\n')
    shards, _ = cut([str(tmp_path / 'pairs.jsonl')], 7)
    settings = model_settings(RISInferencer(toy, device='cpu')) | dict(threshold=None, data_root=None)
    (tmp_path / 'parts').mkdir()
    ShardWorker(str(tmp_path / 'parts'), dict(model=toy, device='cpu'), settings)(asdict(shards[0]))
    rows = parquet.read_table(tmp_path / 'parts' / shards[0].part).to_pylist()
    assert [(row['confidence'], row['error']) for row in rows] == [(None, None)] * 2 and rows[0]['area'] > rows[1][
        'area'
    ]
