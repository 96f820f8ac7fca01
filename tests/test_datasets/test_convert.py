"""Annotations of labelling tools, as these write them, read back through the data set pixel by pixel."""

import base64
import io
import json
import re
import runpy
from pathlib import Path

import numpy as np
import pycocotools.mask as coco
import pytest
from PIL import Image

from mgfe_ris.datasets import ReferringDataset
from mgfe_ris.datasets.masks import decode_segmentation

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/convert_annotations.py'
SIZE = HEIGHT, WIDTH = 40, 60
SQUARE = [[5, 5], [20, 5], [20, 30], [5, 30]]


def box(top, bottom, left, right) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


@pytest.fixture(scope='module')
def main():
    return runpy.run_path(str(TOOL))['main']


@pytest.fixture
def root(tmp_path):
    """A data root with ``photos/``: two photos, and one that is stored on its side."""
    for name in ('a.jpg', 'sub/b.jpg'):
        path = tmp_path / 'photos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (WIDTH, HEIGHT), 'grey').save(path)
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new('RGB', (HEIGHT, WIDTH), 'grey').save(tmp_path / 'photos/turned.jpg', exif=exif)
    return tmp_path


@pytest.fixture
def convert(main, root, capfd):
    """Converts -> masks by (photo, sentences), as the data set has them, and what was said."""

    def run(form: str, source: Path, *options: object, split: str = 'train') -> tuple[dict, str]:
        out = root / 'train.jsonl'
        main([form, str(source), '--photos', str(root / 'photos'), '--out', str(out), *map(str, options)])
        data = ReferringDataset(data_root=str(root), ann_file='train.jsonl', img_folder='photos', split=split)
        found = {}
        for i in range(len(data)):
            info = data.get_data_info(i)
            photo = str(Path(info['img_path']).relative_to(root / 'photos'))
            mask = decode_segmentation(info['segmentation'], info['height'], info['width'])
            found[photo, tuple(info['sentences'])] = mask
        return found, ''.join(capfd.readouterr())

    return run


@pytest.fixture
def refused(main, root, capfd):
    def run(form: str, source: Path, *options: object) -> str:
        out = root / 'new/train.jsonl'
        with pytest.raises(SystemExit) as stop:
            main([form, str(source), '--photos', str(root / 'photos'), '--out', str(out), *map(str, options)])
        assert stop.value.code == 2 and not out.exists()
        return capfd.readouterr().err

    return run


