"""Downloads in the nestings of mirrors -> the layout, and what is wrong with them."""

import json
import os
import pickle
import re
import runpy
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from mgfe_ris.datasets import ReferringDataset
from mgfe_ris.datasets.prepare import disk, prepare, verify_photos
from mgfe_ris.datasets.prepare.findings import Findings
from mgfe_ris.datasets.prepare.known_facts import KNOWN, SHARED_PHOTOS, SplitFacts
from mgfe_ris.datasets.prepare.names import alias
from mgfe_ris.datasets.prepare.survey import Split, Survey
from mgfe_ris.datasets.prepare.verify import judge

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools/dataset_converters/prepare_refcoco.py'
SPLITS = ('train', 'val', 'testA', 'testB')


@pytest.fixture(scope='module')
def drawn(refshapes, tmp_path_factory) -> Path:
    """RefShapes as if it were RefCOCO: refcoco/{instances.json,refs(unc).p}, train2014/COCO_train2014_*.jpg."""
    root = tmp_path_factory.mktemp('drawn')
    for folder in ('refcoco', 'train2014'):
        (root / folder).mkdir()
    instances = json.loads((refshapes / 'refshapes/instances.json').read_text())
    for image in instances['images']:
        name = f'COCO_train2014_{image["id"]:012d}.jpg'
        shutil.copyfile(refshapes / 'images' / image['file_name'], root / 'train2014' / name)
        image['file_name'] = name
    (root / 'refcoco/instances.json').write_text(json.dumps(instances))
    shutil.copyfile(refshapes / 'refshapes/refs(unc).p', root / 'refcoco/refs(unc).p')
    return root


@pytest.fixture
def facts(drawn, monkeypatch) -> dict[str, SplitFacts]:
    """The table says of RefCOCO what is true of the drawn one."""
    counts = counted(drawn / 'refcoco/refs(unc).p')
    table = {split: SplitFacts(n[0], n[1], (n[2] + 5, n[2])) for split, n in counts.items()}
    monkeypatch.setitem(KNOWN, ('refcoco', 'unc'), table)
    return table


def counted(refs: Path) -> dict[str, tuple[int, int, int]]:
    """split -> images, objects, sentences; counted without our reader."""
    rows = pickle.loads(refs.read_bytes())
    return {
        split: (
            len({r['image_id'] for r in rows if r['split'] == split}),
            sum(r['split'] == split for r in rows),
            sum(len(r['sentences']) for r in rows if r['split'] == split),
        )
        for split in {r['split'] for r in rows}
    }


def go(out: Path, *sources: Path, **options) -> dict:
    return prepare(sources, out, progress=False, **options)


def kinds(report: dict) -> dict[str, int]:
    return {kind: found['total'] for kind, found in report['problems'].items()}


def edit_refs(root: Path, change) -> Path:
    path = root / 'refcoco/refs(unc).p'
    path.write_bytes(pickle.dumps(change(pickle.loads(path.read_bytes()))))
    return root


@pytest.fixture
def copy(drawn, tmp_path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / 'copy'))


def zipped(target: Path, files: dict[str, Path | bytes]) -> Path:
    with zipfile.ZipFile(target, 'w') as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
    return target


def annotations(drawn: Path, prefix: str) -> dict[str, Path | bytes]:
    return {prefix + name: drawn / 'refcoco' / name for name in ('instances.json', 'refs(unc).p')}


def photos(drawn: Path, prefix: str, bare: bool = False) -> dict[str, Path | bytes]:
    rename = (lambda name: name.removeprefix('COCO_train2014_')) if bare else str
    return {prefix + rename(path.name): path for path in sorted((drawn / 'train2014').iterdir())}


def snapshot(root: Path) -> dict[str, object]:
    return {
        str(path): (os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes(), path.lstat()[1:9])
        for path in [root, *sorted(root.rglob('*'))]
    }


# The layout


def test_folders_are_linked_and_a_data_set_reads_them(drawn, facts, tmp_path):
    report = go(tmp_path / 'out', drawn)
    assert report['ok'] and report['datasets']['refcoco']['unc']['verdict'] == 'ok'
    assert report['photos']['needed'] == report['photos']['present'] == 40
    assert (tmp_path / 'out/images').readlink() == drawn / 'train2014'
    assert (tmp_path / 'out/refcoco/refs(unc).p').is_symlink()
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['images', 'refcoco']
    for split in SPLITS:
        assert len(ReferringDataset(str(tmp_path / 'out'), 'refcoco', 'unc', split)) == facts[split].objects


