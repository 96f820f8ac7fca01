"""The page of real photos, from the files of tests that are made by hand."""

import json
import shutil
from pathlib import Path

import pytest

from mgfe_ris.apis import read_photos
from mgfe_ris.apis.experiments.photos import PEOPLE, TESTS
from mgfe_ris.visualization import write_photos
from mgfe_ris.visualization.marked_page import BEGIN, END

REPO = Path(__file__).parents[2]
MADE = '2026-01-01, abc'


def write_run(folder: Path, people: float, pool: float = 0.5, exchanged: float = 0.1, side: int = 20) -> Path:
    """A sentence about each of two photos in each file, with these IoU."""
    files = {file for files in TESTS.values() for file in files}
    for file in files:
        iou = exchanged if file.endswith('-shuffled') else people if file in PEOPLE else pool
        lines = []
        for photo in (1, 2):
            mask = dict(size=[side, side], counts='04')
            ids = dict(img_path=f'{photo}.jpg', img_id=photo, ref_id=photo, sent_id=photo, sentence='a')
            counts = dict(intersection=int(100 * iou), union=100, iou=iou, pred=mask, truth=mask)
            lines.append(json.dumps(ids | counts) + '\n')
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / f'{file}.jsonl').write_text(''.join(lines))
    return folder


def test_a_page_of_seeds_and_of_a_single_run(tmp_path):
    for seed, people in ((0, 0.3), (1, 0.4), (10, 0.5)):
        write_run(tmp_path / f'ours/seed{seed}', people)
    write_run(tmp_path / 'prior', 0.2)
    (tmp_path / 'prior/refcocog/test.jsonl').write_text((tmp_path / 'prior/pool/val.jsonl').read_text())
    for seed in (0, 1, 10):
        (tmp_path / f'ours/seed{seed}/refcocog/test.jsonl').write_text((tmp_path / 'prior/pool/val.jsonl').read_text())
    rows = read_photos({'ours': tmp_path / 'ours', 'a prior': tmp_path / 'prior'})
    page = tmp_path / 'docs/photos.md'
    write_photos(rows, page, MADE)
    text = page.read_text()
    assert 'not comparable with published' in text.replace('\n', ' ')
    assert '- ours: 2026-01-01, abc\n- a prior: 2026-01-01, abc\n' in text
    assert '2 sentences about 2 photos' in text and '16 sentences about 2 photos' in text, 'a photo of all sets is one'
    tables = [line for line in text.splitlines() if line.startswith('|') and '---' not in line]
    assert tables[:3] == [
        '| system | seeds | oIoU | mIoU | P@0.5 | P@0.7 | P@0.9 '
        '| oIoU, as said | oIoU, exchanged | mIoU, as said | mIoU, exchanged |',
        '| ours | 3 | 50.0 ± 0.0 (50.0 to 50.0) | 50.0 ± 0.0 (50.0 to 50.0) | 100.0 ± 0.0 (100.0 to 100.0) '
        + '| 0.0 ± 0.0 (0.0 to 0.0) ' * 2
        + '| 50.0 ± 0.0 (50.0 to 50.0) | 10.0 ± 0.0 (10.0 to 10.0) ' * 2
        + '|',
        '| a prior | none | 50.0 (50.0 to 50.0) | 50.0 (50.0 to 50.0) | 100.0 (100.0 to 100.0) '
        + '| 0.0 (0.0 to 0.0) ' * 2
        + '| 50.0 (50.0 to 50.0) | 10.0 (10.0 to 10.0) ' * 2
        + '|',
    ]
    assert tables[4].startswith('| ours | 3 | 41.2 ± 8.8'), '7 files of 0.3, 0.4 or 0.5, and one of 0.5'
    assert (
        tables[6]
        == '| system | seeds | '
        + ' | '.join(f'{name}, {metric}' for name in ('RefCOCO', 'RefCOCO+', 'G-Ref') for metric in ('oIoU', 'mIoU'))
        + ' |'
    )
    assert tables[8].endswith(
        '| 20.0 (20.0 to 20.0) | 20.0 (20.0 to 20.0) | 35.0 (35.0 to 35.0) | 35.0 (35.0 to 35.0) |'
    )
    report = json.loads(page.with_suffix('.json').read_text())
    assert report['made']['ours'] == MADE and report['systems']['a prior']['people']['sentences'] == 16


def test_a_page_keeps_what_stands_around_the_marks(tmp_path):
    rows = read_photos({'x': write_run(tmp_path / 'x', 0.2)})
    page = tmp_path / 'photos.md'
    page.write_text(f'# Mine\n{BEGIN}\nthe stale page\n{END}\nbelow\n')
    write_photos(rows, page, MADE)
    text = page.read_text()
    assert text.startswith(f'# Mine\n{BEGIN}\n') and text.endswith(f'{END}\nbelow\n') and 'stale' not in text