def assert_masks(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for key, mask in expected.items():
        np.testing.assert_array_equal(found[key], mask, err_msg=str(key))


# labelme


def labelme(root: Path, *shapes: dict, photo: str = 'a.jpg', name: str = 'a.json', **others: object) -> Path:
    folder = root / 'labels'
    folder.mkdir(exist_ok=True)
    head = dict(version='5.4', flags={}, imagePath=photo, imageData=None, imageHeight=HEIGHT, imageWidth=WIDTH)
    (folder / name).write_text(json.dumps({**head, 'shapes': list(shapes), **others}))
    return folder


def shape(points=SQUARE, description: str | None = 'the cup', kind='polygon', group=None, **others) -> dict:
    head = dict(label='cup', points=points, group_id=group, description=description, shape_type=kind, flags={})
    return {**head, **others}


def png(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask.astype(bool)).save(file, 'PNG')
    return base64.b64encode(file.getvalue()).decode()


def test_labelme(root, convert):
    crop = np.zeros((6, 8), bool)
    crop[1:3, 2:7] = True
    source = labelme(
        root,
        shape(),
        shape([[30, 30], [50, 10]], 'the box\n the red box ', 'rectangle'),
        shape([[0, 0], [4, 4]], 'two parts', 'rectangle', group=3),
        shape([[10, 0], [14, 4]], '', 'rectangle', group=3),
        shape([[40, 20], [47, 25]], 'a crop', 'mask', mask=png(crop)),
        shape([[1, 1]], 'a point', 'point'),
        shape([[1, 1], [5, 5]], 'a line', 'line'),
        shape(description=''),
        photo='..\\photos\\a.jpg',
    )
    labelme(root, shape(description=None, flags={'text': 'by a flag'}), photo='sub/b.jpg', name='b.json')
    found, said = convert('labelme', source)
    placed = np.zeros(SIZE, np.uint8)
    placed[20:26, 40:48] = crop
    assert_masks(
        found,
        {
            ('a.jpg', ('the cup',)): box(5, 30, 5, 20),
            ('a.jpg', ('the box', 'the red box')): box(10, 30, 30, 50),
            ('a.jpg', ('two parts',)): box(0, 4, 0, 4) | box(0, 4, 10, 14),
            ('a.jpg', ('a crop',)): placed,
            ('sub/b.jpg', ('by a flag',)): box(5, 30, 5, 20),
        },
    )
    assert '5 objects, 6 sentences, 2 photos' in said
    assert '1 objects without a sentence, 1 shapes of type line, 1 shapes of type point' in said


def test_a_circle_is_round(root, convert):
    source = labelme(root, shape([[30, 20], [30, 32]], 'the disc', 'circle'))
    (mask,) = convert('labelme', source)[0].values()
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    distance = np.hypot(x - 30, y - 20)
    assert mask[distance < 11.3].all() and not mask[distance > 12.7].any()


def test_a_sentence_from_the_label(root, convert):
    found, said = convert(
        'labelme', labelme(root, shape(), shape([[0, 0], [3, 3]], '', 'rectangle')), '--sentence-from', 'label'
    )
    assert len(found) == 1 and '2 objects' in said, 'one name for both'
    assert 'warning: 2 sentences are said of several objects of one photo' in said


@pytest.mark.parametrize(
    ('shapes', 'others', 'message'),
    [
        ([shape(description='')], {}, 'nothing to write.*Left out: 1 objects without a sentence. --sentence-from'),
        ([shape(points=[[0, 0], [500, 0], [500, 30]])], {}, 'a.json, shape 1: a polygon leaves the photo'),
        ([shape(), shape(points=[1, 2])], {}, r'a.json, shape 2 \(cup\): points are pairs of numbers'),
        ([shape([[0, 0], [7, 7]], kind='mask', mask='no')], {}, r'shape 1 \(cup\): its mask is no PNG'),
        ([shape([[0, 0], [3, 3]], kind='mask', mask=png(np.ones((9, 9))))], {}, r'of \(9, 9\) pixels between corners'),
        ([shape([[55, 0], [63, 8]], kind='mask', mask=png(np.ones((9, 9))))], {}, 'leaves the photo of 60 x 40'),
        ([shape(description=7)], {}, "shape 1: a sentence must be text; got '7'"),
        ([shape()], dict(imagePath='gone.jpg'), "a.json: no photo .*gone.jpg' in"),
        ([shape()], dict(imagePath='turned.jpg', imageHeight=60, imageWidth=40), 'annotated at 40 x 60 pixels, but'),
        ([shape()], dict(shapes=None), 'not of labelme'),
    ],
)
def test_wrong_labelme(root, refused, shapes, others, message):
    said = refused('labelme', labelme(root, *shapes, **others))
    assert re.search(message, said) and said.count('\n') == 1, said


def test_a_turned_photo_is_annotated_as_it_is_shown(root, convert):
    found, _ = convert('labelme', labelme(root, shape(), photo='turned.jpg'))
    assert_masks(found, {('turned.jpg', ('the cup',)): box(5, 30, 5, 20)})


# CVAT


def cvat(root: Path, *shapes: str, head: str = '', photo: str = 'a.jpg') -> Path:
    path = root / 'annotations.xml'
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>{head}<annotations><version>1.1</version>'
        f'<image id="0" name="{photo}" width="{WIDTH}" height="{HEIGHT}">{"".join(shapes)}</image></annotations>'
    )
    return path


def said(text: str, name: str = 'caption') -> str:
    return f'<attribute name="{name}">{text}</attribute>'


POLYGON = '<polygon label="cup" points="5,5;20.0,5;20,30;5,30"{}>{}</polygon>'