def nested(drawn: Path, folder: Path) -> list[Path]:
    folder.mkdir()
    inner = zipped(folder / 'inner.zip', annotations(drawn, 'refcoco/'))
    bundle = {'everything/anns/refcoco.zip': inner, **photos(drawn, 'everything/mscoco/train2014/')}
    return [zipped(folder / 'bundle.zip', bundle)]


def junk(drawn: Path, folder: Path) -> list[Path]:
    folder.mkdir()
    files = {**annotations(drawn, 'refer/data/refcoco/'), **photos(drawn, 'refer/data/images/mscoco/images/train2014/')}
    files |= {
        '__MACOSX/refer/data/refcoco/._refs(unc).p': b'x',
        '__MACOSX/refs(unc).p': b'x',
        'refcoco/.DS_Store': b'x',
    }
    return [zipped(folder / 'all.zip', files)]


def two_zips(drawn: Path, folder: Path) -> list[Path]:
    """A zip without a folder in it, named by the browser, and a flat one of photos."""
    folder.mkdir()
    return [
        zipped(folder / 'refcoco (1).zip', annotations(drawn, '')),
        zipped(folder / 'train2014.zip', photos(drawn, '')),
    ]


def files_alone(drawn: Path, folder: Path) -> list[Path]:
    return [drawn / 'refcoco/refs(unc).p', drawn / 'refcoco/instances.json', drawn / 'train2014']


def plus_name(drawn: Path, folder: Path) -> list[Path]:
    """Unpacked beside its zip; photos in a zip of 2017, split in two."""
    shutil.copytree(drawn / 'refcoco', folder / 'RefCOCO')
    every = photos(drawn, 'train2017/', bare=True)
    cut = dict(list(every.items())[:30])
    rest = {name.replace('train', 'val'): path for name, path in every.items() if name not in cut}
    return [folder, zipped(folder / 'train2017.zip', cut), zipped(folder / 'val2017.zip', rest)]


@pytest.mark.parametrize('nesting', [nested, junk, two_zips, files_alone, plus_name])
def test_nestings_of_mirrors_become_one_layout(nesting, drawn, facts, tmp_path):
    report = go(tmp_path / 'out', *nesting(drawn, tmp_path / 'mirror'))
    assert report['ok'], report['problems']
    for original in [*(drawn / 'refcoco').iterdir(), *(drawn / 'train2014').iterdir()]:
        folder = 'refcoco' if original.parent.name == 'refcoco' else 'images'
        assert (tmp_path / 'out' / folder / original.name).read_bytes() == original.read_bytes()
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['images', 'refcoco']
    assert len(list((tmp_path / 'out/images').iterdir())) == 40


def test_only_needed_photos_leave_a_zip(drawn, facts, tmp_path):
    more = {**photos(drawn, 'train2014/'), 'train2014/COCO_train2014_000000999999.jpg': b'not needed'}
    go(tmp_path / 'out', drawn / 'refcoco', zipped(tmp_path / 'a.zip', more))
    assert len(list((tmp_path / 'out/images').iterdir())) == 40


def test_photos_of_train2017_are_linked_under_the_names_of_train2014(drawn, facts, tmp_path):
    for i, (name, path) in enumerate(photos(drawn, '', bare=True).items()):
        folder = tmp_path / ('train2017' if i % 5 else 'val2017')
        folder.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / name)
    report = go(tmp_path / 'out', drawn / 'refcoco', tmp_path / 'train2017', tmp_path / 'val2017')
    assert report['ok']
    link = tmp_path / 'out/images/COCO_train2014_000000000002.jpg'
    assert link.is_symlink() and link.resolve().name == '000000000002.jpg'


