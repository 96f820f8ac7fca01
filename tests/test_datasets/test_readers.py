"""Annotations of every form as records, and what is said of those that are none."""

import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgfe_ris.datasets.masks import decode_segmentation
from mgfe_ris.datasets.readers import Sentence, check_name, cleaned, read_refer, read_rows
from mgfe_ris.datasets.row_files import row_files

REPO = Path(__file__).parents[2]
POLYGON = [0, 0, 3, 0, 3, 3]
RLE = dict(size=[4, 6], counts=[9, 3, 12])
REF = dict(ref_id=3, ann_id=5, image_id=7, split='val', sentences=[dict(sent_id=1, raw='Left dog', sent='left dog')])
INSTANCES = dict(
    images=[dict(id=7, file_name='a.jpg', height=4, width=6)],
    annotations=[
        dict(id=5, image_id=7, segmentation=[POLYGON]),
        dict(id=6, image_id=7, segmentation=RLE),
        dict(id=8, image_id=7, segmentation='of no ref'),
    ],
)


def write(folder: Path, refs: object = None, instances: object = None, name: str = 'refs(unc).p') -> Path:
    refs = [REF] if refs is None else refs
    instances = INSTANCES if instances is None else instances
    if name.endswith('.json'):
        refs = json.dumps(refs).encode()
    (folder / name).write_bytes(refs if isinstance(refs, bytes) else pickle.dumps(refs, protocol=2))
    data = instances if isinstance(instances, bytes) else json.dumps(instances).encode()
    (folder / 'instances.json').write_bytes(data)
    return folder


def refer(folder: Path, split_by: str = 'unc') -> list:
    return list(read_refer(folder, split_by))


def instances_with(**annotation: object) -> dict:
    return dict(INSTANCES, annotations=[dict(INSTANCES['annotations'][0], **annotation)])


# The two files of a folder


@pytest.mark.parametrize('name', ['refs(unc).p', 'refs(umd).p', 'refs(google).p', 'refs(berkeley).p', 'refs(unc).json'])
def test_refer(tmp_path, name):
    (record,) = refer(write(tmp_path, name=name), name[5:].split(')')[0])
    assert record[:5] == ('val', 'a.jpg', (4, 6), 7, 3)
    assert record.parts == [POLYGON] and record.sentences == [Sentence(1, 'Left dog', 'left dog')]


def test_a_sentence_without_its_raw_form(tmp_path):
    (record,) = refer(write(tmp_path, [dict(REF, sentences=[dict(sent_id=1, sent='dog')])]))
    assert record.sentences == [Sentence(1, 'dog', 'dog')]


def test_refclef_has_lists_of_rles(tmp_path):
    rles = [dict(size=[4, 6], counts='PPYo0'), RLE]
    (record,) = refer(write(tmp_path, instances=instances_with(segmentation=rles)))
    assert record.parts == rles


def test_grefcoco_has_several_targets_or_none(tmp_path):
    refs = [
        dict(REF, ref_id=1, ann_id=[5, 6], no_target=False),
        dict(REF, ref_id=2, ann_id=[6]),
        dict(REF, ref_id=3, ann_id=[-1]),
        dict(REF, ref_id=4, ann_id=[], no_target=True),
        dict(REF, ref_id=5, ann_id=[5], no_target=True),
    ]
    records = refer(write(tmp_path, refs, name='grefs(unc).json'))
    assert [(r.ref_id, r.parts) for r in records] == [(1, [POLYGON, RLE]), (2, [RLE]), (3, []), (4, []), (5, [])]
    write(tmp_path, refs[2:], dict(INSTANCES, annotations=[]), 'grefs(unc).json')
    assert len(refer(tmp_path)) == 3


def test_the_order_is_that_of_the_refs_and_all_splits_come(coco_ref):
    with (coco_ref / 'refcoco/refs(unc).p').open('rb') as file:
        refs = pickle.load(file)
    instances = json.loads((coco_ref / 'refcoco/instances.json').read_text())
    masks = {a['id']: a['segmentation'] for a in instances['annotations']}
    names = {i['id']: i['file_name'] for i in instances['images']}
    records = refer(coco_ref / 'refcoco')
    assert [(r.ref_id, r.split, r.file_name) for r in records] == [
        (r['ref_id'], r['split'], names[r['image_id']]) for r in refs
    ]
    for record, ref in zip(records, refs, strict=True):
        mask = masks[ref['ann_id']]
        assert record.parts == (mask if isinstance(mask, list) else [mask])
        assert record.sentences == [(s['sent_id'], s['raw'], s['sent']) for s in ref['sentences']]


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere: no such folder\. Set data_root'):
        refer(tmp_path / 'nowhere')