def test_as_said_are_the_photos_whose_sentences_are_exchanged(tmp_path):
    """And no others, file by file; their own sentences."""
    run = write_run(tmp_path / 'x', people=0.3)
    for i, file in enumerate(('refcoco/val-shuffled', 'refcoco/testA-shuffled')):
        lines = (run / f'{file}.jsonl').read_text().splitlines(keepends=True)
        (run / f'{file}.jsonl').write_text(lines[i])
    tests = read_photos({'x': run})['x']
    assert tests['people']['sentences'] == 16
    # 7 files of two photos each take part, G-Ref's test does not
    assert tests['people, exchanged']['sentences'] == tests['people, as said']['sentences'] == 14 - 2
    said, exchanged = (tests[f'people, {how}']['metrics']['mIoU']['mean'] for how in ('as said', 'exchanged'))
    assert (said, exchanged) == pytest.approx((30, 10))


def test_rows_that_stand_are_kept_without_their_runs(tmp_path):
    page = tmp_path / 'photos.md'
    write_photos(read_photos({'a': write_run(tmp_path / 'a', 0.2), 'b': write_run(tmp_path / 'b', 0.3)}), page, MADE)
    shutil.rmtree(tmp_path / 'a')
    rows = read_photos({'c': write_run(tmp_path / 'c', 0.5), 'b': write_run(tmp_path / 'b', 0.4)})
    write_photos(rows, page, 'later, def', keep=True)
    report = json.loads(page.with_suffix('.json').read_text())
    assert report['made'] == dict(a=MADE, b='later, def', c='later, def')
    assert [row['people']['metrics']['mIoU']['mean'] for row in report['systems'].values()] == [20, 40, 50]
    assert '| c | none | 50.0' in page.read_text() and '- a: 2026-01-01, abc\n- b: later, def\n' in page.read_text()
    write_photos(rows, page, 'later, def')
    assert '| a |' not in page.read_text()


def test_rows_that_cannot_be_kept(tmp_path):
    page = tmp_path / 'photos.md'
    rows = read_photos({'a': write_run(tmp_path / 'a', 0.2)})
    with pytest.raises(FileNotFoundError, match=r'photos\.json'):
        write_photos(rows, page, MADE, keep=True)
    write_photos(rows, page, MADE)
    report = json.loads(page.with_suffix('.json').read_text())
    other = {'b': rows['a'] | dict(people=rows['a']['people'] | dict(photos=3))}
    with pytest.raises(ValueError, match='b and a, people: tested on different samples'):
        write_photos(other, page, MADE, keep=True)
    page.with_suffix('.json').write_text(json.dumps(report | dict(made={})))
    with pytest.raises(ValueError, match=r'photos\.json: expected systems, and when each was tested'):
        write_photos(rows, page, MADE, keep=True)
    assert '| b |' not in page.read_text()


def test_runs_that_cannot_stand_side_by_side(tmp_path):
    folders = dict(a=write_run(tmp_path / 'a', 0.2), b=write_run(tmp_path / 'b', 0.2, side=40))
    with pytest.raises(ValueError, match='b and a, pool: the runs were tested on different samples, or compared masks'):
        read_photos(folders)
    (tmp_path / 'a/refcoco/testA-shuffled.jsonl').unlink()
    with pytest.raises(FileNotFoundError, match=r'testA-shuffled\.jsonl'):
        read_photos(folders)


def test_systems_are_compared_sentence_by_sentence_under_the_same_seeds(tmp_path):
    for seed, people in ((0, 0.3), (1, 0.5)):
        write_run(tmp_path / f'ours/seed{seed}', people)
    write_run(tmp_path / 'theirs/seed1', 0.2)
    write_run(tmp_path / 'others/seed7', 0.2)
    folders = {name: tmp_path / name for name in ('theirs', 'ours', 'others')}
    rows = read_photos({**folders, 'prior': write_run(tmp_path / 'prior', 0.1)})
    less = {row: tests['people'].get('less', {}) for row, tests in rows.items()}
    assert {row: set(of_row) for row, of_row in less.items()} == dict(
        theirs=set(), ours={'theirs'}, others=set(), prior={'theirs', 'ours', 'others'}
    )
    assert less['ours']['theirs']['of_seeds'] == pytest.approx([30]), 'seed 1 alone'
    assert less['prior']['ours']['of_seeds'] == pytest.approx([-20, -40])
    page = tmp_path / 'photos.md'
    write_photos(rows, page, MADE)
    assert '| ours | theirs | 1 | +0.0 (+0.0 to +0.0) | +30.0 (+30.0 to +30.0) |' in page.read_text()
    write_photos(read_photos({'theirs': tmp_path / 'theirs'}), page, MADE, keep=True)
    assert '| ours | theirs |' not in page.read_text(), 'theirs are others now'
    assert '| prior | ours | 2 |' in page.read_text()


def test_the_readme_says_what_the_page_of_this_repository_measured():
    systems = json.loads((REPO / 'docs/photos.json').read_text())['systems']
    full, scratch, largest, *models = (
        [systems[row][test]['metrics']['mIoU']['mean'] for test in ('pool', 'people')]
        for row in ('MGFE-RIS', 'MGFE-RIS from scratch', 'largest annotated object', 'LAVT', 'LAVT + CombineLoss')
    )
    on_val, by_people = (round(a - b) for a, b in zip(full, scratch, strict=True))
    said = f'worth {on_val} points of mIoU on val there, and {by_people} on sentences by people'
    assert said in (REPO / 'README.md').read_text().replace('\n', ' ')
    assert largest[1] > max(people for _, people in (full, *models))