def test_cvat(root, convert):
    source = cvat(
        root,
        POLYGON.format('', said('the cup &amp; saucer\nthe left one')),
        f'<mask label="cup" rle="1, 2, 2, 1" left="40" top="20" width="3" height="2">{said("a crop")}</mask>',
        f'<box label="cup" xtl="30" ytl="10" xbr="50" ybr="30">{said("the box")}</box>',
        f'<box label="cup" xtl="40" ytl="0" xbr="44" ybr="8" rotation="90">{said("a turned box")}</box>',
        f'<box label="cup" xtl="0" ytl="0" xbr="4" ybr="4" group_id="2">{said("two parts")}</box>',
        '<box label="cup" xtl="10" ytl="0" xbr="14" ybr="4" group_id="2"></box>',
        POLYGON.format(' group_id="0"', said('red', 'colour')),
        '<points label="cup" points="1,1"></points>',
        '<tag label="indoor"></tag>',
        photo='some/task/a.jpg',
    )
    found, printed = convert('cvat', source)
    crop = np.zeros(SIZE, np.uint8)
    crop[20:22, 40:43] = [[0, 1, 1], [0, 0, 1]]
    assert_masks(
        found,
        {
            ('a.jpg', ('the cup & saucer', 'the left one')): box(5, 30, 5, 20),
            ('a.jpg', ('a crop',)): crop,
            ('a.jpg', ('the box',)): box(10, 30, 30, 50),
            ('a.jpg', ('a turned box',)): box(2, 6, 38, 46),
            ('a.jpg', ('two parts',)): box(0, 4, 0, 4) | box(0, 4, 10, 14),
        },
    )
    assert '1 objects without a sentence, 1 shapes of type points, 1 shapes of type tag' in printed


def test_cvats_attribute_by_its_name(root, convert):
    found, _ = convert('cvat', cvat(root, POLYGON.format('', said('red one', 'colour'))), '--sentence-from', 'colour')
    assert list(found) == [('a.jpg', ('red one',))]


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ('shapes', 'head', 'message'),
    [
        ([POLYGON.format('', said('&b;'))], BOMB, 'annotations.xml: it has a DTD'),
        ([POLYGON.format('', 'x')], '<!DOCTYPE a SYSTEM "file:///etc/passwd">', 'it has a DTD'),
        (['<polygon label="cup" points="5,5;a,b"></polygon>'], '', "image 'a.jpg', shape 1 (polygon 'cup'): could not"),
        (['<mask label="c" rle="1,2" left="0" top="0" width="2" height="2"/>'], '', 'run lengths that add up to 3'),
        (['<mask label="c" rle="1" left="0" top="0" width="99999999" height="99999999"/>'], '', 'leaves the photo'),
        (['<box label="c" xtl="0"/>'], '', "it lacks 'ytl'"),
        (['<broken>'], '', 'not XML'),
        (['<track id="0"></track>'], '', 'it is of a video'),
        ([POLYGON.format('', '')], '', 'nothing to write'),
    ],
)
def test_wrong_cvat(root, refused, shapes, head, message):
    said = refused('cvat', cvat(root, *shapes, head=head))
    assert message in said and said.count('\n') == 1, said


# YOLO


def yolo(root: Path, lines: str, names: str = 'names: [cup, the red box]\n', name: str = 'a') -> Path:
    folder = root / 'yolo'
    (folder / 'labels/sub').mkdir(parents=True, exist_ok=True)
    (folder / 'data.yaml').write_text(names)
    (folder / f'labels/{name}.txt').write_text(lines)
    return folder


def fractions(points=SQUARE) -> str:
    return ' '.join(f'{x / WIDTH:.6f} {y / HEIGHT:.6f}' for x, y in points)


@pytest.mark.parametrize('names', ['names: [cup, the red box]\n', 'names:\n  0: cup\n  1: the red box\n', None])
def test_yolo(root, convert, names):
    source = yolo(root, f'1 {fractions()}\n\n0 0.5 0.5 0.1 0.1\n', names or 'nc: 2\n')
    yolo(root, f'0 {fractions([[30, 10], [50, 10], [50, 30], [30, 30]])}\n', names or 'nc: 2\n', 'sub/b')
    if names is None:
        (source / 'classes.txt').write_text('cup\nthe red box\n')
    found, said = convert('yolo', source)
    assert_masks(
        found,
        {('a.jpg', ('the red box',)): box(5, 30, 5, 20), ('sub/b.jpg', ('cup',)): box(10, 30, 30, 50)},
    )
    assert 'left out: 1 boxes, which have no outline' in said


