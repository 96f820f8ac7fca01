# ruff: noqa: E501
"""Small files that would cost much: each is read, or refused, in little time and memory."""

import base64
import io
import json
import os
import pickle
import re
import struct
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from mgfe_ris.apis import load_config, load_model, open_photo
from mgfe_ris.apis.infer.photos import decode_photo
from mgfe_ris.checkpoint_files import read_checkpoint
from mgfe_ris.datasets import convert
from mgfe_ris.datasets.index import write_index
from mgfe_ris.datasets.masks import decode_segmentation
from mgfe_ris.datasets.photo_files import read_header
from mgfe_ris.datasets.plain_pickle import load_plain_pickle
from mgfe_ris.datasets.refer import read_refer
from mgfe_ris.datasets.rows import read_rows
from mgfe_ris.datasets.transforms import LoadPhoto

SECONDS, MEGABYTES = 3.0, 200  # a third of that on an idle machine; other programs slow a processor's time, too
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
        said = []
        for work in (lambda: decode_photo(data, str(open_photo(path))), lambda: load_as_training_does(path)):
            try:
                work()
            except ValueError as error:
                said.append(str(error))
        if said:
            raise ValueError('; '.join(said))

    return read


def load_as_training_does(path: Path) -> None:
    height, width = read_header(path).size
    LoadPhoto().transform(dict(img_path=str(path), height=height, width=width))