def test_missing_files_with_what_there_is_instead(tmp_path):
    write(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'refs\(umd\)\.p: no such file.*refs\(unc\)\.p'):
        refer(tmp_path, 'umd')
    (tmp_path / 'instances.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'instances\.json: no such file.*refs\(unc\)\.p'):
        refer(tmp_path)


@pytest.mark.parametrize(
    'data', [b'<html>', b'', b'{"images": [', '{"images": []}'.encode('utf-16'), b'{"images": "\xe9"}', b'[]', b'{}']
)
def test_instances_that_are_no_json(tmp_path, data):
    with pytest.raises(ValueError, match=r'instances\.json: (not JSON|expected)') as error:
        refer(write(tmp_path, instances=data))
    assert str(tmp_path) in str(error.value)


LONG = 'x' * 300


@pytest.mark.parametrize(
    ('instances', 'reason'),
    [
        ({}, 'found'),
        (dict(INSTANCES, images=None), 'number as id'),
        (dict(INSTANCES, images=[7]), 'number as id'),
        (dict(INSTANCES, images=[dict(id='seven')]), "id must be a whole number; got 'seven'"),
        ({'images': INSTANCES['images']}, 'found'),
        ({'annotations': INSTANCES['annotations']}, 'found'),
        (dict(INSTANCES, annotations=[[]]), 'number as id'),
        (dict(INSTANCES, annotations=[dict(id=5)]), "lacks 'segmentation'"),
        (dict(INSTANCES, images=[dict(id=7, file_name='a.jpg')]), "lacks 'height'"),
        *(
            (dict(INSTANCES, images=[dict(id=7, file_name=name, height=4, width=6)]), 'file')
            for name in ('../a', '/', 'a/../../b', 'a\\..\\..\\b', 'C:\\a', 'a\0', '', '.', None, 7, [], LONG)
        ),
        *(
            (dict(INSTANCES, images=[dict(id=7, file_name='a', height=h, width=6)]), 'pixels|height must')
            for h in (0, -1, 2**15, 10**30, 4.5, True, None, '4 px', float('nan'))
        ),
        *((instances_with(segmentation=mask), 'mask') for mask in (7, 'x', None, [], True)),
        *((instances_with(segmentation={'png': name}), 'no file name') for name in ('../a.png', '..\\a.png')),
        *((instances_with(segmentation={'png': name}), 'must be a string') for name in (7, None)),
        (instances_with(segmentation=[POLYGON, {'png': '../a.png'}]), 'no file name'),
    ],
)
def test_instances_of_another_form(tmp_path, instances, reason):
    with pytest.raises(ValueError, match=rf'instances\.json: .*COCO instances.*{reason}') as error:
        refer(write(tmp_path, instances=instances))
    assert str(tmp_path) in str(error.value) and len(str(error.value)) < 600


SAID = REF['sentences'][0]


@pytest.mark.parametrize('name', ['refs(unc).p', 'refs(unc).json'])
@pytest.mark.parametrize(
    ('refs', 'reason'),
    [
        ([], r'a list of refs with .*; got list \[\]'),
        ({'refs': [REF]}, r"a list of refs with .*; got an object with \['refs'\]"),
        ('refs', "got str 'refs'"),
        (7, 'got int 7'),
        ([REF, 'x'], "ref 2 of 2: expected an object with .*; got 'x'"),
        ([REF, {k: v for k, v in REF.items() if k != 'split'}], r'ref 2 of 2 \(ref_id 3\): it lacks split'),
        *(
            ([dict(REF, ref_id=9), dict(REF, **{key: bad})], f'ref 2 of 2 .*: {key} must be a whole number; got')
            for key in ('ref_id', 'image_id', 'ann_id')
            for bad in (None, 1.5, {}, 2**70, True, 'refcocog_161801', '7.0', '')
        ),
        *(([REF, dict(REF, split=bad)], 'ref 2 of 2 .*: split must be a string') for bad in (None, 1, {})),
        *(([REF, dict(REF, sentences=bad)], 'ref 2 of 2 .*: sentences must be a list') for bad in (None, {}, 'dog')),
        ([REF, dict(REF, ann_id=[5, 'six'])], "ref 2 of 2 .*: ann_id must be a whole number; got 'six'"),
        ([REF, dict(REF, ref_id=4, ann_id=[5, 6, 5])], r'ref 2 of 2 \(ref_id 4\): ann_id names an object twice'),
        ([REF, dict(REF, ref_id=4, ann_id=[5, '5'])], 'ann_id names an object twice'),
        ([REF, dict(REF, ref_id=4), dict(REF, ref_id='4')], '2 refs have ref_id 4'),
        ([REF, dict(REF, sentences=['left dog'])], "ref 2 of 2 .*: a sentence must be .*; got 'left dog'"),
        ([REF, dict(REF, sentences=[dict(sent_id=1)])], 'ref 2 of 2 .*: sent, and raw'),
        ([REF, dict(REF, sentences=[dict(SAID, sent_id='one')])], "sent_id must be a whole number; got 'one'"),
        ([REF, dict(REF, sentences=[dict(SAID, raw=None)])], 'ref 2 of 2 .*: sent, and raw'),
    ],
)
def test_refs_of_another_form(tmp_path, refs, reason, name):
    with pytest.raises(ValueError, match=rf'refs\(unc\)\..*: .*{reason}') as error:
        refer(write(tmp_path, refs=refs, name=name))
    assert str(tmp_path) in str(error.value) and len(str(error.value)) < 400


def test_a_pickle_that_holds_itself_is_named_at_once(tmp_path):
    """60 lists that hold the next one twice: written out, they would have no end."""
    nest: list = []
    for _ in range(60):
        nest = [nest, nest]
    for refs in ([nest], [dict(REF, ref_id=nest)], [dict(REF, sentences=[nest])], [dict(REF, ann_id=[nest])]):
        with pytest.raises(ValueError, match=r'ref 1 of 1'):
            refer(write(tmp_path, refs))


@pytest.mark.parametrize('form', [str, float, lambda n: n])
def test_ids_and_sizes_as_text_or_whole_floats(tmp_path, form):
    refs = [dict(REF, ref_id=form(3), ann_id=[form(5), form(6)], image_id=form(7))]
    refs[0]['sentences'] = [dict(SAID, sent_id=form(1))]
    images = [dict(id=form(7), file_name='a.jpg', height=form(4), width=form(6))]
    annotations = [dict(INSTANCES['annotations'][i], id=form(5 + i), image_id=form(7)) for i in (0, 1)]
    (record,) = refer(write(tmp_path, refs, dict(images=images, annotations=annotations), 'grefs(unc).json'))
    assert record[:5] == ('val', 'a.jpg', (4, 6), 7, 3) and record.parts == [POLYGON, RLE]
    assert record.sentences == [Sentence(1, 'Left dog', 'left dog')]
    assert {type(x) for x in (record.img_id, record.ref_id, record.sentences[0].sent_id, *record.size)} == {int}


def test_an_annotation_of_another_photo(tmp_path):
    refs = [REF, dict(REF, ref_id=4, ann_id=[5, 6])]
    instances = json.loads(json.dumps(INSTANCES))
    instances['annotations'][1]['image_id'] = 99
    with pytest.raises(ValueError, match=r'1 annotations are of another photo .* ann_id 6 of ref_id 4: image_id 99 in'):
        refer(write(tmp_path, refs, instances))
    del instances['annotations'][1]['image_id']  # nothing is said
    assert len(refer(write(tmp_path, refs, instances))) == 2


@pytest.mark.parametrize(
    ('key', 'change'),
    [
        ('images', dict(file_name='b.jpg')),
        ('images', dict(height=5)),
        ('annotations', dict(segmentation=[[1, *POLYGON[1:]]])),
        ('annotations', dict(image_id=8)),
    ],
)
def test_two_of_one_id_in_instances(tmp_path, key, change):
    first = INSTANCES[key][0]
    with pytest.raises(ValueError, match=rf'instances\.json: {key} .* another before it has the id {first["id"]}'):
        refer(write(tmp_path, instances=dict(INSTANCES, **{key: [*INSTANCES[key], dict(first, **change)]})))
    assert len(refer(write(tmp_path, instances=dict(INSTANCES, **{key: [*INSTANCES[key], first]})))) == 1


@pytest.mark.parametrize('data', [b'', b'[', b'\xff', b'[' * 100_000, b'[' + b'9' * 5000 + b']'])
def test_refs_that_are_no_json(tmp_path, data):
    write(tmp_path)
    (tmp_path / 'refs(b).json').write_bytes(data)
    with pytest.raises(ValueError, match=r'refs\(b\)\.json: not JSON'):
        refer(tmp_path, 'b')


@pytest.mark.parametrize('key', ['image_id', 'ann_id'])
def test_refs_to_what_is_not_there(tmp_path, key):
    refs = [REF, dict(REF, ref_id=4, **{key: 99})]
    with pytest.raises(ValueError, match=rf'1 refs .*instances\.json; the first is ref_id 4 with {key} 99') as error:
        refer(write(tmp_path, refs))
    assert str(tmp_path) in str(error.value)


def test_a_pickle_that_grows_when_it_is_read(tmp_path):
    """One list in many places: a hundred kilobytes that say millions of sentences."""
    many = [REF['sentences'][0]] * 20_000
    for refs in (
        [dict(REF, sentences=many)] * 20_000,
        [dict(REF, sentences=[dict(sent_id=1, sent='x' * 100_000)])] * 20_000,
        [dict(REF, ann_id=list(range(20_000)))] * 20_000,
    ):
        with pytest.raises(ValueError, match=r'refs\(unc\)\.p: the refs repeat themselves'):
            refer(write(tmp_path, refs))
    with pytest.raises(ValueError, match=r'instances\.json: the refs repeat themselves'):
        refer(
            write(tmp_path, [dict(REF, ref_id=i) for i in range(2000)], instances_with(segmentation=[POLYGON * 1000]))
        )


# A row per object

ROW = dict(image='a.jpg', sentences=['dog', 'big dog'], mask=[POLYGON])


def lines(tmp_path: Path, *rows: object, name: str = 'train.jsonl') -> list:
    path = tmp_path / name
    path.write_text('\n'.join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return list(read_rows(path))


def test_json_lines(tmp_path):
    first, second, third = lines(
        tmp_path,
        ROW,
        '',
        dict(ROW, image='b.jpg', sentences='cat', mask='m/b.png', split='val', height=4, width=6),
        dict(ROW, mask=None, image_id=70, ref_id='80', sent_ids=[90, '91']),
    )
    assert first[:5] == ('train', 'a.jpg', (0, 0), 0, 0) and first.parts == [POLYGON]
    assert first.sentences == [Sentence(0, 'dog', 'dog'), Sentence(1, 'big dog', 'big dog')]
    assert second[:5] == ('val', 'b.jpg', (4, 6), 1, 1) and second.parts == [{'png': 'm/b.png'}]
    assert second.sentences == [Sentence(2, 'cat', 'cat')]
    assert third[:5] == ('train', 'a.jpg', (0, 0), 70, 80) and third.parts == []
    assert [s.sent_id for s in third.sentences] == [90, 91]


@pytest.mark.parametrize(
    ('mask', 'parts'),
    [
        (POLYGON, [POLYGON]),
        ([POLYGON, POLYGON], [POLYGON, POLYGON]),
        (RLE, [RLE]),
        ([RLE, POLYGON], [RLE, POLYGON]),
        ({'segmentation': [POLYGON], 'area': 3}, [POLYGON]),
        (json.dumps(RLE), [RLE]),
        (json.dumps([POLYGON]), [POLYGON]),
        ({'png': 'm.png'}, [{'png': 'm.png'}]),
    ],
)
@pytest.mark.parametrize('key', ['mask', 'segmentation', 'raw_anns'])
def test_masks_of_rows(tmp_path, mask, parts, key):
    row = {**ROW, key: mask}
    if key != 'mask':
        row['mask'] = None  # an empty column says nothing where another is full
    assert lines(tmp_path, row)[0].parts == parts


def test_the_split_of_a_file_in_pieces(tmp_path):
    assert lines(tmp_path, ROW, name='testA-00003-of-00012.jsonl')[0].split == 'testA'


@pytest.mark.parametrize(
    ('row', 'reason'),
    [
        ([], 'object by name'),
        ('7', 'object by name'),
        ({}, 'none of file_name'),
        (dict(image='a.jpg'), 'none of sentences'),
        (dict(image='a.jpg', sentences=['x']), 'none of mask'),
        (dict(ROW, sentences=[]), 'no sentence'),
        (dict(ROW, sentences=[7]), 'must be a string'),
        (dict(ROW, sentences=[{'text': 'x'}]), 'must be a string'),
        (dict(ROW, sentences={'sent': 7}), 'must be a string'),
        (dict(ROW, split=7), 'split must be a string'),
        (dict(ROW, height=4), 'width must be a whole number'),
        (dict(ROW, height='4 px', width=6), "height must be a whole number; got '4 px'"),
        (dict(ROW, height=0, width=6), 'pixels'),
        (dict(ROW, image_id=1.5), 'image_id must be a whole number; got 1.5. Leave image_id away'),
        (
            dict(ROW, ref_id='refcocog_161801'),
            "ref_id must be a whole number; got 'refcocog_161801'. Leave ",
        ),
        (dict(ROW, ref_id=2**70), 'whole number'),
        (dict(ROW, mask='m.png', mask_value=-1), 'mask_value must be'),
        (dict(ROW, mask='m.png', mask_value=[1, 2]), 'mask_value must be'),
        (dict(ROW, mask='m.png', mask_value=True), 'mask_value must be'),
        (dict(ROW, mask='m.png', mask_value='all'), 'mask_value must be'),
        (dict(ROW, sent_ids=[{}, 1]), 'whole number'),
        (dict(ROW, raw_image_info='[1]'), 'raw_image_info'),
        (dict(ROW, mask='[1'), 'Expecting|delimiter'),
        (dict(ROW, mask='[' * 100_000), 'recursion'),
        *((dict(ROW, mask=mask), 'mask') for mask in ([], 7, True)),
        *((dict(ROW, mask=mask), 'no file name') for mask in ('../m.png', '..\\m.png')),
        (dict(ROW, mask={'png': 7}), 'must be a string'),
        *((dict(ROW, image=name), 'no file name') for name in ('../a', '/', 'a/..', '..\\a', 'C:a', 'a\0', '.')),
        (dict(ROW, image=LONG), 'too long'),
        (dict(ROW, image='\ud800'), 'surrogates'),
        (dict(ROW, image=7), 'must be a string'),
    ],
)
def test_rows_of_another_form(tmp_path, row, reason):
    with pytest.raises(ValueError, match=rf'train\.jsonl, row 2: .*({reason})') as error:
        lines(tmp_path, ROW, row)
    assert str(tmp_path) in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize('line', ['{', 'x', '[' * 100_000, '{"a": ' + '9' * 5000 + '}'])
def test_lines_that_are_no_json(tmp_path, line):
    with pytest.raises(ValueError, match=r'train\.jsonl, line 2: not JSON'):
        lines(tmp_path, ROW, line)


@pytest.mark.parametrize('name', ['x.jsonl', 'x.parquet'])
def test_missing_rows(tmp_path, name):
    pytest.importorskip('pyarrow')
    with pytest.raises(FileNotFoundError, match=rf'{name}: no such file'):
        list(read_rows(tmp_path / name))
    (tmp_path / name).mkdir()
    with pytest.raises(FileNotFoundError, match=rf'{name}: no such file'):
        list(read_rows(tmp_path / name))


# Parquet


def parquet(path: Path, rows: list[dict]) -> list:
    pyarrow = pytest.importorskip('pyarrow')
    pytest.importorskip('pyarrow.parquet').write_table(pyarrow.Table.from_pylist(rows), path)
    return list(read_rows(path))


def test_parquet_of_jxu124(tmp_path):
    row = dict(
        sent_ids=[11, 12], file_name='COCO_train2014_000000581857_16.jpg', ann_id=5, ref_id=3, image_id=581857,
        split='testA', category='dog',
        sentences=[dict(raw='Left dog', sent='left dog', sent_id=s, tokens=['left', 'dog']) for s in (11, 12)],
        raw_anns=json.dumps(dict(segmentation=[POLYGON], area=1.5, iscrowd=0, id=5)),
        raw_image_info=json.dumps(dict(height=427, width=640, id=581857)),
        image_path='coco/train2014/COCO_train2014_000000581857.jpg', captions=['left dog', 'left dog'],
    )  # fmt: skip
    (record,) = parquet(tmp_path / 'train-00000-of-00001-abc.parquet', [row])
    assert record[:5] == ('testA', 'COCO_train2014_000000581857_16.jpg', (427, 640), 581857, 3)
    assert record.sentences == [Sentence(s, 'Left dog', 'left dog') for s in (11, 12)] and record.parts == [POLYGON]


def photo(shade: int = 0, size: tuple[int, int] = (6, 4), form: str = 'JPEG', **options: object) -> bytes:
    """size: (width, height)."""
    file = io.BytesIO()
    Image.new('RGB', size, (shade, shade, shade)).save(file, form, **options)
    return file.getvalue()


def test_parquet_of_lmms_lab(tmp_path):
    row = dict(
        question_id='469306', image=dict(bytes=photo(), path='x.jpg'), question='Describe the object',
        answer=['left dog', 'dog'], segmentation=[0.5, *POLYGON[1:]], bbox=[0.0, 1.0, 2.0, 3.0], iscrowd=0,
        file_name='COCO_train2014_000000581857_0.jpg',
    )  # fmt: skip
    other = dict(row, answer=['cat'], file_name='COCO_train2014_000000581857_1.jpg')
    third = dict(other, image=dict(bytes=photo(99), path=None))
    records = parquet(tmp_path / 'val-00000-of-00001.parquet', [row, other, third])
    assert records[0].split == 'val' and records[0].size == (0, 0)
    assert [r.photo for r in records] == [photo(), photo(), photo(99)]
    assert [r.img_id for r in records] == [0, 0, 1] and [r.ref_id for r in records] == [0, 1, 2]
    assert records[0].photo_key == records[1].photo_key != records[2].photo_key
    assert records[0].file_name.endswith('_COCO_train2014_000000581857_0.jpg')
    assert records[0].parts == [[0.5, *POLYGON[1:]]]
    assert [s for r in records for s in r.sentences] == [
        (0, 'left dog', 'left dog'),
        (1, 'dog', 'dog'),
        (2, 'cat', 'cat'),
        (3, 'cat', 'cat'),
    ]


SAMPLE = dict(id=11, sentences=['left dog', 'dog'], bbox=[0.0, 1.0, 2.0, 3.0], mask=dict(counts='PPYo0', size=[4, 6]))


@pytest.mark.parametrize('in_lists', [False, True])
def test_parquet_with_a_list_of_objects_in_a_row(tmp_path, in_lists):
    """As refcoco-m has them; and each field a list, as ``datasets`` wrote them before."""
    nested: object = [SAMPLE, dict(SAMPLE, id=12, sentences=['cat'])]
    if in_lists:
        nested = {key: [item[key] for item in nested] for key in ('id', 'sentences', 'bbox')}
        nested['mask'] = {key: [SAMPLE['mask'][key]] * 2 for key in ('counts', 'size')}
    row = dict(image=dict(bytes=photo(), path=None), image_id=7, file_name='COCO_train2014_000000000007.jpg')
    records = parquet(
        tmp_path / 'val.parquet', [dict(row, samples=nested), dict(row, samples=[])][: 1 + (not in_lists)]
    )
    assert [(r.img_id, r.ref_id, [s.raw for s in r.sentences]) for r in records] == [
        (7, 11, ['left dog', 'dog']),
        (7, 12, ['cat']),
    ]
    assert [r.parts for r in records] == [[SAMPLE['mask']]] * 2 and {r.photo for r in records} == {photo()}
    assert [s.sent_id for r in records for s in r.sentences] == [0, 1, 2]


def test_parquet_with_masks_as_pictures(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 1, 1], [0, 0, 2]], np.uint8)).save(file, 'PNG')
    row = dict(ROW, mask=dict(bytes=file.getvalue(), path=None))
    (record,) = parquet(tmp_path / 'val.parquet', [dict(row, mask_value=1)])
    np.testing.assert_array_equal(decode_segmentation(record.parts, 2, 3), [[0, 1, 1], [0, 0, 0]])
    with pytest.raises(ValueError, match=r'val\.parquet, row 1: .* has 2 values other than 0 \(1, 2\)'):
        parquet(tmp_path / 'val.parquet', [row])


