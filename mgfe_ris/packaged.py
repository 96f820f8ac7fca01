"""The configs and tools that belong to the package, and where they are.

``.mim/configs`` and ``.mim/tools`` are links. Where git does not make links, on Windows or with
``core.symlinks=false``, and in GitHub's zip files, each is a file that holds its target's path.
"""

import os
from pathlib import Path

import mmengine.config.config as mmengine_config

PACKAGE = Path(__file__).parent


def packaged(name: str) -> Path:
    """The folder of ``configs`` or of ``tools``."""
    link = PACKAGE / '.mim' / name
    if link.is_file():
        return Path(os.path.normpath(link.parent / link.read_text(encoding='utf-8').strip()))
    return link


def _base_path(package_path: str, cfg_name: str) -> str:
    if Path(package_path).resolve() == PACKAGE.resolve() and (packaged('configs') / cfg_name).is_file():
        return str(packaged('configs') / cfg_name)
    return _mmengines(package_path, cfg_name)


# mmengine has no other door: it joins the paths of ``_base_ = ['mgfe_ris::...']`` itself, as if the link were one
_mmengines = mmengine_config._get_external_cfg_base_path
mmengine_config._get_external_cfg_base_path = _base_path
