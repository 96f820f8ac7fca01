# ruff: noqa: E501
"""Small files that would cost much: each is read, or refused, in little time and memory."""

import io
import json
import os
import pickle
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from mgfe_ris.apis import load_config, load_model, open_photo
from mgfe_ris.apis.photos import decode_photo
from mgfe_ris.checkpoint_files import read_checkpoint
from mgfe_ris.datasets.index import write_index
from mgfe_ris.datasets.masks import decode_segmentation
from mgfe_ris.datasets.plain_pickle import load_plain_pickle
from mgfe_ris.datasets.rows import read_rows

SECONDS, MEGABYTES = 1.0, 200
"""For each file. Of processor time, which other work on the machine does not lengthen."""


def rows(path: Path, *objects: dict) -> Callable[[], object]:
    path = path.with_suffix('.jsonl')
    path.write_text(''.join(json.dumps({'image': 'a.jpg', 'sentences': ['x'], **one}) + '\n' for one in objects))
    return index_of(path)


def index_of(path: Path) -> Callable[[], object]:
    (path.parent / 'index').mkdir()
    return lambda: write_index(path.parent / 'index', path, read_rows(path))


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 0) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

    header = struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0)
    parts = [(b'IHDR', header), *chunks, (b'IDAT', zlib.compress(bytes(99))), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*part) for part in parts)


def photo(path: Path, data: bytes) -> Callable[[], object]:
    path.write_bytes(data)

    def read() -> None:
        open_photo(path)
        decode_photo(data, path.name)

    return read


