"""From a checkpoint that was tested to a folder whose card says so."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from mgfe_ris.apis import build_model, load_config, load_model

pytestmark = pytest.mark.usefixtures('one_thread')
REPO = Path(__file__).parents[2]
BEST = 'best_oIoU_epoch_2.pth'


@pytest.fixture
def convert(run_here):
    return lambda *args: run_here('model_converters/mgfe2folder.py', *args)


@pytest.fixture(scope='module')
def tested(small_model, refshapes, tmp_path_factory) -> Path:
    """What training and test leave in a folder."""
    folder = tmp_path_factory.mktemp('runs') / 'tiny'
    folder.mkdir()
    torch.manual_seed(0)
    model = build_model(load_config('mgfe-ris_tiny_refshapes', small_model, data_root=str(refshapes)))
    model.cfg.dump(folder / 'mgfe-ris_tiny_refshapes.py')
    torch.save(dict(meta=dict(epoch=2), state_dict=model.state_dict()), folder / BEST)
    loader = ('num_workers=0', 'persistent_workers=False')
    options = [
        *(f'test_dataloader.{option}' for option in loader),
        'test_cfg.splits=val,testB',
        'test_cfg.shuffled=[val]',
    ]
    options += ['experiment_name=mgfe2folder']  # mmengine shares what has the same name and second
    argv = ['test.py', folder, folder / BEST, '--out', folder, '--work-dir', folder / 'test', '--cfg-options', *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [str(arg) for arg in argv])
        runpy.run_path(str(REPO / 'tools/test.py'), run_name='__main__')
    return folder


def results(folder: Path) -> dict[str, float]:
    """As the hub's client reads them."""
    found = ModelCard.load(folder / 'README.md').data.eval_results or []
    return {f'{result.dataset_split}/{result.metric_type}': result.metric_value for result in found}


def rounded(report: dict) -> dict[str, float]:
    return {key: round(value, 2) for key, value in report['metrics'].items() if not key.startswith('val-shuffled')}


def test_what_a_test_wrote_is_found_beside_the_checkpoint(tested, tmp_path, convert, small_model):
    printed = convert(tested, '--out', tmp_path / 'out')
    assert printed == [f'wrote {tmp_path}/out']
    report = json.loads((tested / 'metrics.json').read_text())
    assert len(report['metrics']) == 21 and any(0 < value < 100 for value in report['metrics'].values())
    assert results(tmp_path / 'out') == rounded(report) and len(rounded(report)) == 14
    card = (tmp_path / 'out/README.md').read_text()
    for split in ('val', 'testB', 'val-shuffled'):
        values = [value for key, value in report['metrics'].items() if key.startswith(f'{split}/')]
        assert f'| {split} | {" | ".join(f"{value:.2f}" for value in values)} |\n' in card
    assert (
        f'In percent, on RefShapes, of the checkpoint `{BEST}`.' in card
        and '- all splits: sentences as they were written' in card
    )
    assert f'of those tested, {report["truncated_sentences"]} were' in card and str(tested) not in card
    assert load_model(tmp_path / 'out', device='cpu').cfg.origin.name == 'mgfe-ris_tiny_refshapes'


def test_a_report_elsewhere(tested, tmp_path, convert):
    (tmp_path / 'alone').mkdir()
    for name in (BEST, 'mgfe-ris_tiny_refshapes.py'):
        shutil.copy(tested / name, tmp_path / 'alone')
    convert(tmp_path / 'alone', '--out', tmp_path / 'without')
    assert results(tmp_path / 'without') == {} and 'None are recorded' in (tmp_path / 'without/README.md').read_text()
    report = shutil.copy(tested / 'metrics.json', tmp_path / 'results.json')
    convert(tmp_path / 'alone', '--metrics', report, '--out', tmp_path / 'with')
    assert results(tmp_path / 'with') == rounded(json.loads(Path(report).read_text())) != {}


@pytest.mark.parametrize('how', ['of another checkpoint', 'of something else'])
def test_a_file_beside_it_that_does_not_fit(tested, tmp_path, convert, capfd, how):
    """Nobody named it, so the folder comes without, and says why; named, it is an error, and nothing is written."""
    folder = shutil.copytree(tested, tmp_path / 'copy')
    report = json.loads((folder / 'metrics.json').read_text())
    other = {**report, 'weights': '0' * 16} if how == 'of another checkpoint' else {'loss': 0.1}
    (folder / 'metrics.json').write_text(json.dumps(other))
    words = 'is of other weights' if how == 'of another checkpoint' else 'it has no "metrics"'
    first, last = convert(folder, '--out', tmp_path / 'out')
    assert first.startswith(f'no results in the card: {folder}/metrics.json') and words in first
    assert last == f'wrote {tmp_path}/out' and results(tmp_path / 'out') == {}
    line = refused(convert, capfd, folder, '--metrics', folder / 'metrics.json', '--out', tmp_path / 'named')
    assert f'{folder}/metrics.json' in line and words in line and not (tmp_path / 'named').exists()


@pytest.mark.parametrize('broken', ['gone', '<html>', '{"metrics": {"val/oIoU": "high"}}'])
def test_a_named_file_that_is_none(tested, tmp_path, convert, capfd, broken):
    if broken != 'gone':
        (tmp_path / 'm.json').write_text(broken)
    before = sorted(tmp_path.rglob('*'))
    line = refused(convert, capfd, tested, '--metrics', tmp_path / 'm.json', '--out', tmp_path / 'new/out')
    assert f'{tmp_path}/m.json: ' in line and sorted(tmp_path.rglob('*')) == before


def refused(convert, capfd, *args: object) -> str:
    """The one line of an error with status 2."""
    with pytest.raises(SystemExit) as stop:
        convert(*args)
    out, err = capfd.readouterr()
    assert stop.value.code == 2 and 'wrote' not in out
    (line,) = [line for line in err.splitlines() if line]
    assert line.startswith('error: ')
    return line