@pytest.mark.parametrize('hard', [True, False])
def test_where_no_links_can_be_made_files_are_copied(hard, drawn, facts, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError('no links here')

    monkeypatch.setattr(Path, 'symlink_to', refuse)
    if not hard:
        monkeypatch.setattr(os, 'link', refuse)
    assert go(tmp_path / 'out', drawn)['ok']
    photo = tmp_path / 'out/images/COCO_train2014_000000000002.jpg'
    assert not photo.is_symlink() and (photo.stat().st_nlink > 1) == hard


def test_what_is_missing_is_added_without_writing_into_the_linked_folder(copy, facts, tmp_path):
    lacking = copy / 'train2014/COCO_train2014_000000000003.jpg'
    elsewhere = tmp_path / 'rest'
    elsewhere.mkdir()
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/images').symlink_to(copy / 'train2014')
    shutil.move(lacking, elsewhere)
    before = snapshot(copy)
    assert kinds(go(tmp_path / 'out', copy / 'refcoco')) == {'missing photos': 1}
    packed = zipped(tmp_path / 'rest.zip', {lacking.name: elsewhere / lacking.name})
    assert go(tmp_path / 'out', packed)['ok']
    assert snapshot(copy) == before and not (tmp_path / 'out/images').is_symlink()


def test_the_name_is_found_by_counts_where_no_folder_tells_it(drawn, facts, tmp_path):
    shutil.copytree(drawn / 'refcoco', tmp_path / 'new folder')
    report = go(tmp_path / 'out', tmp_path / 'new folder', drawn / 'train2014')
    assert report['ok'] and list(report['datasets']) == ['refcoco']


def test_an_own_data_set_keeps_its_name_and_has_no_counts_to_fail(refshapes, tmp_path):
    report = go(tmp_path / 'out', refshapes)
    assert report['ok'] and report['datasets']['refshapes']['unc']['verdict'] == 'not a published set'
    assert 'taken for' in report['notes'][0]
    ReferringDataset(str(tmp_path / 'out'), 'refshapes', 'unc', 'val')


def test_an_own_data_set_without_a_folder_around_it_is_asked_for_one(refshapes, tmp_path):
    files = [refshapes / 'refshapes/refs(unc).p', refshapes / 'refshapes/instances.json']
    report = go(tmp_path / 'data', *files)
    assert not report['ok']
    assert 'Put it into a folder of its name' in json.dumps(report)


@pytest.mark.parametrize(
    ('name', 'dataset'),
    [('refcoco+', 'refcoco+'), ('RefCOCOplus.zip', 'refcoco+'), ('refcocog (2).zip', 'refcocog'), ('photos', None)],
)
def test_folder_names(name, dataset):
    assert alias(name) == dataset


# Again, and interrupted


@pytest.mark.parametrize('nesting', [nested, two_zips])
def test_an_interrupted_run_goes_on(nesting, drawn, facts, tmp_path, monkeypatch):
    sources = nesting(drawn, tmp_path / 'mirror')
    real, done = os.replace, []

    def replace(a, b):
        if len(done) == 20:
            raise KeyboardInterrupt
        done.append(Path(b).name)
        real(a, b)

    monkeypatch.setattr(os, 'replace', replace)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / 'out', *sources)
    made = {p: p.stat().st_mtime_ns for p in (tmp_path / 'out').rglob('*.jpg')}
    assert 10 < len(made) < 20 and not list(tmp_path.rglob('*.part'))
    done.clear()
    monkeypatch.setattr(os, 'replace', lambda a, b: (done.append(Path(b).name), real(a, b)))
    assert go(tmp_path / 'out', *sources)['ok']
    assert {p: p.stat().st_mtime_ns for p in made} == made
    assert sum(name.endswith('.jpg') for name in done) == 40 - len(made)
    assert not any(name.endswith('.zip') for name in done)
    assert not (tmp_path / 'out/.unpacked').exists()


def test_a_second_run_changes_nothing(drawn, facts, tmp_path):
    for out, sources in (('a', [drawn]), ('b', two_zips(drawn, tmp_path / 'mirror'))):
        go(tmp_path / out, *sources)
        before = snapshot(tmp_path / out / 'images')
        assert go(tmp_path / out, *sources)['ok']
        assert snapshot(tmp_path / out / 'images') == before


def test_a_photo_that_another_program_left_half_is_replaced(drawn, facts, tmp_path):
    sources = two_zips(drawn, tmp_path / 'mirror')
    go(tmp_path / 'out', *sources)
    photo = tmp_path / 'out/images/COCO_train2014_000000000002.jpg'
    photo.write_bytes(photo.read_bytes()[:300])
    assert kinds(go(tmp_path / 'out', check=True)) == {'unreadable photos': 1}
    assert go(tmp_path / 'out', *sources)['ok']


