"""Checkouts and environments of their own, for tests that install the package."""

import shutil
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_checkout(folder: Path) -> Path:
    """This checkout, less what builds and trainings left; but with .mim."""
    made = ('.mypy_cache', '*.egg-info', '__pycache__', 'build', 'data', 'work_dirs')
    return Path(shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns('.[!m]*', *made)))


def borrow_packages(environment: Path) -> None:
    """Have a virtual environment see the packages of this one, but not its editable install of ours."""
    (packages,) = environment.glob('lib/python*/site-packages')
    # a plain path entry: it brings the packages, but not what their .pth files do
    # mmengine imports distutils, which Python 3.12 and later have of setuptools, by such a line in a .pth of its own
    shim = 'import _distutils_hack; _distutils_hack.add_shim()'
    (packages / 'borrowed.pth').write_text(f'{sysconfig.get_paths()["purelib"]}\n{shim}\n')