@pytest.mark.parametrize('data', [b'', b'no photo', photo()[:20]])
def test_what_is_no_photo_in_a_row(tmp_path, data):
    with pytest.raises(ValueError, match=r'val\.parquet, row 2: the photo inside is not a readable image'):
        parquet(tmp_path / 'val.parquet', [dict(ROW, image=dict(bytes=b, path='a.jpg')) for b in (photo(), data)])


def test_a_folder_that_datasets_saved(tmp_path):
    pyarrow = pytest.importorskip('pyarrow')
    for split, shade in (('train', 0), ('val', 9)):
        table = pyarrow.Table.from_pylist([dict(ROW, image=dict(bytes=photo(shade), path=None))] * 40)
        (tmp_path / 'saved' / split).mkdir(parents=True)
        path = tmp_path / 'saved' / split / 'data-00000-of-00001.arrow'
        with pyarrow.OSFile(str(path), 'wb') as file, pyarrow.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
        (path.parent / 'state.json').write_text('{}')
    files = row_files(tmp_path / 'saved')
    records = list(read_rows(*files))
    assert [r.split for r in records] == ['train'] * 40 + ['val'] * 40
    assert [r.photo for r in records] == [photo()] * 40 + [photo(9)] * 40
    files[0].write_bytes(files[0].read_bytes()[:300])
    with pytest.raises(ValueError, match=r'arrow: not a file that datasets saved'):
        list(read_rows(files[0]))


