"""Options of tools/test.py on a very small model, and what it says and does where its files cannot be written."""

import json
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from pycocotools.coco import COCO

from mgfe_ris.apis import load_config
from mgfe_ris.structures import scores_and_mask

pytestmark = pytest.mark.usefixtures('one_thread')
BOTH = [dict(type='RefSegMetric'), dict(type='IoUMetric', prefix='mmseg')]


@pytest.fixture(scope='module')
def larger(tmp_path_factory) -> Path:
    """A data root with 12 drawn photos of 96 x 96, which are not of the input's size."""
    from mgfe_ris.datasets.synthetic import write_refshapes

    root = tmp_path_factory.mktemp('larger')
    write_refshapes(root, 'refshapes', images=12, seed=0, size=96, progress=False)
    return root


@pytest.fixture
def run_test(run_here, model_folder, larger, tmp_path):
    """Tests the random model on val; returns what was printed."""

    def run(*args: object, metrics: list[dict] | dict | None = BOTH[0], score_at: str = 'input') -> list[str]:
        cfg = load_config(model_folder, data_root=str(larger))
        cfg.test_evaluator, cfg.test_dataloader.dataset.score_at = metrics, score_at
        cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
        cfg.test_cfg = dict(type='SplitsTestLoop', splits=('val',))
        cfg.dump(tmp_path / 'tested.py')
        work = ('--work-dir', tmp_path / 'work', '--cfg-options', 'resume=False')
        return run_here('test.py', tmp_path / 'tested.py', model_folder, *args, *work)

    return run


@pytest.fixture
def refused(run_test, capfd):
    """The line that it says of what is wrong, before the test began."""

    def run(*args: object, **kwargs) -> str:
        with pytest.raises(SystemExit) as stop:
            run_test(*args, **kwargs)
        out, err = capfd.readouterr()
        assert stop.value.code == 2 and 'Epoch(test)' not in out + err
        (line,) = [line for line in err.splitlines() if 'error: ' in line]
        return line.removeprefix('error: ')

    return run


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


# What it writes


@pytest.fixture
def written(run_test, tmp_path) -> Path:
    """Everything, at the input's size, with mmseg's metric beside ours."""
    out = tmp_path / 'out'
    printed = run_test(
        '--out', out, '--coco-json', '--save-logits', out / 'logits', '--show-dir', out / 'pictures', metrics=BOTH
    )
    assert printed[-3:] == [f'wrote {out / name}' for name in ('val.jsonl', 'val.coco.json', 'metrics.json')]
    return out


def test_all_that_is_written_agrees(written, larger):
    lines, results = read_lines(written / 'val.jsonl'), json.loads((written / 'val.coco.json').read_text())
    report = json.loads((written / 'metrics.json').read_text())
    _says_where(report, written)
    _metrics_agree(report)
    _coco_agrees(results, lines, larger)
    for line, result in zip(lines, results, strict=True):
        path = written / f'logits/val/{Path(line["img_path"]).stem}_{line["sent_id"]}.npz'
        assert path.with_suffix('').name in {p.stem for p in (written / 'pictures/val').iterdir()}
        _logits_agree(path, line, result)
    assert len(list((written / 'logits/val').iterdir())) == len(lines)
    _categories_agree(report['by_category']['val'], lines, larger)


def _says_where(report: dict, out: Path) -> None:
    files = [str(out / name) for name in ('val.jsonl', 'val.coco.json')]
    assert report['written'] == dict(files=files, pictures=str(out / 'pictures'), logits=str(out / 'logits'))
    assert report['tta'] is None


def _metrics_agree(report: dict) -> None:
    metrics = report['metrics']
    assert list(metrics)[-3:] == ['val/mmseg/aAcc', 'val/mmseg/mIoU', 'val/mmseg/mAcc'] and 'val/oIoU' in metrics
    assert all(0 <= value <= 100 for value in metrics.values())