@pytest.mark.parametrize(
    ('lines', 'names', 'message'),
    [
        ('0 5 5 20 5 20 30', None, 'a.txt, line 1: x and y are fractions of the photo'),
        (f'\n7 {fractions()}', None, 'a.txt, line 2: class 7 has no name; there are 2'),
        ('0 0.1 0.1 0.2 0.2 0.3 0.3 0.4', None, 'three points or more; got 7 numbers'),
        ('cup 0.1 0.1', None, 'a.txt, line 1: expected numbers'),
        ('0 0.5 0.5 0.1 0.1', None, 'nothing to write'),
        (f'0 {fractions()}', 'names: {', 'data.yaml: no YAML'),
        (f'0 {fractions()}', 'names: cup', "data.yaml: no YAML with names of classes (names is no list; got 'cup')"),
        (f'0 {fractions()}', 'names: [[a], b]', 'the names of classes must be text'),
        (f'0 {fractions()}', 'nc: 2', 'neither a .yaml with names nor classes.txt'),
    ],
)
def test_wrong_yolo(root, refused, lines, names, message):
    said = refused('yolo', yolo(root, lines, *([names] if names else [])))
    assert message in said and said.count('\n') == 1, said


# COCO


def instances(root: Path, *annotations: dict, **others: object) -> Path:
    image = dict(id=9, file_name='a.jpg', height=HEIGHT, width=WIDTH)
    content = dict(images=[image], annotations=list(annotations), categories=[dict(id=1, name='cup')])
    (root / 'instances.json').write_text(json.dumps({**content, **others}))
    return root / 'instances.json'


def annotation(segmentation: object, **others: object) -> dict:
    return dict(dict(id=1, image_id=9, category_id=1, segmentation=segmentation), **others)


def test_coco(root, convert):
    polygon = [float(x) for point in SQUARE for x in point]
    mask = box(10, 30, 30, 50)
    packed = coco.encode(np.asfortranarray(mask))
    packed = {'size': list(SIZE), 'counts': packed['counts'].decode()}
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    counts = np.diff([0, *edges, flat.size]).tolist()
    source = instances(
        root,
        annotation([polygon], caption='the cup'),
        annotation([polygon, [0, 0, 4, 0, 4, 4, 0, 4]], captions=['two parts', 'both']),
        annotation(packed, sentences=[{'raw': 'The Box', 'sent': 'the box'}]),
        annotation({'size': list(SIZE), 'counts': counts}, attributes={'description': 'counted'}),
        annotation([polygon]),
        annotation([], caption='a box only', bbox=[0, 0, 4, 4]),
    )
    found, said = convert('coco', source)
    assert_masks(
        found,
        {
            ('a.jpg', ('the cup',)): box(5, 30, 5, 20),
            ('a.jpg', ('two parts', 'both')): box(5, 30, 5, 20) | box(0, 4, 0, 4),
            ('a.jpg', ('The Box',)): mask,
            ('a.jpg', ('counted',)): mask,
        },
    )
    assert '1 annotations without a mask, 1 objects without a sentence' in said


@pytest.mark.parametrize(('key', 'expected'), [('category', 'cup'), ('said', 'by its key')])
def test_cocos_sentence_by_option(root, convert, key, expected):
    found, _ = convert(
        'coco', instances(root, annotation([[5, 5, 20, 5, 20, 30]], said='by its key')), '--sentence-from', key
    )
    assert list(found) == [('a.jpg', (expected,))]


@pytest.mark.parametrize(
    ('annotations', 'others', 'message'),
    [
        ([dict(id=1, image_id=9, caption='a street')], {}, 'it holds captions of whole photos'),
        (
            [annotation([[5, 5, 20, 5, 20, 30]], caption='x', image_id=8)],
            {},
            'annotation 1: its image_id is of no image',
        ),
        ([annotation({'size': [9, 9], 'counts': [81]}, caption='x')], {}, 'annotation 1: RLE of size [9, 9]'),
        ([annotation([[5, 5, 20, 5, 20, 30]], caption=[3])], {}, 'annotation 1: a sentence must be text'),
        ([annotation([[5, 5, 20, 5, 20, 30]], caption='x')], dict(images=3), "expected COCO's form"),
        ([annotation([[5, 5, 20, 5, 20, 30]])], {}, 'nothing to write'),
    ],
)
def test_wrong_coco(root, refused, annotations, others, message):
    said = refused('coco', instances(root, *annotations, **others))
    assert message in said and said.count('\n') == 1, said


