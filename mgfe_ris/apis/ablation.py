"""The runs that an ablation is made of: a row, a data set and a seed each."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from ..evaluation import Run
from ..visualization import read_results
from .config import CONFIG_ROOT, load_config

BASES = {
    'refcoco': 'mgfe-ris_swin-base_refcoco',
    'refcoco+': 'mgfe-ris_swin-base_refcoco+',
    'gref-umd': 'mgfe-ris_swin-base_gref-umd',
    'refshapes': 'mgfe-ris_tiny_refshapes',
    'refshapes+': 'mgfe-ris_tiny_refshapes+',
    'refshapesg': 'mgfe-ris_tiny_refshapesg',
}
"""What a row inherits from, by data set."""
TOOLS = CONFIG_ROOT.parent / 'tools'


def find_rows(table: str) -> dict[str, Path]:
    """Row files of ``table3``, ``table6``, ..., by what follows the table in their names, in the table's order.

    Raises:
        ValueError: no such table; those that exist are listed.
    """
    files = sorted((CONFIG_ROOT / 'ablations').glob('*_*.py'))
    rows = {path.stem.split('_', 1)[1]: path for path in files if path.stem.split('_', 1)[0] == table}
    if not rows:
        raise ValueError(f'no table {table!r}; there are {sorted({path.stem.split("_", 1)[0] for path in files})}')
    return rows


def row_config(
    row: Path,
    data: str,
    seed: int = 0,
    epochs: int | None = None,
    options: Sequence[str] | None = None,
    from_scratch: bool = False,
) -> Config:
    """A row on a data set, tested on val as the last epoch leaves it; validating it before would choose nothing.

    Args:
        row: its file.
        data: of :data:`BASES`.
        seed: of weights and of the order of samples, which is the same for all rows.
        epochs: the schedule is stretched to as many; a warm-up in steps stays. None: its own.
        options, from_scratch: see :func:`load_config`.

    Raises:
        ValueError: no such data; less than one epoch.
    """
    if data not in BASES:
        raise ValueError(f'no data {data!r}; there are {list(BASES)}')
    cfg = load_config(row, options, from_scratch, base=BASES[data])
    epochs = cfg.train_cfg.max_epochs if epochs is None else epochs
    if epochs < 1:
        raise ValueError(f'epochs must be 1 or more; got {epochs}')
    for scheduler in cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]:
        if scheduler.by_epoch:
            scheduler.end = epochs
    cfg.train_cfg.update(max_epochs=epochs, val_begin=epochs + 1)  # never
    cfg.test_cfg.update(splits=('val',), shuffled=())
    cfg.default_hooks.logger.interval = 10  # the first steps are a curve of their own
    # what is interrupted must end as what is not; where it is interrupted while it writes, the checkpoint before is whole
    cfg.default_hooks.checkpoint.max_keep_ckpts = 2
    cfg.train_dataloader.persistent_workers = False
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='EpochSeedHook')]
    cfg.randomness.seed = seed
    return cfg


@dataclass(frozen=True)
class AblationRun:
    """A row with a seed, in a folder of its own: ``config.py``, ``log.txt``, ``train/``, ``val.jsonl``."""

    row: str
    seed: int
    folder: Path

    @property
    def done(self) -> bool:
        return self._samples.is_file()

    @property
    def _samples(self) -> Path:
        return self.folder / 'val.jsonl'

    def prepare(self, cfg: Config) -> None:
        """Write the config, with which the run is then trained and tested.

        Raises:
            ValueError: there is another one: what was trained so far is not what is asked for now.
        """
        path, text = self.folder / 'config.py', cfg.pretty_text
        if path.is_file() and path.read_text(encoding='utf-8') != text:
            raise ValueError(f'{self.folder} holds a run of other settings; remove it, or name another folder')
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')

    def train_and_test(self, threads: int) -> None:
        """Train, from where it stopped, and test the last checkpoint, which no result has chosen.

        Raises:
            RuntimeError: a tool failed; its log is named.
        """
        config, work_dir, test = self.folder / 'config.py', self.folder / 'train', self.folder / 'test'
        begin = time.monotonic()
        try:
            self._call(threads, 'train.py', config, '--work-dir', work_dir, '--resume')
        finally:
            with open(self.folder / 'seconds.txt', 'a', encoding='utf-8') as file:
                file.write(f'{time.monotonic() - begin:.1f}\n')
        last = (work_dir / 'last_checkpoint').read_text(encoding='utf-8').strip()
        self._call(threads, 'test.py', config, last, '--work-dir', test, '--out', test)
        (test / self._samples.name).replace(self._samples)  # now the run is done

    def _call(self, threads: int, tool: str, *args: object) -> None:
        command = [sys.executable, '-W', 'ignore', str(TOOLS / tool), *map(str, args)]
        log = self.folder / 'log.txt'
        with open(log, 'a', encoding='utf-8') as file:
            environment = {**os.environ, 'OMP_NUM_THREADS': str(threads)}
            done = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise RuntimeError(f'{self.row}, seed {self.seed}: {tool} failed; the end of {log} says why')

    def read(self) -> Run:
        """What the test found."""
        return Run.of(self.seed, read_results(self._samples))

    def minutes(self) -> float:
        """Of training, interruptions included."""
        return sum(map(float, (self.folder / 'seconds.txt').read_text(encoding='utf-8').split())) / 60