def _coco_agrees(results: list[dict], lines: list[dict], root: Path) -> None:
    """pycocotools reads them as results of the photos that the annotations are of."""
    truth = COCO(str(root / 'refshapes/instances.json'))
    found = truth.loadRes([dict(result) for result in results])
    assert len(found.getAnnIds()) == len(lines)
    assert all(result['segmentation']['size'] == [96, 96] and 0 <= result['score'] <= 1 for result in results)
    for result, line in zip(results, lines, strict=True):
        assert line['pred']['size'] == [64, 64], 'compared at the size of the input'
        assert (result['image_id'], result['ref_id'], result['sent_id']) == (
            line['img_id'], line['ref_id'], line['sent_id']
        )  # fmt: skip
        assert truth.cats[result['category_id']]['name'] == line['category']


def _logits_agree(path: Path, line: dict, result: dict) -> None:
    with np.load(path) as file:
        logit, size = file['logit'], file['photo_size'].tolist()
        assert str(file['sentence']) == line['sentence'] and str(file['img_path']) == line['img_path']
        assert file['ids'].tolist() == [line['img_id'], line['ref_id'], line['sent_id']]
    assert logit.dtype == np.float16 and logit.shape == (64, 64) and size == [96, 96]
    np.testing.assert_array_equal(logit > 0, coco_mask.decode(line['pred']) == 1)
    scores, above = (value.numpy() for value in scores_and_mask(torch.from_numpy(logit)[None], size))
    mask = coco_mask.decode(result['segmentation']) == 1
    assert (mask != above).mean() < 0.002  # half a number's digits are gone
    score = scores[mask].mean() if mask.any() else 0
    assert result['score'] == pytest.approx(score, abs=2e-3)


def _categories_agree(by_category: dict, lines: list[dict], root: Path) -> None:
    names = {item['name'] for item in json.loads((root / 'refshapes/instances.json').read_text())['categories']}
    assert by_category.keys() <= names and sum(c['count'] for c in by_category.values()) == len(lines)
    assert [c['count'] for c in by_category.values()] == sorted(
        (c['count'] for c in by_category.values()), reverse=True
    )
    name, found = next(iter(by_category.items()))
    of_it = [line for line in lines if line['category'] == name]
    assert found == dict(
        count=len(of_it),
        oIoU=pytest.approx(100 * sum(r['intersection'] for r in of_it) / sum(r['union'] for r in of_it)),
        mIoU=pytest.approx(100 * np.mean([r['iou'] for r in of_it])),
    )


def test_mmsegs_metric_at_the_photos_size(run_test, tmp_path):
    run_test('--out', tmp_path, metrics=BOTH, score_at='photo')
    lines = read_lines(tmp_path / 'val.jsonl')
    assert {tuple(line['pred']['size']) for line in lines} == {(96, 96)}
    assert 'val/mmseg/mIoU' in json.loads((tmp_path / 'metrics.json').read_text())['metrics']


def test_several_of_our_metrics_do_not_overwrite_one_another(run_test, tmp_path):
    run_test('--out', tmp_path, metrics=[BOTH[0], dict(type='GeneralizedRefSegMetric', prefix='gres')])
    assert 'pred_pixels' not in read_lines(tmp_path / 'val.jsonl')[0]
    assert 'pred_pixels' in read_lines(tmp_path / 'gres/val.jsonl')[0]
    report = json.loads((tmp_path / 'metrics.json').read_text())
    assert list(report['by_category']) == ['val', 'val/gres'] and 'val/gres/gIoU' in report['metrics']


def test_one_pass_is_scored_by_several_protocols(run_test, refused, tmp_path):
    """At the input's size they give what the test at the input's size gives, to the last digit."""
    run_test('--out', tmp_path / 'input')
    protocols = dict(common_64=dict(size=(64, 64), threshold=0.5), own=dict(added=1e-6, strict=True))
    metric = dict(BOTH[0], protocols=protocols)
    run_test('--out', tmp_path / 'photo', metrics=metric, score_at='photo')
    at_input, at_photo = (json.loads((tmp_path / name / 'metrics.json').read_text()) for name in ('input', 'photo'))
    found = at_photo['metrics']
    assert {f'val/common_64/{name[4:]}': value for name, value in at_input['metrics'].items()}.items() <= found.items()
    assert found['val/own/mIoU'] == pytest.approx(found['val/mIoU'], abs=1e-4) != found['val/common_64/mIoU']
    assert at_photo['protocols']['common_64'].startswith('masks compared at 64 x 64; score above 0.5')
    assert at_photo['mask_rule']['threshold'] == 0.5 and 'protocols' not in at_input
    assert {'oIoU', 'own/oIoU', 'common_64/mIoU'} < set(next(iter(at_photo['by_category']['val'].values())))
    lines = [read_lines(tmp_path / name / 'val.jsonl') for name in ('input', 'photo')]
    assert [one['iou'] for one in lines[0]] == [one['protocols']['common_64']['iou'] for one in lines[1]]
    assert refused(metrics=metric).startswith("protocols common_64, own: the truth is at the input's size")