def test_coco_is_a_file(root, refused):
    assert refused('coco', root) == f'error: {root}: a folder; name the JSON file\n'


# What is written


@pytest.fixture
def many(root):
    for i in range(10):
        Image.new('RGB', (WIDTH, HEIGHT)).save(root / f'photos/{i}.jpg')
        folder = labelme(root, shape(), shape(description='other'), photo=f'{i}.jpg', name=f'{i}.json')
    return folder


def splits(path: Path) -> dict[str, set[str]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {name: {row['image'] for row in rows if row['split'] == name} for name in ('train', 'val')}


def test_a_share_of_the_photos_for_val(root, main, many):
    written = []
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        arguments = ['labelme', str(many), '--photos', str(root / 'photos'), '--out', str(root / f'{name}.jsonl')]
        main([*arguments, '--val-share', '0.2', '--seed', str(seed)])
        written.append(splits(root / f'{name}.jsonl'))
    assert written[0] == written[1] != written[2]
    assert [len(written[0][name]) for name in ('train', 'val')] == [8, 2] and not written[0]['train'] & written[0][
        'val'
    ]
    data = ReferringDataset(data_root=str(root), ann_file='a.jsonl', img_folder='photos', split='val')
    assert len(data) == 4


@pytest.mark.parametrize('share', [0, 1, 1.5, 0.01, 'nan'])
def test_a_share_that_is_none(root, refused, many, share):
    assert '--val-share' in refused('labelme', many, '--val-share', share)


def test_nothing_is_overwritten(root, main, capfd):
    (root / 'train.jsonl').write_text('mine')
    with pytest.raises(SystemExit):
        main(
            [
                'labelme',
                str(labelme(root, shape())),
                '--photos',
                str(root / 'photos'),
                '--out',
                str(root / 'train.jsonl'),
            ]
        )
    assert 'there is such a file' in capfd.readouterr().err and (root / 'train.jsonl').read_text() == 'mine'


def test_a_photo_of_a_name_that_two_have(root, convert, refused):
    Image.new('RGB', (WIDTH, HEIGHT)).save(root / 'photos/sub/a.jpg')
    found, _ = convert('cvat', cvat(root, POLYGON.format('', said('x'))))
    assert list(found) == [('a.jpg', ('x',))], 'the name as it is written'
    (root / 'photos/a.jpg').rename(root / 'photos/sub2.jpg')
    (root / 'photos/other').mkdir()
    Image.new('RGB', (WIDTH, HEIGHT)).save(root / 'photos/other/a.jpg')
    assert "'a.jpg' may be other/a.jpg or sub/a.jpg" in refused('cvat', cvat(root, POLYGON.format('', said('x'))))


def move(root: Path, name: str) -> None:
    (root / 'photos' / name).parent.mkdir(exist_ok=True)
    (root / 'photos/a.jpg').rename(root / 'photos' / name)


@pytest.mark.parametrize(
    ('place', 'name'),
    [
        ('a.jpg', 'C:\\data\\a.jpg'),
        ('a.jpg', '../images/a.jpg'),
        ('a.jpg', '/home/me/train/a.jpg'),
        ('val/a.jpg', 'C:\\val\\a.jpg'),
        ('val/a.jpg', './val/../val/a.jpg'),
        ('val/a.jpg', 'exported/a.jpg'),
        ('val/a.jpg', 'a.jpg'),
    ],
)
@pytest.mark.parametrize('form', ['labelme', 'coco'])
def test_folders_of_another_machine_say_nothing(root, convert, form, place, name):
    move(root, place)
    image = dict(id=9, file_name=name, height=HEIGHT, width=WIDTH)
    outline = [x for point in SQUARE for x in point]
    source = {
        'labelme': lambda: labelme(root, shape(), photo=name),
        'coco': lambda: instances(root, annotation([outline], caption='the cup'), images=[image]),
    }[form]()
    assert_masks(convert(form, source)[0], {(place, ('the cup',)): box(5, 30, 5, 20)})


@pytest.mark.parametrize(
    ('place', 'name', 'folder'),
    [
        ('val/a.jpg', 'train/a.jpg', 'train'),
        ('val/a.jpg', '../train/a.jpg', 'train'),
        ('valid/a.jpg', 'C:\\data\\train2017\\a.jpg', 'train2017'),
        ('cam2/a.jpg', 'cam1/a.jpg', 'cam1'),
        ('other/a.jpg', 'sub/a.jpg', 'sub'),
        ('a.jpg', 'sub/a.jpg', 'sub'),
    ],
)
def test_a_photo_of_another_folder_is_not_taken(root, refused, place, name, folder):
    move(root, place)
    expected = f'{place} has its name, but does not lie in {folder}/'
    assert expected in refused('labelme', labelme(root, shape(), photo=name))
    image = dict(id=9, file_name=name, height=HEIGHT, width=WIDTH)
    said = refused('coco', instances(root, annotation([[5, 5, 20, 5, 20, 30]], caption='x'), images=[image]))
    assert expected in said and 'instances.json, image 9' in said


def test_labels_of_a_split_without_its_photos(root, refused):
    move(root, 'val/a.jpg')
    (root / 'yolo/labels/train').mkdir(parents=True)
    said = refused('yolo', yolo(root, f'0 {fractions()}', name='train/a'))
    assert 'train/a.txt' in said and 'val/a.jpg has its name, but does not lie in train/' in said


def test_a_photo_by_two_names_is_named(root, refused):
    images = [dict(id=i, file_name=name) for i, name in enumerate(['left/a.jpg', 'right/a.jpg'])]
    outline = [5, 5, 20, 5, 20, 30]
    said = refused(
        'coco', instances(root, *(annotation([outline], caption='x', image_id=i) for i in (0, 1)), images=images)
    )
    assert "image 1: 'right/a.jpg' is found as a.jpg" in said and "and so is 'left/a.jpg' of" in said


def test_ids_and_sizes_as_other_programs_write_them(root, convert):
    image = dict(id='9', file_name='a.jpg', height=f'{HEIGHT}', width=float(WIDTH))
    outline = [5, 5, 20, 5, 20, 30, 5, 30]
    source = instances(
        root,
        annotation([outline, [1, 1, 2, 2]], image_id=9.0, category_id='1'),
        images=[image],
        categories=[dict(id=1.0, name='cup')],
    )
    found, said = convert('coco', source, '--sentence-from', 'category')
    assert_masks(found, {('a.jpg', ('cup',)): box(5, 30, 5, 20)})
    assert 'left out: 1 outlines of less than three points' in said


def test_labelmes_sizes_as_text(root, convert, refused):
    found, _ = convert('labelme', labelme(root, shape(), imageHeight=f'{HEIGHT}', imageWidth=f'{WIDTH}'))
    assert list(found) == [('a.jpg', ('the cup',))]
    said = refused('labelme', labelme(root, shape(), imageHeight='tall'))
    assert "a.json: height must be a whole number; got 'tall'" in said


@pytest.mark.parametrize('kind', ['rectangle', 'circle', 'mask'])
@pytest.mark.parametrize('points', [[[1, 1]], [[1, 1], [5, 5], [9, 9]]])
def test_a_shape_of_two_points_that_has_others(root, refused, kind, points):
    said = refused('labelme', labelme(root, shape(points, kind=kind)))
    assert f'a.json, shape 1 (cup): a {kind} has two points; got {len(points)}' in said


def test_a_class_that_yaml_would_read_as_something_else(root, convert):
    lines = ''.join(f'{i} {fractions()}\n' for i in range(4))
    found, _ = convert('yolo', yolo(root, lines, names='names: [no, On, 1.10, null]\n'))
    assert [sentences for _, sentences in found] == [('no',), ('On',), ('1.10',), ('null',)]


def test_a_place_below_a_file(root, main, capfd):
    with pytest.raises(SystemExit) as stop:
        out = root / 'photos/a.jpg/train.jsonl'
        main(['labelme', str(labelme(root, shape())), '--photos', str(root / 'photos'), '--out', str(out)])
    said = capfd.readouterr().err
    assert stop.value.code == 2 and said.count('\n') == 1
    assert f'--out {out.parent}: {out.parent} is a file' in said
