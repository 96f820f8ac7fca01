"""The runs that an ablation is made of: a row, a data set and a seed each."""

import copy
import os
import re
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS

from ...data_parts import with_changed_parts
from ...evaluation import Run, read_published
from ...models.shapes_only import build_shapes
from ...output_files import whole_file
from ...packaged import packaged
from ...profiling import count_complexity
from ...visualization import read_results
from ..config import CONFIG_ROOT, input_size, last_checkpoint_in, load_config, names_pretrained, without_pretrained

BASES = {
    'refcoco': 'mgfe-ris_swin-base_refcoco',
    'refcoco+': 'mgfe-ris_swin-base_refcoco+',
    'gref-umd': 'mgfe-ris_swin-base_gref-umd',
    'refshapes': 'mgfe-ris_tiny_refshapes',
    'refshapes+': 'mgfe-ris_tiny_refshapes+',
    'refshapesg': 'mgfe-ris_tiny_refshapesg',
    'photos': 'mgfe-ris_efficientnet-lite0_minilm_photos',
}
"""What a row inherits from, by data set."""
MIRRORED = {'refshapes': 'refcoco', 'refshapes+': 'refcoco+', 'refshapesg': 'gref-umd'}
"""Drawn data sets, and the ones that they mirror, on which the paper has numbers."""
TOOLS = packaged('tools')


def find_rows(table: str) -> dict[str, Path]:
    """Row files of ``table3``, ``table6``, ..., by what follows the table in their names, in the table's order.

    Raises:
        ValueError: no such table; those that exist are listed.
    """
    files = sorted((CONFIG_ROOT / 'ablations').glob('*_*.py'), key=_place)
    rows = {path.stem.split('_', 1)[1]: path for path in files if path.stem.split('_', 1)[0] == table}
    if not rows:
        raise ValueError(f'no table {table!r}; there are {sorted({path.stem.split("_", 1)[0] for path in files})}')
    return rows


def _place(path: Path) -> tuple[str, int]:
    """Table and number of a row: ``lavt_10_...`` comes after ``lavt_9_...``."""
    table, number, _ = path.stem.split('_', 2)
    return table, int(number)


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
    return run_config(load_config(row, options, from_scratch, base=BASES[data]), seed, epochs)


def run_config(cfg: Config, seed: int = 0, epochs: int | None = None) -> Config:
    """The config with this seed and length, tested on val as the last epoch leaves it; see :func:`row_config`."""
    epochs = cfg.train_cfg.max_epochs if epochs is None else epochs
    if epochs < 1:
        raise ValueError(f'epochs must be 1 or more; got {epochs}')
    for scheduler in cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]:
        if scheduler.by_epoch:
            scheduler.end = epochs
    cfg.train_cfg.update(max_epochs=epochs, val_begin=epochs + 1)  # never
    cfg.test_cfg.update(splits=('val',), shuffled=())
    cfg.default_hooks.logger.interval = 10  # the first steps are a curve of their own
    cfg.randomness.seed = seed
    return cfg


def describe(cfg: Config, data: str) -> dict:
    """What is known of a row without running it.

    ``params`` in millions and ``gflops``, as the paper counts them, at the data's size; ``published``: the paper's
    results on val by metric, their ``protocol``, and ``published_on``, the data set that they are of: the same, or the
    one that is mirrored.

    Raises:
        ValueError: a part of the model does not know its arguments, or the parts do not fit one another; ``published``
            does not say its protocol.
    """
    size = input_size(cfg)
    with _wrong_settings(cfg):
        init_default_scope('mmseg')
        parts = without_pretrained(copy.deepcopy(cfg)).model
        found = count_complexity(build_shapes(lambda: MODELS.build(parts)), size, words=30)
    published_on = MIRRORED.get(data, data)
    numbers, protocol = read_published(cfg.get('published', {}), published_on, 'val') or (None, None)
    return dict(
        params=found.image_params + found.text_params,
        gflops=found.image_modules,
        published=numbers,
        protocol=protocol,
        published_on=published_on,
    )


def check_inputs(cfgs: Iterable[Config]) -> None:
    """Read the data sets and the pretrained weights that the runs of these configs will read, each once.

    Raises:
        OSError: what is missing.
        ValueError: what is broken, or does not know its arguments.
    """
    checked: list = []
    for cfg in cfgs:
        parts = [part for part in cfg.model.values() if names_pretrained(part)]
        for inputs, check in ((_datasets(cfg), DATASETS.build), (parts, _load_pretrained)):
            for one in inputs:
                if one not in checked:
                    with _wrong_settings(cfg):
                        init_default_scope('mmseg')
                        check(one)
                    checked.append(one)


def _datasets(cfg: Config) -> list[dict]:
    tested = [with_changed_parts(cfg.test_dataloader.dataset, split=split) for split in cfg.test_cfg.splits]
    return [cfg.train_dataloader.dataset, cfg.val_dataloader.dataset, *tested]


def _load_pretrained(part: dict) -> None:
    module = MODELS.build(part)
    if isinstance(module, BaseModule):  # a preprocessor is none; it reads its tokenizer when it is built
        module.init_weights()


@contextmanager
def _wrong_settings(cfg: Config) -> Iterator[None]:
    """What parts raise that get arguments they do not know, or tensors that do not fit, as an error of the input."""
    try:
        yield
    except (KeyError, TypeError, RuntimeError) as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        raise ValueError(f'{cfg.filename}, with these settings: {reason}') from error


