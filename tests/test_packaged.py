"""Configs by name in a checkout without links."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mgfe_ris import packaged as packaged_file
from mgfe_ris.packaged import packaged

REPO = Path(__file__).parents[1]


@pytest.fixture
def without_links(tmp_path, monkeypatch) -> Path:
    """A checkout in which links are files that hold their targets, as git and zip files leave them."""
    package = tmp_path / 'mgfe_ris'
    (package / '.mim').mkdir(parents=True)
    for name in ('configs', 'tools'):
        (package / '.mim' / name).write_text(f'../../{name}')
        (tmp_path / name / 'some').mkdir(parents=True)
    (package / '.mim/model-index.yml').write_text('Import: []\n')
    (tmp_path / 'configs/some/ours.py').write_text('x = 3\n')
    monkeypatch.setattr(packaged_file, 'PACKAGE', package)
    monkeypatch.setattr('mmengine.config.config.get_installed_path', lambda name: str(package))
    return tmp_path


def test_links_are_followed():
    for name in ('configs', 'tools'):
        assert packaged(name).is_dir() and packaged(name).resolve() == (REPO / name).resolve()


def test_links_that_are_files_are_followed(without_links):
    assert packaged('configs') == without_links / 'configs' and packaged('tools') == without_links / 'tools'


def test_a_config_inherits_from_ours_without_links(without_links):
    own = without_links / 'own.py'
    own.write_text("_base_ = ['mgfe_ris::some/ours.py']\n")
    assert Config.fromfile(own).x == 3
    own.write_text("_base_ = ['mgfe_ris::some/gone.py']\n")
    with pytest.raises(FileNotFoundError, match=r'some/gone\.py'):
        Config.fromfile(own)
