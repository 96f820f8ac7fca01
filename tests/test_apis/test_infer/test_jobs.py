"""Lists of photos and sentences."""

import json
import shutil
from pathlib import Path

import pytest

from mgfe_ris.apis import Job, read_jobs
from mgfe_ris.apis.infer.photos import open_photo


@pytest.fixture(scope='module')
def drawn(refshapes) -> list[Path]:
    return sorted((refshapes / 'images/refshapes').iterdir())


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_photo(drawn, tmp_path, monkeypatch):
    shutil.copy(drawn[0], tmp_path / 'my.photo.jpg')
    whole = str(tmp_path / 'my.photo.jpg')
    assert read_jobs(Path(whole), ['a', 'b', 'a']) == [Job(whole, ('a', 'b'), 'my.photo')]
    monkeypatch.chdir(tmp_path)
    assert read_jobs('my.photo.jpg', ['a']) == [Job(whole, ('a',), 'my.photo')], 'found again from any folder'


@pytest.mark.parametrize(
    ('address', 'name'),
    [
        ('http://host/dir/dog.jpg?size=3&of=a/b.c', 'dog'),
        ('https://host/', 'photo'),
        ('https://host', 'photo'),
        ('https://host/..%2f..%2fdog.png', '..%2f..%2fdog'),
        ('HTTP://host/Dog.JPG', 'Dog'),
    ],
)
def test_names_of_addresses(tmp_path, address, name):
    (tmp_path / 'list.csv').write_text(f'photo,text\n{address},a\n')
    assert read_jobs(tmp_path / 'list.csv') == [Job(address, ('a',), name)]


def test_a_folder(tmp_path):
    photos = ['b.PNG', 'dog.jpg', 'dog.png', 'a/Dog.JPG', 'a/b/dog.webp', 'c.d/e.f.tif']
    touch(*(tmp_path / name for name in photos))
    hidden = ['.hidden.jpg', '._dog.jpg', '.git/x.jpg', 'a/.thumbs/y.png']
    others = ['notes.txt', 'jpg', 'dog.jpg.txt', 'clip.mp4', 'found/masks/dog.png', 'found/settings.json']
    touch(*(tmp_path / name for name in [*hidden, *others, 'found/results.jsonl']))
    (tmp_path / 'folder.jpg').mkdir()
    jobs = read_jobs(tmp_path, ['a', 'b'])
    assert [job.photo for job in jobs] == sorted(str(tmp_path / name) for name in photos)
    assert {job.name for job in jobs} == {'b', 'dog', 'a/Dog', 'a/b/dog', 'c.d/e.f'}
    assert {job.sentences for job in jobs} == {('a', 'b')}


def test_a_folder_in_a_hidden_one(tmp_path):
    touch(tmp_path / '.cache/dog.jpg')
    assert [job.name for job in read_jobs(tmp_path / '.cache', ['a'])] == ['dog']


def test_a_folder_without_photos(tmp_path):
    touch(tmp_path / 'notes.txt')
    with pytest.raises(FileNotFoundError, match=r'no photo in this folder; photos are \.bmp, '):
        read_jobs(tmp_path, ['a'])


CSV = """photo,note,text
photos/dog.jpg,1,"the dog, left"

{root}/cat.png,2,"the ""big"" 猫"
photos/dog.jpg,,a ball
"""


@pytest.mark.parametrize('start', ['', '\ufeff'])
def test_csv(tmp_path, start):
    path = tmp_path / 'list.csv'
    path.write_text(start + CSV.format(root=tmp_path), encoding='utf-8', newline='\r\n')
    assert read_jobs(path) == [
        Job(str(tmp_path / 'photos/dog.jpg'), ('the dog, left', 'a ball'), 'dog'),
        Job(str(tmp_path / 'cat.png'), ('the "big" 猫',), 'cat'),
    ]


def test_csv_with_blanks_behind_commas_and_one_photo_by_two_names(tmp_path):
    (tmp_path / 'list.CSV').write_text('photo, text\na.jpg, "left, red"\n./b/../a.jpg, blue\na.jpg, blue\n')
    assert read_jobs(tmp_path / 'list.CSV') == [Job(str(tmp_path / 'a.jpg'), ('left, red', 'blue'), 'a')]


def test_json_lines(tmp_path):
    rows = [
        {'photo': 'http://host/dog.jpg', 'text': 'the dog', 'id': 3},
        {'photo': 'a/dog.jpg', 'text': ['the dog', '狗']},
        {'photo': str(tmp_path / 'a/dog.jpg'), 'text': 'the cat'},
    ]
    text = '\r\n'.join([*map(json.dumps, rows[:2]), ' ', json.dumps(rows[2], ensure_ascii=False)])
    (tmp_path / 'list.jsonl').write_text('\ufeff' + text, encoding='utf-8', newline='')
    assert read_jobs(tmp_path / 'list.jsonl') == [
        Job('http://host/dog.jpg', ('the dog',), 'dog'),
        Job(str(tmp_path / 'a/dog.jpg'), ('the dog', '狗', 'the cat'), 'dog'),
    ]


