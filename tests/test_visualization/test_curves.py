"""Curves of a training, resumed ones in one piece."""

import json

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


def test_the_picture(work_dir, tmp_path):
    out = tmp_path / 'new/curves.png'
    plot_curves(work_dir, out)
    with Image.open(out) as picture:
        assert picture.format == 'PNG' and picture.width > 2 * picture.height
        assert len(set(picture.convert('RGB').get_flattened_data())) > 100


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
