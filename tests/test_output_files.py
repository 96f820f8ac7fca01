"""Files that appear whole or not at all."""

import os

import pytest

from mgfe_ris.output_files import require_file, require_folder, whole_file


def test_a_file_takes_its_place_at_the_end(tmp_path):
    path = tmp_path / 'new/x.json'
    with whole_file(path) as part:
        part.write_text('1')
        assert not path.exists() and part.parent == path.parent
    assert path.read_text() == '1' and os.listdir(path.parent) == ['x.json']


@pytest.mark.parametrize('error', [OSError, KeyboardInterrupt])
def test_what_was_there_stays(tmp_path, error):
    path = tmp_path / 'x.json'
    path.write_text('before')
    with pytest.raises(error), whole_file(path) as part:
        part.write_text('half')
        raise error
    assert path.read_text() == 'before' and os.listdir(tmp_path) == ['x.json']


def test_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ('.', 'new', 'new/below', tmp_path, tmp_path / 'new'):
        require_folder('--out', folder)
    assert not list(tmp_path.iterdir()), 'nothing is made'
    (tmp_path / 'file').touch()
    for folder in ('file', 'file/below', tmp_path / 'file'):
        with pytest.raises(ValueError, match=f'--out {folder}: .*file is a file; name a folder'):
            require_folder('--out', folder)


def test_a_file_s_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    for path in ('file', 'other', 'new/below', tmp_path / 'new/file'):
        require_file('--page', path)
    assert [path.name for path in tmp_path.iterdir()] == ['file'], 'nothing is made'
    for path, wrong in {'.': 'is a folder; name a file', 'file/below': 'file is a file; name a folder'}.items():
        with pytest.raises(ValueError, match=f'--page {path}.*{wrong}'):
            require_file('--page', path)
