"""A report of speeds as text and as a picture."""

from PIL import Image

from mgfe_ris.visualization import plot_speed, speed_table


def spread(median: float) -> dict[str, float]:
    return {'median': median, 'min': median / 2, 'max': median * 2}


def model(name: str, **parts: float) -> dict:
    keys = ('photos_per_second', 'sentences_per_second', 'ms_per_step', 'gflops', 'percent_of_product')
    return {
        'name': name,
        **{key: spread(10.0**i) for i, key in enumerate(keys)},
        'gflop': 3.25,
        'peak_memory_mib': 1234.5,
        'parts_ms': parts,
        'data_wait_percent': None if name == 'ours' else 12.34,
    }


REPORT = {
    'setting': dict(
        mode='test', batch=1, sentences=2, size=[48, 64], words=7, device='cpu', amp=None, compile=True, text=False
    ),
    'repeats': 3,
    'machine': {'device': 'a machine', 'threads': 2},
    'product': {'side': 512, 'dtype': 'float32', 'gflops': spread(40.0)},
    'models': [model('ours', a=30.0, b=10.0), model('theirs', a=10.0, c=10.0)],
    'ratio': {**spread(0.5), 'pairs': [0.25, 0.5, 1.0]},
}


def test_table():
    lines = speed_table(REPORT).splitlines()
    assert lines[:2] == [
        'test: 1 photo of 48 x 64, 2 sentences each, 7 words, cpu, float32, compiled, no text encoder',
        'device a machine, threads 2',
    ]
    rows = {line[:18].strip(): [cell.strip() for cell in line[18:].split('  ') if cell] for line in lines}
    assert rows['ms per step'] == ['100 (50 to 200)', '100 (50 to 200)']
    assert rows['waits for data'] == ['not measured', '12.3 % of the time']
    assert 'the product: 512 x 512, float32, 40.0 (20.0 to 80.0) GFLOP/s' in lines
    assert any(line.split() == ['a', '30.00', '75.0', '%', '10.00', '50.0', '%'] for line in lines)
    assert any(line.split() == ['c', '0.00', '0.0', '%', '10.00', '50.0', '%'] for line in lines)
    assert any(line.split() == ['sum', '40.00', '100.0', '%', '20.00', '100.0', '%'] for line in lines)
    assert lines[-2:] == ['time of ours / time of theirs: 0.50 (0.25 to 1.00)', 'pair by pair: 0.250, 0.500, 1.000']


def test_one_model():
    report = {key: value for key, value in REPORT.items() if key != 'ratio'} | {'models': REPORT['models'][:1]}
    assert 'theirs' not in speed_table(report) and 'pair' not in speed_table(report)


def test_picture(tmp_path):
    plot_speed(REPORT, tmp_path / 'new' / 'speed.png')
    with Image.open(tmp_path / 'new' / 'speed.png') as picture:
        assert picture.width == 900 and picture.height > 250
