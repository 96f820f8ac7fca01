"""How a wheel is built: its ``mgfe_ris/.mim`` holds copies of ``configs/`` and ``tools/``. Named in pyproject.toml.

.mim is the ecosystem's place for what belongs to a package but is no module. Links would do, but neither git on Windows
nor a zip file makes them. setuptools runs this file alone: it imports nothing of ours.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools.command.build_py import build_py

PACKAGED = {'configs': ('*.py',), 'tools': ('*.py', 'dist_*.sh', 'slurm_*.sh')}


def packaged_files() -> Iterator[Path]:
    """In a checkout, or in a source distribution of one."""
    for folder, patterns in PACKAGED.items():
        for pattern in patterns:
            yield from sorted(Path(folder).rglob(pattern))


class BuildWithConfigs(build_py):
    """setuptools' command, which the source distribution asks for its files, too."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # mgfe_ris.packaged finds those of the checkout
            return
        target = Path(self.build_lib, 'mgfe_ris', '.mim')
        for folder in PACKAGED:
            shutil.rmtree(target / folder, ignore_errors=True)  # of a build before
        for file in packaged_files():
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target / file)

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *map(str, packaged_files())]