@pytest.mark.parametrize('delimiter', [',', ';', '\t'])
@pytest.mark.parametrize('header', ['Photo,Text', 'IMAGE,id,Sentence', 'file_name,caption', ' text ,photo', None])
def test_csv_of_other_programs(tmp_path, delimiter, header):
    touch(tmp_path / 'a.jpg')
    text = '"the dog, left; or\tright"'
    row = [text, 'a.jpg'] if header and header.startswith(' text') else ['a.jpg', text]
    row = [row[0], '7', row[1]] if header and 'id' in header else row
    lines = [delimiter.join(row)] if header is None else [header.replace(',', delimiter), delimiter.join(row)]
    (tmp_path / 'list.csv').write_text('\ufeff' + '\n'.join(lines) + '\n', encoding='utf-8')
    assert read_jobs(tmp_path / 'list.csv') == [Job(str(tmp_path / 'a.jpg'), ('the dog, left; or\tright',), 'a')]


def test_a_list_between_tabs(tmp_path):
    for name, header in (('list.tsv', 'photo\ttext\n'), ('headless.TSV', '')):
        (tmp_path / name).write_text(header + 'a.jpg\tthe dog, left; or right\n')
        assert read_jobs(tmp_path / name) == [Job(str(tmp_path / 'a.jpg'), ('the dog, left; or right',), 'a')]


def test_a_headless_list_whose_first_photo_is_missing(tmp_path):
    touch(tmp_path / 'b.jpg')
    (tmp_path / 'list.csv').write_text('gone.jpg,dog\nb.jpg,cat\n')
    jobs = read_jobs(tmp_path / 'list.csv')
    assert jobs == [Job(str(tmp_path / f'{name}.jpg'), (text,), name) for name, text in (('gone', 'dog'), ('b', 'cat'))]
    with pytest.raises(FileNotFoundError, match=r'gone\.jpg: no such photo'):
        open_photo(jobs[0].photo)


def test_a_headless_text_with_a_comma_is_named(tmp_path):
    touch(tmp_path / 'a.jpg')
    (tmp_path / 'list.csv').write_text('a.jpg,the dog, left\n')
    with pytest.raises(ValueError, match=r'list\.csv, line 1: more cells than columns; a text with a comma'):
        read_jobs(tmp_path / 'list.csv')


def test_names_that_windows_wrote(tmp_path):
    touch(tmp_path / 'sub/a.jpg', tmp_path / 'sub/b.jpg', tmp_path / 'sub\\b.jpg')
    (tmp_path / 'list.csv').write_text('photo,text\nsub\\a.jpg,dog\nsub\\b.jpg,cat\nsub\\c.jpg,cow\n')
    photos = [job.photo for job in read_jobs(tmp_path / 'list.csv')]
    assert photos == [str(tmp_path / name) for name in ('sub/a.jpg', 'sub\\b.jpg', 'sub\\c.jpg')], 'as it is, if there'


def test_rows_of_a_data_set(tmp_path):
    (tmp_path / 'train.jsonl').write_text(json.dumps({'image': 'a.jpg', 'sentences': ['dog', 'cat'], 'mask': None}))
    assert read_jobs(tmp_path / 'train.jsonl') == [Job(str(tmp_path / 'a.jpg'), ('dog', 'cat'), 'a')]


def test_several_sources(tmp_path, drawn):
    touch(tmp_path / 'folder/dog.jpg', tmp_path / 'folder/cat.jpg')
    jobs = read_jobs([drawn[0], tmp_path / 'folder', str(drawn[1]), drawn[0], 'http://host/x.jpg'], ['a'])
    expected = [drawn[0], tmp_path / 'folder/cat.jpg', tmp_path / 'folder/dog.jpg', drawn[1], 'http://host/x.jpg']
    assert [job.photo for job in jobs] == [str(photo) for photo in expected]
    assert {job.sentences for job in jobs} == {('a',)}
    for name, text in (('one', 'left'), ('two', 'right')):
        (tmp_path / f'{name}.csv').write_text(f'photo,text\na.jpg,{text}\n')
    lists = read_jobs([tmp_path / 'one.csv', tmp_path / 'two.csv'])
    assert lists == [Job(str(tmp_path / 'a.jpg'), ('left', 'right'), 'a')]
    for sources, message in (([drawn[0], tmp_path / 'gone.jpg'], 'gone.jpg: no such photo'), ([], 'no source')):
        with pytest.raises((FileNotFoundError, ValueError), match=message):
            read_jobs(sources, ['a'])