@pytest.mark.parametrize('wrong', [False, True])
def test_check_changes_nothing(wrong, copy, facts, tmp_path):
    go(tmp_path / 'out', *two_zips(copy, tmp_path / 'mirror'))
    if wrong:
        (tmp_path / 'out/images/COCO_train2014_000000000002.jpg').unlink()
        (tmp_path / 'out/refcoco/.refs.part').write_bytes(b'half')
    before = snapshot(tmp_path)
    assert go(tmp_path / 'out', check=True)['ok'] != wrong
    assert snapshot(tmp_path) == before


# What is wrong with the data


@pytest.mark.parametrize('field', ['images', 'objects', 'sentences'])
@pytest.mark.parametrize('by', [-1, 1])
def test_one_more_or_less_than_published_is_wrong(field, by, drawn, facts, tmp_path):
    value = getattr(facts['val'], field)
    changed = (value[1] + by,) if field == 'sentences' else value + by
    facts['val'] = facts['val']._replace(**{field: changed})
    report = go(tmp_path / 'out', drawn)
    assert kinds(report) == {'counts': 1} and report['datasets']['refcoco']['unc']['verdict'] == 'wrong'
    assert re.search(rf'val: \d+ {field}, published: \d+', report['problems']['counts']['first'][0])
    assert go(tmp_path / 'out', drawn, subset=True)['ok']


def test_either_published_number_is_right_and_none_is_not_compared(drawn, facts, tmp_path):
    facts['val'] = SplitFacts(None, None)
    facts['train'] = facts['train']._replace(sentences=facts['train'].sentences[::-1])
    assert go(tmp_path / 'out', drawn)['ok']


def test_splits_too_few_and_too_many(copy, facts, tmp_path):
    edit_refs(copy, lambda refs: [r | {'split': 'testC'} if r['split'] == 'testB' else r for r in refs])
    text = ' '.join(go(tmp_path / 'out', copy)['problems']['counts']['first'])
    assert 'no split testB' in text and 'split testC, which the published set lacks' in text


def test_files_of_another_data_set_are_named(copy, facts, tmp_path):
    (copy / 'refcoco').rename(copy / 'refcoco+')
    problems = go(tmp_path / 'out', copy)['problems']['counts']['first']
    assert problems and all('these are the counts of refcoco (unc)' in text for text in problems)


def test_the_split_of_another_makes_no_published_set(copy, facts, tmp_path):
    (copy / 'refcoco/refs(unc).p').rename(copy / 'refcoco/refs(google).p')
    report = go(tmp_path / 'out', copy)
    assert 'counts' in kinds(report) and report['datasets']['refcoco']['google']['verdict'] == 'wrong'


def test_train_and_test_may_share_no_photo_but_in_googles_split(copy, tmp_path):
    refs = pickle.loads((copy / 'refcoco/refs(unc).p').read_bytes())
    first = next(r for r in refs if r['split'] == 'train')
    shared = [r for r in refs if r['image_id'] == first['image_id']]
    shared[-1]['split'] = 'testA'
    assert len(shared) > 1
    edit_refs(copy, lambda _: refs)
    report = go(tmp_path / 'out', copy, subset=True)
    assert (
        kinds(report) == {'shared photos': 1}
        and 'train and in testA' in report['problems']['shared photos']['first'][0]
    )
    (copy / 'refcoco/refs(unc).p').rename(copy / 'refcoco/refs(google).p')
    report = go(tmp_path / 'google', copy, subset=True)
    assert report['ok'] and '1 photos are in train and in testA' in report['notes'][0]


def test_photos_of_one_set_held_out_in_another_are_noted(copy, facts, tmp_path):
    shutil.copytree(copy / 'refcoco', copy / 'refcocog')
    moved = {'train': 'val', 'val': 'train'}
    path = copy / 'refcocog/refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps([r | {'split': moved.get(r['split'], r['split'])} for r in refs]))
    notes = go(tmp_path / 'out', copy)['notes']
    assert any(f'{facts["train"].images} photos to train on in refcoco (unc) are held out in' in n for n in notes)


