"""RefCOCO's files: plain pickles are read, whatever Python wrote them; anything else is refused and runs nothing."""

import builtins
import collections
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from mgfe_ris.datasets.numpy_scalars import SCALARS
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


NUMBERS = [
    np.int64(-7), np.int32(5), np.uint8(255), np.uint64(2**64 - 1), np.float64(0.1), np.float32(0.5), np.float16(2),
    np.bool_(True), np.bool_(False), np.str_('café 🐶'), np.str_(''), np.int64(7),
]  # fmt: skip


@pytest.mark.parametrize('protocol', range(6))
@pytest.mark.parametrize('core', ['numpy._core.multiarray', 'numpy.core.multiarray'])
def test_numbers_and_strings_of_numpy_become_those_of_python(tmp_path, protocol, core):
    refs = [dict(REF, ref_id=np.int64(i), x=NUMBERS, split=np.str_('val')) for i in range(9)]
    data = pickle.dumps(refs, protocol)
    ours = np.array(1).__reduce__()[0].__module__.encode()  # of the numpy that runs
    if protocol >= 4:  # without the frame, which says a length
        data = data[:2] + data[11:]
        data = data.replace(bytes([len(ours)]) + ours, bytes([len(core)]) + core.encode())
    data = data.replace(ours, core.encode())
    assert core.encode() in data
    path = tmp_path / 'refs.p'
    path.write_bytes(data)
    found = load_plain_pickle(path)
    assert found == refs
    told = [*found[0]['x'], found[3]['ref_id'], found[3]['split']]
    assert [type(x) for x in told] == [int] * 4 + [float] * 3 + [bool] * 2 + [str] * 2 + [int, int, str]


def test_a_number_of_numpy_as_it_is_stored_elsewhere(tmp_path):
    """With the other order of bytes."""
    path = tmp_path / 'refs.p'
    path.write_bytes(pickle.dumps([np.array(258, '>i4')[()], np.array('é', '>U1')[()]], 2))
    assert load_plain_pickle(path) == [258, 'é']


DTYPE = b'cnumpy\ndtype\n'
KIND = DTYPE + b'X\x02\0\0\0i8\x89\x88\x87R'
SCALAR = b'cnumpy._core.multiarray\nscalar\n'


@pytest.mark.parametrize(
    'data',
    [
        SCALAR + KIND + b'C\x03abc\x86R.',  # too short
        SCALAR + KIND + b'K\x01\x86R.',
        SCALAR + b'K\x01C\x08abcdefgh\x86R.',
        SCALAR + KIND + b'C\x08abcdefgh\x86b.',  # sets an attribute of the function
        SCALAR + b'}X\x08\0\0\0__code__K\x01s\x85b.',
        SCALAR + b'N}X\x04\0\0\0makeK\x01s\x86b.',
        KIND + b'}X\x04\0\0\0nameK\x01s\x85b.',
        KIND + b'(NX\x01\0\0\0!tb.',
        DTYPE + b'X\x01\0\0\0O\x85R.',
        DTYPE + b'X\x0bU9999999999\x85R.',
        b'c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0hex\x86R.',
        b'}' + SCALAR + b')' + b'2\x86' * 60 + b'Ns.',
        b'}(' + SCALAR + b''.join(b'(' + b't' * 9 for _ in range(9)) + b'u.',
        SCALAR + b'tr\xff\xff\xff\xffR.',
        SCALAR + b'(tp999999999\nR.',
        KIND + b'(K\x01tq\x05R.',  # calls what is no function
        b'}(K\x01K\x02tq\x00h\x00\x86R.',
        b'}K\x01K\x02\x86K\x03s.',  # a tuple as a key
    ],
)
def test_nothing_but_numbers_is_made_by_the_stand_ins(tmp_path, data):
    before = {key: (stand, stand.make) for key, stand in SCALARS.items()}
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(b'\x80\x03' + data)
    with pytest.raises(UnsafePickleError) as error:
        load_plain_pickle(path)
    assert str(error.value).startswith(f'{path}: ')
    assert {key: (stand, stand.make) for key, stand in SCALARS.items()} == before


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
        (np.dtype([('a', 'i8')]), 'numpy|not a whole pickle'),
        (np.datetime64('2020-01-01'), 'numpy|not a whole pickle'),
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
    assert str(path) in str(error.value)
    assert 'numpy' in asked or 'only lists, dicts, strings and numbers' in str(error.value)


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