def test_parquet_with_rle(tmp_path):
    (record,) = parquet(tmp_path / 'val.parquet', [dict(ROW, mask=dict(RLE, counts='PPYo0'))])
    assert record.parts == [dict(size=[4, 6], counts='PPYo0')]
    (record,) = parquet(tmp_path / 'val.parquet', [dict(ROW, mask=dict(RLE, counts=b'PPYo0'))])
    assert record.parts == [dict(size=[4, 6], counts=b'PPYo0')]


@pytest.mark.parametrize('data', [b'', b'PAR1', b'PAR1' + b'\0' * 100 + b'PAR1', b'{"image": "a.jpg"}'])
def test_what_is_no_parquet(tmp_path, data):
    pytest.importorskip('pyarrow')
    path = tmp_path / 'val.parquet'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'val\.parquet: not a parquet file'):
        list(read_rows(path))


def test_parquet_without_what_is_needed(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r'val\.parquet, row 1: none of sentences'):
        parquet(tmp_path / 'val.parquet', [dict(image='a.jpg', mask=[POLYGON])])
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(ImportError, match=r'val\.parquet: reading parquet needs pyarrow: pip install pyarrow'):
        list(read_rows(tmp_path / 'val.parquet'))


# Arrays of JSON, and ids of rows


@pytest.mark.parametrize('indent', [None, 1])
@pytest.mark.parametrize('begin', ['', '\n\n  ', '\ufeff'])
def test_an_array_of_rows(tmp_path, indent, begin):
    path = tmp_path / 'train.json'
    path.write_text(begin + json.dumps([ROW, dict(ROW, image='b.jpg')], indent=indent), encoding='utf-8')
    assert [(r.file_name, r.where) for r in read_rows(path)] == [
        ('a.jpg', 'train.json, row 1'),
        ('b.jpg', 'train.json, row 2'),
    ]