def test_missing_and_unreadable_photos_are_counted_and_named(copy, facts, tmp_path):
    folder = copy / 'train2014'
    names = sorted(p.name for p in folder.iterdir())
    for name in names[:25]:
        (folder / name).unlink()
    whole = (folder / names[30]).read_bytes()
    (folder / names[30]).write_bytes(whole[: len(whole) // 2])
    (folder / names[31]).write_bytes(b'<html>404</html>')
    Image.new('RGB', (32, 48)).save(folder / names[32])
    report = go(tmp_path / 'out', copy)
    assert kinds(report) == {'missing photos': 25, 'unreadable photos': 3}
    assert report['problems']['missing photos']['first'] == names[:20]
    assert report['photos'] == {'needed': 40, 'present': 15}
    bad = report['problems']['unreadable photos']['first']
    assert all(name in text for name, text in zip(names[30:33], bad, strict=True))
    assert 'truncated' in bad[0] and '(48, 32)' in bad[2]
    assert kinds(go(tmp_path / 'out', check=True, fast=True))['unreadable photos'] == 2


def test_processes_find_the_same(copy, facts, tmp_path, monkeypatch):
    monkeypatch.setattr(verify_photos, 'PHOTOS_PER_PROCESS', 20)
    (copy / 'train2014/COCO_train2014_000000000003.jpg').write_bytes(b'')
    assert go(tmp_path / 'out', copy, jobs=2) == go(tmp_path / 'out', copy, jobs=1)


def test_annotations_that_do_not_fit_are_named(copy, facts, tmp_path):
    edit_refs(copy, lambda refs: [refs[0] | {'ann_id': 10**9}, *refs[1:]])
    report = go(tmp_path / 'out', copy)
    assert any('ann_id 1000000000' in text for text in report['problems']['annotations']['first'])


def test_refs_that_would_run_code_are_not_loaded(copy, tmp_path):
    (copy / 'refcoco/refs(unc).p').write_bytes(pickle.dumps(os.getcwd))
    (copy / 'refcoco').rename(copy / 'nameless')
    report = go(tmp_path / 'out', copy)
    assert 'it was not loaded' in report['problems']['annotations']['first'][0].lower()


def test_refs_without_instances_and_objects_without_a_mask(copy, facts, tmp_path):
    path = copy / 'refcoco/instances.json'
    instances = json.loads(path.read_text())
    for annotation in instances['annotations']:
        annotation['segmentation'] = [[0, 0, 9, 9]]
    path.write_text(json.dumps(instances))
    edit_refs(copy, lambda refs: [refs[0] | {'ann_id': -1}, *refs[1:]])
    assert kinds(go(tmp_path / 'a', copy)) == {'masks': sum(f.objects for f in facts.values())}
    path.unlink()
    assert 'no instances.json beside it' in go(tmp_path / 'b', copy)['problems']['annotations']['first'][0]


# Zips that mean harm


@pytest.mark.parametrize('name', ['../evil.jpg', '/tmp/evil.jpg', 'a/../../evil.jpg', 'C:\\evil.jpg', '..\\evil.jpg'])
def test_members_that_climb_out_are_refused_and_the_rest_is_used(name, drawn, facts, tmp_path):
    target = zipped(tmp_path / 'a.zip', {**annotations(drawn, 'refcoco/'), **photos(drawn, 'x/')})
    with zipfile.ZipFile(target, 'a') as archive:
        archive.writestr(name, b'evil')
    before = {p for p in tmp_path.parent.rglob('*') if 'evil' in p.name}
    report = go(tmp_path / 'deep/out', target)
    assert kinds(report) == {'refused members': 1} and report['photos']['present'] == 40
    assert {p for p in tmp_path.parent.rglob('*') if 'evil' in p.name} == before
    assert sorted(p.name for p in (tmp_path / 'deep').iterdir()) == ['out']


def test_a_photos_name_in_instances_cannot_climb_out(copy, tmp_path):
    path = copy / 'refcoco/instances.json'
    path.write_text(path.read_text().replace('COCO_train2014_000000000003', '../COCO_train2014_000000000003'))
    assert 'no file name' in go(tmp_path / 'out', copy)['problems']['annotations']['first'][0]
    assert not (tmp_path / 'out/COCO_train2014_000000000003.jpg').is_symlink()


def test_members_that_are_links_are_refused(drawn, facts, tmp_path):
    secret = tmp_path / 'secret.jpg'
    shutil.copyfile(drawn / 'train2014/COCO_train2014_000000000003.jpg', secret)
    files = photos(drawn, '')
    del files[(name := 'COCO_train2014_000000000003.jpg')]
    target = zipped(tmp_path / 'a.zip', files)
    with zipfile.ZipFile(target, 'a') as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, str(secret))
    report = go(tmp_path / 'out', drawn / 'refcoco', target)
    assert kinds(report) == {'refused members': 1, 'missing photos': 1}


@pytest.mark.parametrize('link', ['images/refshapes', 'refshapes'])
def test_nothing_is_written_through_a_link_in_the_layout(link, refshapes, tmp_path):
    outside = tmp_path / 'outside'
    outside.mkdir()
    (tmp_path / 'out/images').mkdir(parents=True)
    (tmp_path / 'out' / link).symlink_to(outside)
    report = go(tmp_path / 'out', refshapes)
    assert not report['ok'] and not list(outside.iterdir())


def test_annotations_that_are_there_are_kept(drawn, facts, copy, tmp_path):
    go(tmp_path / 'out', drawn)
    edit_refs(copy, lambda refs: refs[:-1])
    report = go(tmp_path / 'out', copy)
    assert report['ok'] and 'refs(unc).p is kept' in report['notes'][0]


def test_photos_already_unpacked_into_the_layout_need_no_second_place(copy, facts, tmp_path):
    (copy / 'images').mkdir()
    (copy / 'train2014').rename(copy / 'images/train2014')
    assert go(copy, copy)['ok'] and go(copy, copy)['ok'] and go(copy, copy.parent)['ok']
    link = copy / 'images/COCO_train2014_000000000002.jpg'
    assert link.readlink() == copy / 'images/train2014/COCO_train2014_000000000002.jpg'


def bomb(target: Path, drawn: Path, declared: int | None) -> Path:
    """A photo that unpacks to much; declared: the size that the directory of the zip tells instead."""
    data = b'\0' * (8 * 2**20)
    with zipfile.ZipFile(target, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('COCO_train2014_000000000003.jpg', data)
    if declared is not None:
        raw = target.read_bytes()
        for size in {len(data)}:
            raw = raw.replace(struct.pack('<L', size), struct.pack('<L', declared))
        target.write_bytes(raw)
    return target


@pytest.mark.parametrize('declared', [None, 2**31, 1000])
def test_bombs_are_bounded(declared, drawn, facts, tmp_path, monkeypatch):
    written = []
    real = shutil.copyfileobj

    def count(source, target, length):
        real(source, target, length)
        written.append(target.tell())

    monkeypatch.setattr(shutil, 'copyfileobj', count)
    report = go(tmp_path / 'out', drawn / 'refcoco', bomb(tmp_path / 'a.zip', drawn, declared))
    assert kinds(report) == {'refused members': 1, 'missing photos': 40}
    assert sum(written) <= 1000
    assert not list((tmp_path / 'out/images').iterdir())


def test_large_members_and_deep_zips_are_refused(drawn, facts, tmp_path, monkeypatch):
    target = zipped(tmp_path / '0.zip', photos(drawn, ''))
    for i in range(3):
        target = zipped(tmp_path / f'{i + 1}.zip', {f'{i}.zip': target})
    report = go(tmp_path / 'out', drawn / 'refcoco', target)
    assert kinds(report) == {'refused members': 1, 'missing photos': 40}
    assert go(tmp_path / 'out', drawn / 'refcoco', tmp_path / '2.zip')['ok']
    monkeypatch.setitem(disk.MAX_BYTES, 'photo', 100)
    assert kinds(go(tmp_path / 'out2', drawn / 'refcoco', tmp_path / '0.zip'))['refused members'] == 40


def test_a_broken_zip_and_a_member_with_a_wrong_checksum(drawn, facts, tmp_path):
    target = zipped(tmp_path / 'a.zip', photos(drawn, ''))
    photo = (drawn / 'train2014/COCO_train2014_000000000003.jpg').read_bytes()
    raw = target.read_bytes()
    target.write_bytes(raw.replace(photo, photo[:-3] + b'xyz'))
    assert kinds(go(tmp_path / 'out', drawn / 'refcoco', target)) == {'refused members': 1, 'missing photos': 1}
    target.write_bytes(raw[:-100])
    assert kinds(go(tmp_path / 'out2', drawn / 'refcoco', target)) == {'broken zips': 1, 'missing photos': 40}


# The tool


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL))['main']([str(a) for a in arguments])
    return end.value.code


