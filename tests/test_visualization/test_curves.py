"""Curves of a training, resumed ones in one piece."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mgfe_ris.visualization import plot_curves, read_scalars


def write_run(work_dir, time: str, *rows: dict) -> None:
    folder = work_dir / time / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(''.join(json.dumps(row) + '\n' for row in rows))


def train(step: int, loss: float) -> dict:
    return dict(loss=loss, loss_dice=loss / 2, lr=1e-3 / step, epoch=1, step=step)


def val(epoch: int, oiou: float) -> dict:
    return {'oIoU': oiou, 'mIoU': oiou, 'P@0.5': 1.0, 'P@0.7': 0.5, 'P@0.9': 0.1, 'step': epoch}


@pytest.fixture
def work_dir(tmp_path):
    """Stopped after step 20, resumed from step 10."""
    write_run(tmp_path, '20250102_000000', train(20, 7.0), train(30, 6.0), val(2, 12.0), val(3, 13.0))
    write_run(tmp_path, '20250101_235959', train(10, 9.0), val(1, 10.0), train(20, 8.0), val(2, 11.0))
    return tmp_path


def test_scalars_of_all_runs_oldest_first(work_dir):
    rows = read_scalars(work_dir)
    assert [row['loss'] for row in rows if 'loss' in row] == [9.0, 8.0, 7.0, 6.0]


def test_the_later_run_holds_where_steps_were_repeated(work_dir, monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(Figure, 'savefig', lambda figure, *_, **__: figures.append(figure))
    plot_curves(work_dir, tmp_path / 'curves.png')
    (figure,) = figures
    loss, metrics, rate = figure.axes
    lines = {line.get_label(): line.get_xydata().tolist() for axes in (loss, metrics) for line in axes.get_lines()}
    assert lines['loss'] == [[10, 9.0], [20, 7.0], [30, 6.0]]
    assert lines['loss_dice'] == [[10, 4.5], [20, 3.5], [30, 3.0]]
    assert lines['oIoU'] == [[1, 10.0], [2, 12.0], [3, 13.0]]
    assert rate.get_lines()[0].get_xdata().tolist() == [10, 20, 30]


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Lines of each panel by its title, and what its axes are called."""

    def draw(*rows: dict) -> tuple[dict[str, dict[str, list]], dict[str, tuple[str, str]]]:
        figures = []
        write_run(tmp_path, '20250101_000000', *rows)
        monkeypatch.setattr(Figure, 'savefig', lambda figure, *_, **__: figures.append(figure))
        plot_curves(tmp_path, tmp_path / 'curves.png')
        axes = {axes.get_title(): axes for axes in figures[0].axes}
        lines = {
            title: {line.get_label(): line.get_xydata().tolist() for line in a.get_lines()} for title, a in axes.items()
        }
        return lines, {title: (a.get_xlabel(), a.get_ylabel()) for title, a in axes.items()}

    return draw


@pytest.mark.parametrize(
    'metrics',
    [
        {'gIoU': 30.0, 'cIoU': 40.0, 'N-acc': 50.0, 'Pr@0.7': 1.0},
        {'aAcc': 90.0, 'mIoU': 40.0, 'mAcc': 50.0, 'mDice': 60.0, 'mFscore': 60.0, 'mPrecision': 61.0, 'mRecall': 62.0},
        {'ris/oIoU': 30.0, 'ris/P@0.5': 20.0, 'seg/mIoU': 10.0},
    ],
)
def test_metrics_of_any_name(drawn, metrics):
    lines, names = drawn(train(10, 9.0), {**metrics, 'time': 0.1, 'data_time': 0.1, 'step': 1})
    assert lines['Validation'] == {key: [[1, value]] for key, value in metrics.items()}
    assert names['Validation'] == ('epoch', '%') and len(lines) == 3


def test_what_is_no_percentage_has_a_panel_of_its_own(drawn):
    rows = [{'oIoU': 50.0, 'MAE': 0.02, 'fps': 310.0, 'dev/dice': 0.7, 'step': 1}]
    lines, names = drawn(train(10, 9.0), *rows)
    assert lines['Validation'] == {'oIoU': [[1, 50.0]]}
    for key in ('MAE', 'fps', 'dev/dice'):
        assert lines[f'Validation: {key}'] == {key: [[1, rows[0][key]]]}
        assert names[f'Validation: {key}'] == ('epoch', '')


def test_losses_and_rates_of_any_name(drawn):
    row = {'decode.loss_ce': 2.0, 'aux_Loss': 1.0, 'loss': 3.0, 'grad_norm': 5.0, 'text.lr': 0.1, 'text.base_lr': 0.2}
    lines, _ = drawn({**row, 'iter': 5, 'epoch': 1, 'step': 5})
    assert set(lines['Training loss']) == {'decode.loss_ce', 'aux_Loss', 'loss'}
    assert set(lines['Learning rate']) == {'text.lr'}


@pytest.mark.parametrize('steps', [(0, 0, 1), (20, 40, 60)], ids=['logged by passes of the data', 'by iterations'])
def test_a_training_by_iterations(drawn, steps):
    rows = []
    for i, (step, passes) in enumerate(zip(steps, (1, 1, 2), strict=True), 1):
        rows += [{**train(20 * i, 9.0), 'epoch': passes}, {'gIoU': 10.0 * i, 'step': step}]
    lines, names = drawn(*rows)
    assert lines['Validation'] == {'gIoU': [[20, 10.0], [40, 20.0], [60, 30.0]]}
    assert names['Validation'] == ('iteration', '%') and names['Training loss'][0] == 'iteration'


def test_the_picture(work_dir, tmp_path):
    out = tmp_path / 'new/curves.png'
    plot_curves(work_dir, out)
    with Image.open(out) as picture:
        assert picture.format == 'PNG' and picture.width > 2 * picture.height
        assert len(np.unique(np.asarray(picture.convert('RGB')).reshape(-1, 3), axis=0)) > 100


def test_half_a_line_of_a_killed_run_is_passed_over(work_dir):
    before = read_scalars(work_dir)
    (file,) = work_dir.glob('20250102_000000/vis_data/scalars.json')
    file.write_text(file.read_text() + '{"loss": 1.0, "st')
    assert read_scalars(work_dir) == before


def test_a_training_without_validation_yet(tmp_path):
    write_run(tmp_path, '20250101_000000', train(10, 9.0))
    plot_curves(tmp_path, tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').stat().st_size > 0


def test_a_folder_without_a_training(tmp_path):
    with pytest.raises(FileNotFoundError, match='is it the work dir of a training') as error:
        plot_curves(tmp_path, tmp_path / 'curves.png')
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize('name', ['c', 'c.v2', 'c.'])
def test_a_picture_without_its_suffix_is_refused(work_dir, tmp_path, name):
    out = tmp_path / 'new' / name
    with pytest.raises(ValueError, match='a picture ends in') as error:
        plot_curves(work_dir, out)
    assert str(error.value).endswith(f'{out}.png') and not out.parent.exists()