def test_arrays_that_are_none(tmp_path):
    path = tmp_path / 'train.json'
    path.write_text('[]')
    assert list(read_rows(path)) == []
    for text in ('[', '[{}', json.dumps([ROW]) + '\n' + json.dumps([ROW]), json.dumps([ROW])[:-1], '[1,]'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r'train\.json(: not JSON|, row 1)'):
            list(read_rows(path))
    path.write_text(json.dumps([ROW, 7]))
    with pytest.raises(ValueError, match=r'train\.json, row 2: expected an object by name'):
        list(read_rows(path))


@pytest.mark.parametrize(
    ('rows', 'reason'),
    [
        (
            [dict(image_id=1), dict(image_id=1, image='b.jpg')],
            "row 2: image_id 1 is of 'b.jpg' here, and",
        ),
        ([dict(image_id=1), dict(image_id=2)], "row 2: 'a.jpg' has image_id 2 here, and before 1"),
        ([dict(ref_id=1), dict(ref_id='1', mask=RLE)], 'row 2: ref_id 1 is of another photo or mask'),
        ([dict(ref_id=1), dict(ref_id=1, image='b.jpg')], 'row 2: ref_id 1 is of another photo or mask'),
    ],
)
def test_rows_that_share_an_id(tmp_path, rows, reason):
    with pytest.raises(ValueError, match=rf'train\.jsonl, {reason}'):
        lines(tmp_path, *(dict(ROW, **row) for row in rows))