def test_the_tool_reports_and_says_by_its_status_what_it_found(drawn, facts, tmp_path, capsys):
    out = tmp_path / 'out'
    assert run(drawn, '--out', out, '--jobs', 1) == 0
    report = json.loads((out / 'report.json').read_text())
    printed = capsys.readouterr().out
    assert report['ok'] and 'all right' in printed and 'photos: 40 of 40' in printed
    for split, (images, objects, sentences) in counted(drawn / 'refcoco/refs(unc).p').items():
        found = report['datasets']['refcoco']['unc']
        assert found['splits'][split] == {'images': images, 'objects': objects, 'sentences': sentences}
        assert found['expected'][split]['sentences'] == [sentences + 5, sentences]
        assert re.search(rf'refcoco +unc +{split} +{images} +{objects} +{sentences}  ok', printed)
    (out / 'refcoco/instances.json').unlink()
    before = snapshot(out)
    assert run('--check', '--out', out) == 1
    assert run('--check', '--out', out, '--report', tmp_path / 'r.json') == 1
    assert snapshot(out) == before and not json.loads((tmp_path / 'r.json').read_text())['ok']


def test_a_part_of_a_set_is_told_of_the_option(drawn, tmp_path, capsys):
    """Of drawn photos under RefCOCO's name, of which there are fewer than published."""
    assert run(drawn, '--out', tmp_path, '--jobs', 1) == 1 and 'add --subset' in capsys.readouterr().out
    assert run('--check', '--subset', '--fast', '--out', tmp_path) == 0 and '--subset' not in capsys.readouterr().out
    (tmp_path / 'refcoco/instances.json').unlink()
    assert run('--check', '--out', tmp_path) == 1 and '--subset' not in capsys.readouterr().out