def test_the_mirror_image_is_asked_for_the_other_side(run_test, tmp_path):
    run_test('--out', tmp_path / 'plain')
    run_test('--out', tmp_path / 'tta', '--tta')
    plain, tta = (json.loads((tmp_path / name / 'metrics.json').read_text()) for name in ('plain', 'tta'))
    assert (plain['tta'], tta['tta']) == (None, 'flip') and plain['weights'] == tta['weights']
    lines = [read_lines(tmp_path / name / 'val.jsonl') for name in ('plain', 'tta')]
    assert [[r[key] for key in ('sent_id', 'sentence', 'truth')] for r in lines[0]] == [
        [r[key] for key in ('sent_id', 'sentence', 'truth')] for r in lines[1]
    ]
    assert plain['metrics'] != tta['metrics'], 'this model is not equivariant'


# What it says


def test_folders_that_cannot_be_written(refused, tmp_path):
    (tmp_path / 'file').touch()
    (tmp_path / 'nowhere').symlink_to(tmp_path / 'gone')
    for option in ('--out', '--show-dir', '--save-logits'):
        for path in (tmp_path / 'file', tmp_path / 'file/below'):
            assert refused(option, path) == f'{option} {path}: {tmp_path / "file"} is a file; name a folder'
        assert 'name a folder' in refused(option, tmp_path / 'nowhere')
    (tmp_path / 'out/val.jsonl').mkdir(parents=True)
    assert refused('--out', tmp_path / 'out').startswith(f'{tmp_path / "out/val.jsonl"} is a folder')


def test_a_folder_of_another_user(refused, tmp_path, monkeypatch):
    def no(dir):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr('mgfe_ris.output_files.TemporaryFile', no)
    line = refused('--out', tmp_path / 'new/out')
    assert line == f'--out {tmp_path / "new/out"}: nothing can be written to {tmp_path} (Permission denied)'
    assert not (tmp_path / 'new').exists()


def test_a_disk_that_is_too_small_for_the_logits(refused, tmp_path, monkeypatch):
    monkeypatch.setattr('shutil.disk_usage', lambda _: type('', (), dict(free=1000)))
    line = refused('--save-logits', tmp_path / 'logits')
    assert line.startswith(f'--save-logits {tmp_path / "logits"}: ') and line.endswith(' are needed, 1,000 are free')