def test_rows_that_share_an_id_rightly(tmp_path):
    """A row for each sentence, and the names that exports give one photo of COCO."""
    name = 'COCO_train2014_000000000009_{}.jpg'
    rows = [dict(image=name.format(i), image_id='9', ref_id=4.0, sentences=[str(i)]) for i in range(3)]
    assert [(r.img_id, r.ref_id) for r in lines(tmp_path, *(dict(ROW, **row) for row in rows))] == [(9, 4)] * 3


def test_polygons_in_parts_of_the_photo(tmp_path):
    (record,) = lines(tmp_path, dict(ROW, mask=[[0, 0, 0.5, 0, 0.5, 1, 0, 1]], normalized=True))
    mask = decode_segmentation(record.parts, 10, 20)
    assert mask[:, :10].all() and not mask[:, 10:].any()


# Names, and what is imported


@pytest.mark.parametrize('name', ['a.jpg', 'a/b.jpg', './a.jpg', 'a..b', '...', 'é ü.png', 'a' * 255])
def test_names_inside_of_a_folder(name):
    assert check_name(name) == name.removeprefix('./')


@pytest.mark.parametrize('name', ['/a', '//a', '\\a', '..', 'a/..', 'C:\\a', 'c:a', '', '/', 'a\0'])
def test_names_outside_of_a_folder(name):
    with pytest.raises(ValueError, match='no file name inside of a folder'):
        check_name(name)
    if name in ('/a', '//a'):  # it depends on the folder
        assert check_name(name, may_be_absolute=True) == name
    else:
        with pytest.raises(ValueError, match='no file name inside of a folder'):
            check_name(name, may_be_absolute=True)