@pytest.mark.parametrize(
    'arguments', [[], ['x', '--check'], ['nowhere', '--out', 'out'], ['--check', '--out', 'nowhere'], ['a.tar']]
)
def test_bad_usage_is_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.tar').write_bytes(b'')
    assert run(*arguments) == 2
    assert len([line for line in capsys.readouterr().err.splitlines() if 'error:' in line]) == 1
    assert [p.name for p in tmp_path.iterdir()] == ['a.tar']


def test_too_little_space_is_said_before_anything_is_unpacked(drawn, facts, tmp_path, monkeypatch, capsys):
    """Enough for any photo, not for all."""
    packed = zipped(tmp_path / 'a.zip', photos(drawn, ''))
    free = packed.stat().st_size // 2
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: shutil._ntuple_diskusage(2 * free, free, free))
    assert run(drawn / 'refcoco', packed, '--out', tmp_path / 'out') == 2
    assert 'are free' in capsys.readouterr().err and not list((tmp_path / 'out/images').iterdir())


# The table


def test_the_table_adds_up_to_the_published_totals():
    def total(key, field):
        values = [getattr(facts, field) for facts in KNOWN[key].values()]
        return sum(v[0] if isinstance(v, tuple) else v for v in values)

    unc, plus = ('refcoco', 'unc'), ('refcoco+', 'unc')
    assert (total(unc, 'images'), total(unc, 'objects'), total(unc, 'sentences')) == (19_994, 50_000, 142_210)
    # the paper's number, one less, is right as well
    assert total(unc, 'sentences') - 142_209 == 1 and KNOWN[unc]['train'].sentences == (120_624, 120_623)
    assert (total(plus, 'images'), total(plus, 'objects'), total(plus, 'sentences')) == (19_992, 49_856, 141_564)
    for by in ('umd', 'google'):
        assert (total(('refcocog', by), 'objects'), total(('refcocog', by), 'sentences')) == (49_822, 95_010)
    assert total(('refcocog', 'umd'), 'images') == 25_799 < total(('refcocog', 'google'), 'images')
    assert total(('refcoco', 'google'), 'objects') == 50_000
    assert {key for key in KNOWN if key[1] == 'google'} == SHARED_PHOTOS


@pytest.mark.parametrize(('sentences', 'verdict'), [(259_859, 'ok'), (278_232, 'ok'), (259_858, 'wrong')])
def test_grefcoco_is_known_by_its_total(sentences, verdict):
    splits = {name: Split({name}, [1], [0]) for name in SPLITS}
    splits['train'] = Split({'a'}, [1], list(range(sentences - 3)))
    survey = Survey('grefcoco', 'unc', splits, {})
    assert judge(survey, False, Findings())['verdict'] == verdict
    del splits['testA']
    assert judge(survey, False, Findings())['verdict'] == 'not a published set'


# Real photos


def test_real_photos(coco_ref, tmp_path):
    report = go(tmp_path / 'out', coco_ref, subset=True)
    assert report['ok'] and report['photos'] == {'needed': 112, 'present': 112}
    assert report['datasets']['refcoco']['unc']['verdict'] == 'subset'
