"""What pyproject.toml cannot say: the wheel's ``mgfe_ris/.mim`` holds copies of ``configs/`` and ``tools/``.

.mim is the ecosystem's place for what belongs to a package but is no module. Links would do, but neither git on Windows
nor a zip file makes them.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGED = {'configs': ('*.py',), 'tools': ('*.py', 'dist_*.sh', 'slurm_*.sh')}


class BuildWithConfigs(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # mgfe_ris.packaged finds those of the checkout
            return
        for folder, patterns in PACKAGED.items():
            target = Path(self.build_lib, 'mgfe_ris', '.mim', folder)
            shutil.rmtree(target, ignore_errors=True)  # of a build before
            for pattern in patterns:
                for file in Path(folder).rglob(pattern):
                    copy = target / file.relative_to(folder)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(file, copy)


setup(cmdclass={'build_py': BuildWithConfigs})