def test_reading_needs_no_torch(coco_ref, tmp_path):
    script = f"""
import sys, types
for name in ('torch', 'mmengine', 'mmcv', 'mmseg', 'pyarrow'):
    sys.modules[name] = None
for name in ('mgfe_ris', 'mgfe_ris.datasets'):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [{str(REPO)!r} + '/' + name.replace('.', '/')]
from mgfe_ris.datasets.readers import read_refer
from mgfe_ris.datasets.index import SharedIndex, write_index
from pathlib import Path
write_index(Path({str(tmp_path)!r}), '', read_refer({str(coco_ref / 'refcoco')!r}, 'unc'))
print(len(SharedIndex(Path({str(tmp_path)!r}))))
"""
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and int(done.stdout) > 100, done.stderr


# Rows in several files


def write_rows(path: Path, *rows: dict) -> Path:
    path.write_text('\n'.join(map(json.dumps, rows)))
    return path


def test_ids_are_counted_on_from_file_to_file(tmp_path):
    def row(name: str) -> dict:
        return dict(image=name, sentences=['a', 'b'], mask=[[1, 1, 9, 1, 9, 9]])

    first = write_rows(tmp_path / 'train-00000-of-00002.jsonl', row('a.jpg'), row('b.jpg'))
    second = write_rows(tmp_path / 'train-00001-of-00002-1db09ff3ec2a2e4b.jsonl', row('b.jpg'), row('c.jpg'))
    records = list(read_rows(first, second))
    assert [r.ref_id for r in records] == [0, 1, 2, 3]
    assert [r.img_id for r in records] == [0, 1, 1, 2]
    assert [s.sent_id for r in records for s in r.sentences] == list(range(8))
    assert {r.split for r in records} == {'train'}