def comments(size: int) -> bytes:
    """A GIF of 2 MB of comments."""
    start = b'GIF89a' + struct.pack('<HHBBB', 8, 6, 0, 0, 0)
    return start + (b'\x21\xfe' + bytes([size]) + b'a' * size + b'\0') * (2_000_000 // (size + 4)) + b';'


def flat(side: int, depth: int = 8, colour: int = 0) -> bytes:
    """A whole PNG of zeros."""
    row, pack = bytes(1 + side * depth * (1, 0, 3, 0, 0, 0, 4)[colour] // 8), zlib.compressobj(1)
    data = b''.join(pack.compress(row) for _ in range(side)) + pack.flush()
    return png(side, side, (b'IDAT', data), depth=depth, colour=colour)


def scans(side: int, number: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    buffer = io.BytesIO()
    Image.new('RGB', (side, side)).save(buffer, 'JPEG', progressive=True)
    data = buffer.getvalue()
    return data[:-2] + number * data[data.rindex(b'\xff\xda') : -2] + data[-2:]


def moving(side: int) -> bytes:
    """An animated WEBP of two tiny pictures, whose header says that it is large."""
    data = bytearray(encoded('WEBP', save_all=True, append_images=[Image.new('RGB', (8, 6), 'red')]))
    place = data.index(b'VP8X') + 12
    data[place : place + 6] = (side - 1).to_bytes(3, 'little') * 2
    return bytes(data)


def parquet(path: Path, count: int, **columns: object) -> Callable[[], object]:
    """A file in which each column has one value, so many times."""
    pa = pytest.importorskip('pyarrow')
    from pyarrow.parquet import write_table

    same = pa.array([0]).take(pa.array([0])).cast('int32')
    columns = {'image': 'a.jpg', 'sentence': 'x', 'mask': 'm.png', **columns}
    number = pa.repeat(same[0], count)
    table = {key: pa.DictionaryArray.from_arrays(number, pa.array([value])) for key, value in columns.items()}
    write_table(pa.table(table), path.with_suffix('.parquet'), compression='zstd')
    return index_of(path.with_suffix('.parquet'))


def refer(path: Path, refs: bytes | None = None, instances: dict | str | None = None) -> Callable[[], object]:
    """A folder in RefCOCO's form."""
    one = dict(ref_id=1, ann_id=1, image_id=1, split='val', sentences=[dict(sent_id=1, sent='x', raw='x')])
    path.with_name('refs(unc).p').write_bytes(pickle.dumps([one]) if refs is None else refs)
    text = instances if isinstance(instances, str) else json.dumps(instances or instances_of(TRIANGLE))
    path.with_name('instances.json').write_text(text)
    (path.parent / 'index').mkdir()
    return lambda: write_index(path.parent / 'index', path.parent, read_refer(path.parent, 'unc'))


def instances_of(segmentation: object, **size: int) -> dict:
    image = {'id': 1, 'file_name': 'a.jpg', 'height': 900, 'width': 900, **size}
    return dict(images=[image], annotations=[dict(id=1, image_id=1, caption='x', segmentation=segmentation)])


def annotations(path: Path, form: str, name: str, content: object) -> Callable[[], object]:
    """Of a labelling tool, beside a photo of 900 x 900."""
    (path.parent / 'photos').mkdir()
    Image.new('L', (900, 900)).save(path.parent / 'photos/a.jpg')
    source = path.parent / 'labels'
    source.mkdir()
    (source / 'classes.txt').write_text('x')
    (source / name).write_text(content if isinstance(content, str) else json.dumps(content))
    photos, skipped = convert.Photos(path.parent / 'photos'), Counter()
    source = source if form in ('labelme', 'yolo') else source / name
    objects = convert.FORMS[form](source, photos, skipped, None)
    return lambda: convert.write_lines(objects, path.with_suffix('.jsonl'), skipped)


def labelme(path: Path, *shapes: dict) -> Callable[[], object]:
    size = dict(imagePath='a.jpg', imageHeight=900, imageWidth=900)
    return annotations(path, 'labelme', 'a.json', dict(size, shapes=[dict(description='x', **one) for one in shapes]))


def cvat(path: Path, shapes: str, doctype: str = '', width: object = 900) -> Callable[[], object]:
    image = f'<image id="0" name="a.jpg" width="{width}" height="900">{shapes}</image>'
    text = f'<?xml version="1.0"?>{doctype}<annotations>{image}</annotations>'
    return annotations(path, 'cvat', 'annotations.xml', text)


def entities(depth: int) -> str:
    """Each of which is ten of the one before."""
    names = ''.join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(depth))
    return f'<!DOCTYPE x [<!ENTITY e0 "lol">{names}]>'


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


LONG = 'y' * 1_000_000
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
    **{f'a GIF with comments of {n}': lambda p, _, n=n: photo(p, comments(n)) for n in (1, 255)},
    **{f'a PNG of {side} x {side}': lambda p, _, side=side: photo(p, flat(side)) for side in (4_000, 9_000)},
    'a PNG in 16 bits': lambda p, _: photo(p, flat(3_900, 16, 6)),
    'a WEBP of 60,000 parts': lambda p, _: photo(p, encoded('WEBP') + b'abCd\0\0\0\0' * 60_000),
    **{f'a moving WEBP of {side}': lambda p, _, side=side: photo(p, moving(side)) for side in (4_000, 9_000, 16_000)},
    'a JPEG of many scans': lambda p, _: photo(p, scans(1_000, 3_000)),
    'a large JPEG of 60 scans': lambda p, _: photo(p, scans(4_000, 50)),
    'a JPEG of many segments': lambda p, _: photo(p, encoded('JPEG').replace(b'\xff\xd8', b'\xff\xd8' + b'\xff\xfe\0\4ab' * 300_000, 1)),
    'a script of lines': lambda p, _: photo(p, b'%!PS-Adobe-3.0 EPSF-3.0\n' + b'%%A: b\n' * 300_000),
    'a parquet of many rows': lambda p, _: parquet(p, 5_000_000),
    'a parquet of one long text': lambda p, _: parquet(p, 300, sentence='x' * 2_000_000),
    'a parquet that unpacks': lambda p, _: parquet(p, 1, image=bytes(50_000_000)),
    'sentences without end': lambda p, _: rows(p, dict(mask=TRIANGLE, sentences=['x'] * 500_000)),
    'objects that share a text': lambda p, _: rows(p, dict(sentences=['x' * 100_000], samples=[dict(mask=TRIANGLE)] * 10_000)),
    'a line of 40 MB': lambda p, _: rows(p, dict(mask=[[5] * 13_000_000])),
    'one of a JSON array of 40 MB': lambda p, _: index_of(text_file(p, 'x.json', '[{"mask": [' + '5,' * 20_000_000 + '5]}]')),
    'instances of a large RLE': lambda p, _: refer(p, instances=instances_of(dict(size=[32767, 32767], counts=[32767**2]), height=32767, width=32767)),
    'instances of huge counts': lambda p, _: refer(p, instances=instances_of(dict(size=[900, 900], counts='o' * 9000))),
    'instances of many points': lambda p, _: refer(p, instances=instances_of([[5] * 2_000_000])),
    'instances that are not meant': lambda p, _: refer(p, instances='{"annotations": [' + '{"id":2},' * 200_000 + json.dumps(instances_of(TRIANGLE))[1:].replace('"images"', '{"id": 3}], "images"')),
    'deep instances': lambda p, _: refer(p, instances='{"images":[' + '[' * 1_000_000),
    'a deep pickle': lambda p, _: refer(p, b'\x80\x02' + b']' * 500_000 + b'a' * 499_999 + b'.'),
    'a pickle with a far memo': lambda p, _: refer(p, b'\x80\x02]r\xff\xff\xff\x0f.'),
    'a pickle of one long text': lambda p, _: refer(p, pickle.dumps([dict(ref_id=i, ann_id=1, image_id=1, split='val', sentences=[dict(sent_id=i, sent=LONG)]) for i in range(2000)])),
    'a pickle of marks': lambda p, _: refer(p, b'(' * 1_000_000 + b'.'),
    'labelme: 400,000 points': lambda p, _: labelme(p, dict(points=[[5, 5]] * 400_000)),
    'labelme: a huge circle': lambda p, _: labelme(p, dict(shape_type='circle', points=[[5, 5], [1e9, 5]])),
    'labelme: an endless circle': lambda p, _: labelme(p, dict(shape_type='circle', points=[[5, 5], [1e308, -1e308]])),
    'labelme: a mask of 9,000 x 9,000': lambda p, _: labelme(p, dict(shape_type='mask', points=[[0, 0], [8999, 8999]], mask=base64.b64encode(flat(9_000)).decode())),
    'CVAT: entities': lambda p, _: cvat(p, '<polygon label="&e9;" points="1,1;9,1;9,9"/>', entities(9)),
    'CVAT: a file of another': lambda p, _: cvat(p, '&e;', '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///dev/zero">]>'),
    'CVAT: 700,000 points': lambda p, _: cvat(p, f'<polygon points="{"5,5;" * 700_000}"/>'),
    'CVAT: a mask of 30,000 x 30,000': lambda p, _: cvat(p, '<mask left="0" top="0" width="30000" height="30000" rle="900000000"/>'),
    'CVAT: a huge ellipse': lambda p, _: cvat(p, '<ellipse cx="1" cy="1" rx="1e9" ry="inf"/>'),
    'CVAT: a size of digits': lambda p, _: cvat(p, '', width='9' * 4000),
    'YOLO: a million numbers': lambda p, _: annotations(p, 'yolo', 'a.txt', '0 ' + '0.5 ' * 1_000_000),
    'CVAT: elements in elements': lambda p, _: cvat(p, '<a>' * 500_000),
    'YOLO: deep names': lambda p, _: annotations(p, 'yolo', 'data.yaml', 'names: ' + '[' * 50_000),
    'YOLO: many names': lambda p, _: annotations(p, 'yolo', 'data.yaml', 'names:\n' + ' - x\n' * 300_000),
    'YOLO: names of names': lambda p, _: annotations(p, 'yolo', 'data.yaml', 'a: &a0 [x]\n' + ''.join(f'b{i}: &a{i + 1} [{f"*a{i}, " * 9}]\n' for i in range(9)) + 'names: *a9'),
    'COCO: many points': lambda p, _: annotations(p, 'coco', 'a.json', instances_of([[5] * 2_000_000])),
    'COCO: a large RLE': lambda p, _: annotations(p, 'coco', 'a.json', instances_of(dict(size=[10**9, 10**9], counts=[10**18]), height=10**9, width=10**9)),
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
