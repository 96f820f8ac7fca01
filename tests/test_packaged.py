"""Configs by name in a checkout, which has no links that git or a zip file could lose."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mgfe_ris import packaged as packaged_file
from mgfe_ris.packaged import packaged

REPO = Path(__file__).parents[1]


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """A package as a wheel leaves it."""
    package = tmp_path / 'mgfe_ris'
    (package / '.mim/configs/some').mkdir(parents=True)
    (package / '.mim/model-index.yml').write_text('Import: []\n')
    (package / '.mim/configs/some/ours.py').write_text('x = 3\n')
    monkeypatch.setattr(packaged_file, 'PACKAGE', package)
    monkeypatch.setattr('mmengine.config.config.get_installed_path', lambda name: str(package))
    return package


def test_a_checkout_has_them_beside_the_package():
    assert packaged('configs') == REPO / 'configs' and packaged('tools') == REPO / 'tools'
    assert not [path for path in REPO.rglob('mgfe_ris/**/*') if path.is_symlink()]


def test_a_config_inherits_from_ours_in_a_checkout(tmp_path):
    own = tmp_path / 'own.py'
    own.write_text("_base_ = ['mgfe_ris::mgfe_ris/mgfe-ris_tiny_refshapes.py']\n")
    assert Config.fromfile(own).model.neck.type == 'MGFENeck'
    own.write_text("_base_ = ['mgfe_ris::some/gone.py']\n")
    with pytest.raises(FileNotFoundError, match=r'some/gone\.py'):
        Config.fromfile(own)


def test_a_wheel_has_them_inside_the_package(installed, tmp_path):
    assert packaged('configs') == installed / '.mim/configs'
    own = tmp_path / 'own.py'
    own.write_text("_base_ = ['mgfe_ris::some/ours.py']\n")
    assert Config.fromfile(own).x == 3
