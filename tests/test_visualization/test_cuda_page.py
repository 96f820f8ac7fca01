"""The page of what a GPU makes of all this."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
from PIL import Image

from mgfe_ris.visualization import check_page, cuda_text, plot_cuda, write_cuda
from mgfe_ris.visualization.cuda_report import aims_table
from mgfe_ris.visualization.marked_page import BEGIN, END

DOCS = Path(__file__).parents[2] / 'docs'


def spread(value: float) -> dict[str, float]:
    return dict(median=value, min=0.9 * value, max=1.1 * value)


def speeds(value: float) -> dict:
    keys = ('ms', 'photos_per_second', 'tflops', 'percent_of_product')
    return dict({key: spread(value) for key in keys}, percent_of_peak=None, gflop=1.0, step_mib=1234.5)


@pytest.fixture
def report() -> dict:
    """Made up, with a row of each kind."""
    naive = dict(model='naive LAVT', how='TF32', **speeds(10))
    ours = dict(model='LAVT', how='bf16', times_naive=dict(TF32=spread(2.6)), **speeds(50))
    right = dict(logits=1e-6, loss=1e-7, gradient=1e-5, after=None, pixels=0.0, counts_exact=True, holds=True)
    rows = dict(
        correctness=[
            dict(name='a, float32', family='a', precision='float32', kernels={'flash': 3}, **right),
            dict(name='b, float32', error='ValueError: b'),
        ],
        waiting=[dict(name='steps of a', steps=3), dict(name='steps of b', skipped='needs CUDA')],
        compile=[dict(name='a', graphs=1, breaks={'item': 2}, compile_seconds=12.34, holds=False)],
        speed=[
            dict(name='train, 8', mode='train', batch=8, models=[ours, naive]),
            dict(name='train, 32', mode='train', batch=32, models=[naive | dict(error='out of memory')]),
            dict(name='memory', batch=8, traced_gib=9.2, measured_gib=9.3),
        ],
        evaluation=[
            dict(name='7', model='LAVT', how='bf16', ms=spread(5), ms_one_by_one=spread(10), times=spread(2)),
            dict(name='loop', workers=4, busy_percent=91.0, loader_percent=1.0, sentences_per_second=100.0),
        ],
    )
    return dict(
        rows=rows,
        left_out=dict(speed=['test, 32']),
        broken=['correctness: b, float32'],
        machine=dict(device='NVIDIA X', torch='2.14'),
        setting=dict(minutes=10, small=False),
        made=dict(command='python x', date='2026-01-01', commit='abc'),
        bounds=dict(float32=dict(logits=1e-4, loss=1e-4, gradient=1e-3, after=0.02, pixels=1e-3)),
    )


def test_aims_are_judged_by_the_numbers(report):
    lines = aims_table(report).splitlines()[2:]
    assert [line.split(' | ')[-1].rstrip(' |') for line in lines] == ['yes', 'yes', 'no', 'yes']
    assert '2.60 times (bf16, batch 8)' in lines[0] and 'of the matrix product of the same run' in lines[1]
    with_peak = deepcopy(report)
    with_peak['rows']['speed'][0]['models'][0]['percent_of_peak'] = spread(39)
    assert "39.00 % (bf16, batch 8, of the data sheet's peak) | no |" in aims_table(with_peak)
    report['setting']['small'] = True
    assert aims_table(report).count('not judged: small') == 4
    assert aims_table(None).count('not measured') == 4


def test_all_that_was_found_is_told(report):
    text = cuda_text(report)
    for told in (
        '**Broken: correctness: b, float32.**',
        '| a | 1e-06 | 1e-07 | 1e-05 | - | 0e+00 | yes | yes |',
        '- correctness, b, float32: ValueError: b',
        '| `flash` | 1 | a, float32 (3) |',
        '| steps of b | needs CUDA |',
        '| a | 1 | item (2) | 12.34 |',
        '| train | 8 | LAVT | bf16 | 50.0 (45.0 to 55.0) |',
        '| train | 32 | naive LAVT | TF32 | out of memory |',
        '| memory | 8 | 9.20 | 9.30 |',
        'The time was up after 10 minutes.\n\n- speed: test, 32',
    ):
        assert told in text, told
    assert cuda_text(json.loads(json.dumps(report))) == text


def test_a_report_with_nothing_in_it(report, tmp_path):
    empty = report | dict(rows={}, left_out={}, broken=[])
    assert 'Nothing was compared with a bound.' in cuda_text(empty)
    plot_cuda(empty, tmp_path / 'empty.png')


def test_page_and_picture(report, tmp_path):
    page = tmp_path / 'cuda.md'
    page.write_text(f'# Mine\n{BEGIN}\nwhat was before\n{END}\nend')
    write_cuda(report, page)
    text = page.read_text()
    assert text.startswith('# Mine') and text.endswith('end') and cuda_text(report) in text and 'was before' not in text
    plot_cuda(report, tmp_path / 'cuda.png')
    with Image.open(tmp_path / 'cuda.png') as picture:
        assert picture.width > 1000 and len(set(picture.convert('RGB').resize((70, 25)).getdata())) > 10


def test_the_page_of_this_repository_is_of_a_report_or_says_that_there_is_none():
    page = DOCS / 'cuda.md'
    check_page(page)
    found = page.read_text(encoding='utf-8').split(BEGIN)[1].split(END)[0]
    assert found.strip() == cuda_text(None).strip() or '## Aims' in found
