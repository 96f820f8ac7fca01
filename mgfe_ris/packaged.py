"""The configs and tools that belong to the package, and where they are.

A wheel has them in ``.mim``, the ecosystem's place for what belongs to a package but is no module; a checkout, beside
the package.
"""

from pathlib import Path

import mmengine.config.config as mmengine_config

PACKAGE = Path(__file__).parent


def packaged(name: str) -> Path:
    """The folder of ``configs`` or of ``tools``."""
    installed = PACKAGE / '.mim' / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def _base_path(package_path: str, cfg_name: str) -> str:
    if Path(package_path).resolve() == PACKAGE.resolve() and (packaged('configs') / cfg_name).is_file():
        return str(packaged('configs') / cfg_name)
    return _mmengines(package_path, cfg_name)


# mmengine has no other door: it joins the paths of ``_base_ = ['mgfe_ris::...']`` itself, and knows .mim alone
_mmengines = mmengine_config._get_external_cfg_base_path
mmengine_config._get_external_cfg_base_path = _base_path