@pytest.mark.parametrize(
    ('said', 'found'),
    [
        ([1, None, None], [1, 0, 2]),
        ([None, 0, 1], [2, 0, 1]),
        (['7', 8.0, None], [7, 8, 0]),
        ('[4, 5, 6]', [4, 5, 6]),
        (None, [0, 1, 2]),
    ],
)
def test_counted_ids_pass_over_those_that_are_said(tmp_path, said, found):
    first, second = lines(tmp_path, dict(ROW, sentences=['a', 'b', 'c'], sent_ids=said), dict(ROW, sentences=['d']))
    assert [s.sent_id for s in first.sentences] == found
    assert [s.sent_id for s in second.sentences] == [3]
    items = [dict(raw=raw) if i is None else dict(raw=raw, sent_id=i) for raw, i in zip('abc', found, strict=True)]
    (nested,) = lines(tmp_path, dict(ROW, sentences=items))
    assert [s.sent_id for s in nested.sentences] == found


@pytest.mark.parametrize('said', [[1], [1, 2, 3], [], 5, '5', {'a': 1}])
def test_sent_ids_that_do_not_fit_the_sentences(tmp_path, said):
    with pytest.raises(ValueError, match=r'row 1: sent_ids must be a list of 2, an id for each sentence; got '):
        lines(tmp_path, dict(ROW, sentences=['a', 'b'], sent_ids=said))


def test_a_split_of_null_is_the_files_and_sentences_may_be_json(tmp_path):
    row = dict(image='a.jpg', sentences='["a", "b"]', mask=[[1, 1, 9, 1, 9, 9]], split=None)
    (record,) = read_rows(write_rows(tmp_path / 'val.jsonl', row))
    assert record.split == 'val' and [s.raw for s in record.sentences] == ['a', 'b']


@pytest.mark.parametrize(
    ('raw', 'sent'),
    [('The Left Cup!', 'the left cup'), ("man's  hat,blue", 'man s hat blue'), ('Ünten', 'ünten'), ('...', '')],
)
@pytest.mark.parametrize('form', [lambda raw: raw, lambda raw: {'raw': raw}])
def test_a_sentence_that_comes_raw_is_cleaned(tmp_path, raw, sent, form):
    path = write_rows(tmp_path / 'train.jsonl', dict(ROW, sentences=[form(raw)]))
    assert [tuple(s) for r in read_rows(path) for s in r.sentences] == [(0, raw, sent)]


def test_it_is_cleaned_as_the_real_data_are(coco_ref):
    sentences = [s for r in read_refer(coco_ref / 'refcoco', 'unc') for s in r.sentences]
    assert len(sentences) > 500 and all(cleaned(s.raw) == s.sent for s in sentences)


def test_a_sentence_that_begins_as_json(tmp_path):
    path = write_rows(tmp_path / 'train.jsonl', dict(ROW, sentences='[unclear] the man'), dict(ROW, sentences='["a"]'))
    assert [s.raw for r in read_rows(path) for s in r.sentences] == ['[unclear] the man', 'a']


def test_rows_say_where_they_stand(tmp_path):
    paths = [write_rows(tmp_path / name, ROW, ROW) for name in ('train.jsonl', 'val.jsonl')]
    places = ['train.jsonl, row 1', 'train.jsonl, row 2', 'val.jsonl, row 1', 'val.jsonl, row 2']
    assert [r.where for r in read_rows(*paths)] == places