@pytest.mark.parametrize('option', ['out', 'show-dir', 'save-logits', 'work-dir'])
def test_names_that_are_empty(run_here, tmp_path, monkeypatch, capfd, option):
    """As of a variable of the shell that is not set."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        run_here('test.py', 'config.py', 'weights.pth', f'--{option}', '')
    said = capfd.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2 and said == f'test.py: error: {option.replace("-", "_")} is empty'
    assert not any(tmp_path.iterdir())


def test_options_that_do_not_fit(refused, tmp_path):
    assert refused('--coco-json') == '--coco-json needs --out, the folder to write to'
    assert 'no RefSegMetric' in refused('--out', tmp_path, '--coco-json', metrics=dict(type='IoUMetric'))
    assert refused(metrics=None).endswith('tested.py: nothing to test with: it has no test_evaluator')
    line = refused(metrics=[BOTH[0], dict(type='IoUMetric')])
    assert 'RefSegMetric and IoUMetric both give a metric mIoU' in line


@pytest.mark.parametrize(
    'changes, said',
    [
        (dict(prefix='ris'), "save_best='oIoU': no metric of the validation has this name; there are ['ris/oIoU', "),
        (None, 'RefSegMetric and IoUMetric both give a metric mIoU: tell them apart by a prefix'),
    ],
)
def test_a_training_that_would_fail_behind_its_first_epoch(run_here, larger, tmp_path, capfd, changes, said):
    cfg = load_config('mgfe-ris_tiny_refshapes', data_root=str(larger))
    cfg.train_dataloader.batch_size = 4
    cfg.val_evaluator = {**BOTH[0], **changes} if changes else [BOTH[0], dict(type='IoUMetric')]
    cfg.dump(tmp_path / 'trained.py')
    with pytest.raises(SystemExit) as stop:
        run_here('train.py', tmp_path / 'trained.py', '--work-dir', tmp_path / 'work')
    assert stop.value.code == 2 and capfd.readouterr().err.splitlines()[-1].startswith(f'error: {said}')
    assert not list((tmp_path / 'work').glob('*.pth'))


@pytest.mark.parametrize('failing', ['val.jsonl', 'metrics.json', '.npz'])
def test_a_disk_that_becomes_full_loses_no_metric(run_test, tmp_path, monkeypatch, capfd, failing):
    replace = Path.replace

    def full(self, target):
        if str(target).endswith(failing):
            raise OSError(28, 'No space left on device')
        return replace(self, target)

    monkeypatch.setattr(Path, 'replace', full)
    out = tmp_path / 'out'
    with pytest.raises(SystemExit) as stop:
        run_test('--out', out, '--save-logits', out / 'logits')
    printed, said = capfd.readouterr()
    assert stop.value.code == 2 and said.splitlines()[-1].startswith('error: ') and 'No space left' in said
    assert not list(out.rglob('*.part')) and not list(out.rglob(f'*{failing}'))
    text = printed[printed.index('{\n') :] if failing == 'metrics.json' else (out / 'metrics.json').read_text()
    report = json.JSONDecoder().raw_decode(text)[0]
    assert 0 < report['metrics']['val/oIoU'] < 100
    assert [Path(name).name for name in report['written']['files']] == ['val.jsonl'] * (failing != 'val.jsonl')


def test_metrics_named_by_class(model_folder):
    """As mmengine's configs in pure Python name them."""
    import runpy

    from mmengine.config import Config

    from mgfe_ris.evaluation import GeneralizedRefSegMetric, RefSegMetric

    tool = runpy.run_path(str(Path(__file__).parents[2] / 'tools/test.py'))
    cfg = Config(dict(test_evaluator=[dict(type=RefSegMetric), dict(type=GeneralizedRefSegMetric, min_pixels=1)]))
    tool['write_lines'](cfg, Path('out'), False)
    assert [m.per_sample for m in cfg.test_evaluator] == ['out', str(Path('out/GeneralizedRefSegMetric'))]
    assert tool['_settings'](cfg.test_evaluator[1]) == dict(type='GeneralizedRefSegMetric', min_pixels=1)


@pytest.mark.parametrize('tool, loader', [('test.py', 'test'), ('train.py', 'val'), ('train.py', 'train')])
def test_a_type_without_what_it_needs_is_one_line(
    run_here, model_folder, refshapes, tmp_path, capfd, small_model, tool, loader
):
    """Where the config has nothing, an option may name a part, and fail to say what the part cannot do without."""
    settings = {**small_model, 'data_root': refshapes, f'{loader}_dataloader.batch_sampler.type': 'PhotoBatchSampler'}
    texts = {k: ','.join(map(str, v)) if isinstance(v, tuple) else v for k, v in settings.items()}
    options = [f'{key}={value}' for key, value in texts.items()]
    weights = [model_folder] if tool == 'test.py' else []
    with pytest.raises(SystemExit) as stop:
        run_here(tool, 'mgfe-ris_tiny_refshapes', *weights, '--work-dir', tmp_path, '--cfg-options', *options)
    assert stop.value.code == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if 'Warning' not in line]
    assert line.startswith('error: ') and ('batch_sampler' in line or 'PhotoBatchSampler' in line)