def encoded(kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    Image.new('RGB', (8, 6)).save(data, kind, **options)
    return data.getvalue()


def claims(kind: str) -> bytes:
    """A small photo whose header says that it is 60,000 x 60,000."""
    data, size = bytearray(encoded(kind)), 60_000
    if kind == 'JPEG':
        place = data.index(b'\xff\xc0') + 5
        data[place : place + 4] = struct.pack('>HH', size, size)
    elif kind == 'GIF':
        data[6:10] = struct.pack('<HH', size, size)
    elif kind == 'BMP':
        data[18:26] = struct.pack('<ii', size, size)
    elif kind == 'TIFF':
        for tag in (256, 257):
            place = data.index(struct.pack('<HH', tag, 3)) if struct.pack('<HH', tag, 3) in data else None
            if place is None:
                place = data.index(struct.pack('<HH', tag, 4))
            data[place + 2 : place + 12] = struct.pack('<HII', 4, 1, size)
    return bytes(data)


def zip_bomb(path: Path) -> Callable[[], object]:
    """A checkpoint of 1 GB of zeros, deflated."""
    torch.save({'w': torch.zeros(1)}, path.with_suffix('.one'))
    with zipfile.ZipFile(path.with_suffix('.one')) as one, zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as many:
        for name in one.namelist():
            data = one.read(name)
            if name.endswith('data/0'):
                data = bytes(300_000_000)
            elif name.endswith('data.pkl'):
                data = data.replace(b'K\x01t', b'J' + struct.pack('<i', 75_000_000) + b't')
            many.writestr(name, data)
    return lambda: read_checkpoint(path)


def safetensors(path: Path, size: int, header: bytes = b'') -> Callable[[], object]:
    path = path.with_suffix('.safetensors')
    path.write_bytes(struct.pack('<Q', size) + header)
    return lambda: read_checkpoint(path)


def text(path: Path, name: str, content: str, read: Callable[[Path], object]) -> Callable[[], object]:
    path = path.with_name(name)
    path.write_text(content)
    return lambda: read(path)


def model_of(path: Path, folder: Path, **changes: object) -> Callable[[], object]:
    """The folder of a model, of which the config says that it is larger."""
    raw = json.loads((folder / 'config.json').read_text())
    for key, value in changes.items():
        *parts, last = key.split('__')
        node = raw['model']
        for part in parts:
            node = node[part]
        node[last] = value
    (path.parent / 'config.json').write_text(json.dumps(raw))
    (path.parent / 'model.safetensors').symlink_to(folder / 'model.safetensors')
    (path.parent / 'tokenizer').symlink_to(folder / 'tokenizer')
    return lambda: load_model(path.parent, device='cpu')


LARGE = dict(height=32767, width=32767)
TRIANGLE = [[5, 5, 5.1, 5, 5, 5.1]]
FILES: dict[str, Callable[[Path, Path], Callable[[], object]]] = {
    'rows of large photos': lambda p, _: rows(p, *[dict(mask=TRIANGLE, **LARGE, image=f'{i}.jpg') for i in range(20)]),
    'rows of large photos, normalized': lambda p, _: rows(p, *[
        dict(mask=[[0.5, 0.5, 0.5001, 0.5, 0.5, 0.5001]], normalized=True, **LARGE, image=f'{i}.jpg') for i in range(20)
    ]),
    'rows of many tiny polygons': lambda p, _: rows(p, *[dict(mask=TRIANGLE * 2000, **LARGE, image=f'{i}.jpg') for i in range(3)]),
    'rows with one long outline': lambda p, _: rows(p, dict(mask=[[0, 0, 32767, 32767] * 5000], **LARGE)),
    'rows with many long outlines': lambda p, _: rows(p, dict(mask=[[0, 0, 32767, 32767, 0, 32767] * 4] * 5000, **LARGE)),
    'a million equal points': lambda p, _: rows(p, dict(mask=[[5, 5] * 1_000_000], height=9, width=9)),
    'an RLE of huge counts': lambda p, _: rows(p, dict(mask=dict(size=[32767, 32767], counts='o' * 9000), **LARGE)),
    'an RLE of one count': lambda p, _: rows(p, dict(mask=dict(size=[32767, 32767], counts=[32767**2]), **LARGE)),
    'an RLE of many counts': lambda p, _: rows(p, dict(mask=dict(size=[999, 999], counts=[0] * 999_999 + [999**2]), height=999, width=999)),
    'a size of digits': lambda p, _: rows(p, dict(mask=TRIANGLE, height=10**300, width=10**300)),
    'deep JSON rows': lambda p, _: index_of(text_file(p, 'x.jsonl', '{"image": "a.jpg", "mask": ' + '[' * 50_000)),
    'a number of many digits': lambda p, _: index_of(text_file(p, 'x.jsonl', '{"image": ' + '9' * 900_000 + '}')),
    'a mask of 60,000 x 60,000': lambda p, _: mask(p, png(60_000, 60_000, depth=1)),
    'a mask of 12,000 x 12,000': lambda p, _: mask(p, png(12_000, 12_000, depth=16)),
    'a mask in a palette': lambda p, _: mask(p, png(13_000, 13_000, (b'PLTE', bytes(768)), colour=3)),
    'a PNG': lambda p, _: photo(p, png(60_000, 60_000)),
    'a PNG below the limit': lambda p, _: photo(p, png(9_000, 9_000, depth=1)),
    'a PNG with a profile': lambda p, _: photo(p, png(9, 9, (b'iCCP', b'x\0\0' + zlib.compress(bytes(300_000_000), 9)))),
    'a PNG with a text': lambda p, _: photo(p, png(9, 9, (b'zTXt', b'x\0\0' + zlib.compress(bytes(300_000_000), 9)))),
    'a PNG with many texts': lambda p, _: photo(p, png(9, 9, *[(b'zTXt', b'x\0\0' + zlib.compress(bytes(1_000_000), 9))] * 300)),
    **{f'a {kind}': lambda p, _, kind=kind: photo(p, claims(kind)) for kind in ('JPEG', 'GIF', 'BMP', 'TIFF')},
    'an EXIF of many entries': lambda p, _: photo(p, encoded('JPEG', exif=b'Exif\0\0MM\0*\0\0\0\x08\xff\xff' + bytes(60_000))),
    'a checkpoint that was deflated': lambda p, _: zip_bomb(p),
    'safetensors with a long header': lambda p, _: safetensors(p, 2**40),
    'safetensors that declare much': lambda p, _: safetensors(p, 75, b'{"w":{"dtype":"F32","shape":[9999999999],"data_offsets":[0,39999999996]}}   '),
    'a pickle that doubles': lambda p, _: doubling(p),
    'a deep config': lambda p, _: text(p, 'config.json', '{"model": ' + '{"a":' * 5000 + '1' + '}' * 5001, load_config),
    'a wide encoder': lambda p, f: model_of(p, f, encoder__base_channels=20_000),
    'many layers': lambda p, f: model_of(p, f, text_encoder__config__num_hidden_layers=10**6),
    'many words': lambda p, f: model_of(p, f, text_encoder__config__vocab_size=10**9),
    'many positions': lambda p, f: model_of(p, f, text_encoder__config__max_position_embeddings=10**8),
}  # fmt: skip


def text_file(path: Path, name: str, content: str) -> Path:
    path.with_name(name).write_text(content)
    return path.with_name(name)


def mask(path: Path, data: bytes) -> Callable[[], object]:
    path.write_bytes(data)
    return lambda: decode_segmentation({'png': str(path)}, 6, 8)


def doubling(path: Path) -> Callable[[], object]:
    """A list of two lists of two lists ..., each of which is one object."""
    deep: list = []
    for _ in range(40):
        deep = [deep, deep]
    path.write_bytes(pickle.dumps(deep))
    return lambda: load_plain_pickle(path)


def cost(work: Callable[[], object]) -> tuple[float, float, str]:
    """In a process of its own -> seconds of processor, megabytes above the start at the peak, what was said."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        Path('/proc/self/clear_refs').write_text('5')  # the peak begins anew
        before, start, said = peak(), time.process_time(), 'read'
        try:
            work()
        except (OSError, ValueError) as error:
            said = str(error)
        except BaseException as error:
            said = f'!{error!r}'
        os.write(writer, json.dumps([time.process_time() - start, peak() - before, said[:3000]]).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, 'rb') as file:
        found = file.read()
    os.waitpid(child, 0)
    return tuple(json.loads(found or '[99, 99999, "!killed"]'))


def peak() -> float:
    return int(re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[1]) / 1024


@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='the peak of memory is read from Linux')
@pytest.mark.parametrize('name', FILES)
def test_a_small_file_costs_little(tmp_path, model_folder, name):
    (tmp_path / 'x').mkdir()
    work = FILES[name](tmp_path / 'x/file.pth', model_folder)
    seconds, megabytes, said = cost(work)
    assert not said.startswith('!'), said
    assert seconds < SECONDS and megabytes < MEGABYTES, (seconds, megabytes, said)
    print(f'{seconds:.2f} s, {megabytes:.0f} MB: {said[:150]}')