WRONG_ROWS = {
    'endless.csv': (b'x' * 200_000, r'line 1: no CSV \(field larger'),
    'empty.csv': (b'', 'no line with a photo and a text'),
    'only_a_header.csv': (b'photo,text\n', 'no line with a photo and a text'),
    'empty.jsonl': (b'\n\n', 'no line with a photo and a text'),
    'column.csv': (b'photo|text\na.jpg|dog\n', r"line 2: expected photo and text, got \['photo\|text'\]"),
    'other.csv': (b'photo;note\na.jpg;dog\n', r"line 2: expected photo and text, got \['photo;note'\]"),
    'long_semicolon.csv': (b'photo;text\na.jpg;the dog; left\n', 'line 2: more cells than columns'),
    'headless.csv': (b'a,dog\nb,cat\n', r"line 2: expected photo and text, got \['a', 'dog'\]"),
    'comma.tsv': (b'photo\ttext\na.jpg\n', 'line 2: the text is missing'),
    'short.csv': (b'photo,text\na.jpg,dog\nb.jpg\n', 'line 3: the text is missing'),
    'long.csv': (b'photo,text\na.jpg,the dog, left\n', 'line 2: more cells than columns; a text with a comma'),
    'blank.csv': (b'photo,text\na.jpg, \n', 'line 2: the sentence is empty'),
    'no_photo.csv': (b'photo,text\n,dog\n', 'line 2: the photo is empty'),
    'words.csv': (b'photo,text\na.jpg,dog\nb.jpg,"' + b'dog\n' * 201 + b'"\n', 'line 204: a sentence of 201 words'),
    'quote.csv': (b'photo,text\na.jpg,"dog\nb.jpg,cat\n', r'line 3: no CSV \(unexpected end'),
    'latin.csv': ('photo,text\na.jpg,Bär\n'.encode('latin-1'), 'not a text in UTF-8'),
    'excel.csv': ('photo,text\na.jpg,dog\n'.encode('utf-16'), 'not a text in UTF-8'),
    'broken.jsonl': (b'{"photo": "a.jpg", "text": "dog"}\n{"photo": \n', r'line 2: no JSON \('),
    'list.jsonl': (b'\n["a.jpg", "dog"]\n', r"line 2: expected photo and text, got \['a.jpg', 'dog'\]"),
    'number.jsonl': (b'{"photo": 5, "text": "dog"}\n', 'line 1: the photo is empty'),
    'null.jsonl': (b'{"photo": "a.jpg", "text": null}\n', 'line 1: the text is missing'),
    'none.jsonl': (b'{"photo": "a.jpg", "text": []}\n', 'line 1: no sentence'),
    'deep.jsonl': (b'[' * 100_000 + b']' * 100_000, r'line 1: no JSON \(maximum recursion depth exceeded'),
    'address.csv': (b'photo,text\na.jpg,dog\nhttp://[bad/x.jpg,dog\n', r'line 3: http://\[bad/x.jpg: no address'),
    'mixed.jsonl': (b'{"photo": "a.jpg", "text": ["dog", 3]}\n', 'line 1: a sentence must be text; got int'),
}


@pytest.mark.parametrize('name', WRONG_ROWS)
def test_wrong_lines_are_named(tmp_path, name):
    data, words = WRONG_ROWS[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=f'{name}[:,] {words}'):
        read_jobs(tmp_path / name)


def test_wrong_sources(tmp_path, drawn):
    (tmp_path / 'text.jpg').write_text('no image')
    touch(tmp_path / 'list.csv')
    whole = drawn[0].read_bytes()
    (tmp_path / 'half.jpg').write_bytes(whole[: len(whole) // 2])
    for source, sentences, words in (
        (tmp_path / 'gone.jpg', ['a'], 'gone.jpg: no such photo'),
        (tmp_path / 'gone.csv', [], 'gone.csv: no such file'),
        (tmp_path / 'text.jpg', ['a'], 'text.jpg: not a readable image'),
        (tmp_path / 'half.jpg', ['a'], 'half.jpg: not a readable image'),
        ('', ['a'], 'the source is empty; name a photo'),
        ('ftp://host/dog.jpg', ['a'], 'ftp://host/dog.jpg: no such photo'),
        ('http://127.0.0.1:9/x.jpg', ['a'], r'http://127.0.0.1:9/x.jpg: cannot be read \('),
        ('HTTP://127.0.0.1:9/x.jpg', ['a'], r'HTTP://127.0.0.1:9/x.jpg: cannot be read \('),
        ('http://127.0.0.1:9/list.csv', ['a'], r'http://127.0.0.1:9/list.csv: cannot be read \('),
        ('http://', ['a'], r'http://: cannot be read \('),
        ('http://[bad/x.jpg', ['a'], r'http://\[bad/x.jpg: no address \('),
        (drawn[0], [], 'no sentence; say which object is meant: --text'),
        (drawn[0], ['a', ' '], 'the sentence is empty'),
        (drawn[0], ['dog ' * 10_000], 'a sentence of 10000 words'),
        (tmp_path / 'list.csv', ['a'], 'list.csv brings its sentences; leave --text away'),
    ):
        with pytest.raises((FileNotFoundError, ValueError), match=words):
            read_jobs(source, sentences)
