"""A large JSON object in pieces of any size, against json.loads."""

import json

import pytest

from mgfe_ris.datasets import json_stream
from mgfe_ris.datasets.json_stream import stream_lists

VALUE = {
    'info': {'year': 2014, 'about': 'a "quoted" \\ {brace} \u00e9 \U0001f600'},
    'images': [{'id': 7, 'file_name': 'a}b.jpg'}, {'id': -12345, 'x': 1.5e-7}, []],
    'numbers': [1, -2.25, 123456789, True, None, 'text', [[1, [2]], {}], 1e30],
    'annotations': [{'id': 1, 'segmentation': [[0.5, 1, 2]]}, {'id': 2, 'of': {'counts': 'a"b\\', 'size': [1]}}],
    'none': [],
    'last': 12,
}  # fmt: skip
FLAT = [(key, v) for key, value in VALUE.items() for v in (value if isinstance(value, list) else [value])]


def write(tmp_path, text: str | bytes):
    path = tmp_path / 'x.json'
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize('piece', [1, 2, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize('indent', [None, 2])
@pytest.mark.parametrize('ascii_only', [True, False])
def test_pieces_of_any_size(tmp_path, monkeypatch, piece, indent, ascii_only):
    monkeypatch.setattr(json_stream, '_PIECE', piece)
    path = write(tmp_path, json.dumps(VALUE, indent=indent, ensure_ascii=ascii_only))
    assert list(stream_lists(path)) == FLAT
    texts = list(stream_lists(path, as_text=('annotations', 'images', 'last')))
    assert [(k, json.loads(v) if k in ('annotations', 'images', 'last') else v) for k, v in texts] == FLAT


@pytest.mark.parametrize('piece', [1, 5, 1 << 20])
@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('{}', []),
        (' { } ', []),
        ('\ufeff{"a": 1}', [('a', 1)]),
        ('{"a":[1,2],"a":[3]}', [('a', 1), ('a', 2), ('a', 3)]),
        ('{"a":NaN,"b":[-Infinity]}', None),
    ],
)
def test_other_objects(tmp_path, monkeypatch, piece, text, told):
    monkeypatch.setattr(json_stream, '_PIECE', piece)
    read = list(stream_lists(write(tmp_path, text)))
    assert read == told if told is not None else [k for k, _ in read] == ['a', 'b']


@pytest.mark.parametrize('piece', [1, 5, 1 << 20])
@pytest.mark.parametrize(
    'text',
    [
        '', ' ', '[]', '7', '"a"', '{', '{"a"', '{"a":', '{"a":}', '{"a" 1}', '{"a":1', '{"a":1,}', '{"a":[1,]}',
        '{"a":[1}', '{"a":[1 2]}', '{"a":1}}', '{"a":1} x', '{1:2}', "{'a':1}", '{"a":tru}', '{"a":1x}', '{"a":"\n"}',
        '{"a":[{"b":1]}', '<html>', '{"a":' + '[' * 100_000, '{"a":' + '9' * 5000 + '}', b'{"a":"\xe9"}',
        '{"a":1}'.encode('utf-16'),
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_named(tmp_path, monkeypatch, piece, text):
    monkeypatch.setattr(json_stream, '_PIECE', piece)
    path = write(tmp_path, text)
    for as_text in ((), ('a',)):
        with pytest.raises(ValueError, match='not JSON') as error:
            list(stream_lists(path, as_text))
        assert str(error.value).startswith(f'{path}: ')


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        list(stream_lists(tmp_path / 'nowhere.json'))


def test_real_instances(coco_ref):
    path = coco_ref / 'refcoco/instances.json'
    value = json.loads(path.read_text())
    read = list(stream_lists(path, as_text=('annotations',)))
    assert [v for k, v in read if k == 'images'] == value['images']
    assert [json.loads(v) for k, v in read if k == 'annotations'] == value['annotations']
