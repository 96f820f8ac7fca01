"""RefCOCO's files: plain pickles are read, whatever Python wrote them; anything else is refused and runs nothing."""

import builtins
import collections
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from mgfe_ris.datasets.plain_pickle import UnsafePickleError, load_plain_pickle

REF = dict(ref_id=3, ann_id=5, image_id=7, split='val', sentences=[dict(sent_id=1, raw='Left dog', sent='left dog')])
INSTANCES = dict(
    images=[dict(id=7, file_name='a.jpg', height=4, width=6)],
    annotations=[dict(id=5, image_id=7, segmentation=[[0, 0, 3, 0, 3, 3]])],
)


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def write(folder: Path, refs: object = None, instances: object = None) -> Path:
    refs = [REF] if refs is None else refs
    instances = INSTANCES if instances is None else instances
    (folder / 'refs(unc).p').write_bytes(refs if isinstance(refs, bytes) else pickle.dumps(refs, protocol=2))
    data = instances if isinstance(instances, bytes) else json.dumps(instances).encode()
    (folder / 'instances.json').write_bytes(data)
    return folder


# Plain pickles


@pytest.mark.parametrize('protocol', range(6))
def test_containers_strings_and_numbers_of_every_protocol(tmp_path, protocol):
    value = [REF, dict(REF, raw='café', x=[1, -2.5, None, True, False, 2**70]), [], {}]
    value.append(value[0])  # an object met twice
    if protocol >= 3:
        value.append(b'bytes')
    path = tmp_path / 'refs.p'
    path.write_bytes(pickle.dumps(value, protocol))
    assert load_plain_pickle(path) == value


@pytest.mark.parametrize(
    'data',
    [
        # str 'caf\xc3\xa9' and unicode u'caf\xe9', as Python 2 pickles them
        b"(lp0\n(dp1\nS'ref_id'\np2\nI7\nsS'raw'\np3\nS'caf\\xc3\\xa9'\np4\nsS'sent'\np5\nVcaf\\u00e9\np6\nsa.",
        b'\x80\x02]q\x00}q\x01(U\x06ref_idq\x02K\x07U\x03rawq\x03U\x05caf\xc3\xa9q\x04U\x04sentX\x05\x00\x00\x00caf\xc3\xa9ua.',
    ],
    ids=['protocol 0', 'protocol 2'],
)
def test_pickles_of_python_2(tmp_path, data):
    path = tmp_path / 'refs.p'
    path.write_bytes(data)
    assert load_plain_pickle(path) == [dict(ref_id=7, raw='café', sent='café')]


def test_the_real_file(coco_ref):
    path = coco_ref / 'refcoco/refs(unc).p'
    with path.open('rb') as file:
        assert load_plain_pickle(path) == pickle.load(file)


# Pickles that would run something


def reduced(function, *args, protocol=2):
    return lambda target: pickle.dumps([REF, Call(function, *(arg.format(target) for arg in args))], protocol)


PAYLOADS = {
    **{f'os.system, protocol {p}': reduced(os.system, 'touch "{}"', protocol=p) for p in range(6)},
    'eval': reduced(builtins.eval, 'open("{}", "w").close()'),
    'exec': reduced(builtins.exec, 'open("{}", "w").close()', protocol=4),
    'STACK_GLOBAL': lambda target: (
        b'\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c' + bytes([len(target)]) + target.encode() + b'\x85R.'
    ),
    'INST': lambda target: f"(S'{target}'\nios\nmkdir\n.".encode(),
    'OBJ': lambda target: f"(cos\nmkdir\nS'{target}'\no.".encode(),
}


@pytest.mark.parametrize('name', PAYLOADS)
def test_nothing_in_a_file_is_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(PAYLOADS[name]('ran'))
    with pytest.raises(UnsafePickleError) as error:
        load_plain_pickle(path)
    assert str(error.value).startswith(f'{path}: the file asks for ')
    assert not Path('ran').exists()
    pickle.loads(path.read_bytes())
    assert Path('ran').exists(), 'the payload is a dud, and the test with it'


@pytest.mark.parametrize(
    ('value', 'asked'),
    [
        (np.arange(3), 'numpy'),
        (np.float64(1), 'numpy'),
        (collections.OrderedDict(a=1), 'collections.OrderedDict'),
        (Path('x'), 'pathlib'),
        (len, 'builtins.len'),
    ],
)
@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_objects_are_refused_even_if_harmless(tmp_path, value, asked, protocol):
    path = tmp_path / 'refs.p'
    path.write_bytes(pickle.dumps([REF, value], protocol))
    with pytest.raises(UnsafePickleError, match=asked.replace('builtins', '(__builtin__|builtins)')) as error:
        load_plain_pickle(path)
    assert str(path) in str(error.value) and 'only lists, dicts, strings and numbers' in str(error.value)


@pytest.mark.parametrize(
    'data',
    [
        pickle.dumps([REF] * 3)[:-20],
        pickle.dumps([REF], 0)[:-1],
        b'',
        b'\x89PNG\r\n\x1a\n',
        b'<!DOCTYPE html><title>404</title>',
        b'version https://git-lfs.github.com/spec/v1\n',
        b'\x80\x02U\x01\xff.',
        b'}(K\x01K\x02b.',
        b'\x80\x04Ppersistent\n.',
        b'}' + b')' + b'2\x86' * 60 + b'Ns.',  # a tuple of 2**60 empty tuples, to be hashed
        b'}' + b')' + b'\x85' * 1_000_000 + b'Ns.',  # a tuple so deep that hashing it crashes Python
        b'}(' + b''.join(b'(' + b't' * 9 for _ in range(9)) + b'u.',
        b']r\xff\xff\xff\xff.',  # a place in the memo that needs 64 GB
        b']p4294967295\n.',
        b'X\xff\xff\xff\x7fa.',
        b'\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.',
        b'\x80\x04\x8e\xff\xff\xff\xff\x0f\0\0\0a.',
        b'\x80\x02\x8b\xff\xff\xff\x7fa.',
        b'\x80\x02\x8a\x10' + b'\x01' * 16 + b'.',
        b'I' + b'9' * 3000 + b'\n.',
        b'\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f].',
        b'K',
        b'(' * 10_000,
        b'\x80\x02\x82\x01.',
    ],
)
def test_what_is_no_whole_pickle_is_named(tmp_path, data):
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(data)
    with pytest.raises(UnsafePickleError, match='not a whole pickle') as error:
        load_plain_pickle(path)
    assert str(error.value).startswith(f'{path}: ')


@pytest.mark.parametrize(
    'data', [b']r\xff\xff\xff\xff.', b']p4294967295\n.', b'\x80\x02\x8a\x10' + b'\x01' * 16 + b'.']
)
def test_what_would_fill_the_memory_is_refused_before_it_is_tried(tmp_path, data):
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(data)
    with pytest.raises(UnsafePickleError, match='numbers that no refs file has'):
        load_plain_pickle(path)