@dataclass(frozen=True, eq=False)
class AblationRun:
    """A row with a seed, in a folder of its own: ``config.py``, ``log.txt``, ``train/``, ``val.jsonl``, ..."""

    row: str
    seed: int
    folder: Path
    cfg: Config

    @property
    def name(self) -> str:
        return f'{self.row}, seed {self.seed}'

    @property
    def done(self) -> bool:
        return self._samples.is_file()

    @property
    def epochs(self) -> int:
        """To train."""
        return self.cfg.train_cfg.max_epochs

    @property
    def _config(self) -> Path:
        return self.folder / 'config.py'

    @property
    def _log(self) -> Path:
        return self.folder / 'log.txt'

    @property
    def _train(self) -> Path:
        return self.folder / 'train'

    @property
    def _samples(self) -> Path:
        return self.folder / 'val.jsonl'

    @property
    def _seconds(self) -> Path:
        return self.folder / 'seconds.txt'

    @property
    def _begun(self) -> bool:
        """Whether a step was trained: a training that fails before leaves a folder, too."""
        return self.done or any(self._train.glob('*.pth')) or any(self._train.glob('*/vis_data/scalars.json'))

    def check(self) -> None:
        """Look whether the run can begin, or go on, in its folder.

        Raises:
            ValueError: what was trained there is not, or not known to be, what is asked for now.
        """
        if self._config.is_file():
            if self._begun and self._config.read_text(encoding='utf-8') != self.cfg.pretty_text:
                raise ValueError(f'{self.folder} holds a run of other settings; remove it, or name another folder')
        elif self.done or self._train.exists():
            raise ValueError(
                f'{self.folder} holds a run of unknown settings, without its config.py; remove it, or name another '
                'folder'
            )

    def prepare(self) -> None:
        """Write the config, with which the run is then trained and tested, unless it stands there.

        Raises:
            ValueError: see :meth:`check`.
        """
        self.check()
        text = self.cfg.pretty_text
        if self._config.is_file() and self._config.read_text(encoding='utf-8') == text:
            return
        self._seconds.unlink(missing_ok=True)  # of other settings, with which nothing was trained
        with whole_file(self._config) as part:
            part.write_text(text, encoding='utf-8')

    def train_and_test(self, threads: int) -> Generator[subprocess.Popen, None, None]:
        """Train, from where it stopped, and test the last checkpoint, which no result has chosen.

        Args:
            threads: of each process; what was begun goes on with its own number, on which sums of floats depend.

        Yields:
            the process of the training, then that of the test, as each starts; to go on is to wait for its end, and to
            close the iterator ends it.

        Raises:
            RuntimeError: a tool failed; with the lines of its log that say why.
        """
        threads, test = self._keep_threads(threads), self.folder / 'test'
        begin = time.monotonic()
        try:
            yield from self._call(threads, 'train.py', self._config, '--work-dir', self._train, '--resume')
        finally:
            with open(self._seconds, 'a', encoding='utf-8') as file:
                file.write(f'{time.monotonic() - begin:.1f}\n')
        last = last_checkpoint_in(self._train)
        yield from self._call(threads, 'test.py', self._config, last, '--work-dir', test, '--out', test)
        (test / self._samples.name).replace(self._samples)  # now the run is done

    def _keep_threads(self, threads: int) -> int:
        file = self.folder / 'threads.txt'
        if self._begun and file.is_file():
            return int(file.read_text(encoding='utf-8'))
        file.write_text(f'{threads}\n', encoding='utf-8')
        return threads

    def _call(self, threads: int, tool: str, *args: object) -> Generator[subprocess.Popen, None, None]:
        command = [sys.executable, '-W', 'ignore', str(TOOLS / tool), *map(str, args)]
        environment = {**os.environ, 'OMP_NUM_THREADS': str(threads)}
        with open(self._log, 'ab') as file:
            begin = file.tell()
            process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield process
            status = process.wait()
        finally:
            process.terminate()  # whoever is interrupted leaves nothing behind; does nothing to what has ended
            process.wait()
        if status:
            reason = _reason(self._log.read_bytes()[begin:].decode(errors='replace'))
            raise RuntimeError(f'{self.name}: {tool} failed (status {status}, {self._log}): {reason}')

    def trained(self) -> float:
        """Epochs that are trained, by the last checkpoint and by the end of the log."""
        if self.done:
            return self.epochs
        named = self._train / 'last_checkpoint'
        saved = re.search(r'epoch_(\d+)\.pth$', named.read_text(encoding='utf-8')) if named.is_file() else None
        logged = re.findall(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\]', _end(self._log))
        epoch, step, steps = map(int, logged[-1]) if logged else (1, 0, 1)
        return min(max(int(saved[1]) if saved else 0, epoch - 1 + step / steps), self.epochs)

    def read(self) -> Run:
        """What the test found."""
        return Run.of(self.seed, read_results(self._samples))

    def minutes(self) -> float:
        """Of training, interruptions included."""
        return sum(map(float, self._seconds.read_text(encoding='utf-8').split())) / 60


def _end(log: Path, size: int = 10_000) -> str:
    if not log.is_file():
        return ''
    with open(log, 'rb') as file:
        file.seek(max(0, log.stat().st_size - size))
        return file.read().decode(errors='replace')


def _reason(log: str) -> str:
    """The line of our tools, or of a traceback, that says what is wrong; else the last lines."""
    lines = [line for line in log.splitlines() if line.strip()]
    said = [i for i, line in enumerate(lines) if re.match(r'error: |[\w.]+(Error|Exception|Interrupt)\b', line)]
    return '\n'.join(lines[said[-1] :][:5] if said else lines[-5:]).removeprefix('error: ') or 'it said nothing'
