"""Systems side by side: small ones, trained from scratch on the same photos for as many steps."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from ...data_parts import config_parts
from ...profiling import Setting, Workload, median_ms
from ..config import CONFIG_ROOT, input_size, load_config
from ..model import build_model
from .ablation import AblationRun, run_config

SUFFIX = '_tiny_refshapes'
OURS = ('lavt', 'mgfe_ris')
MARGIN = 10.0
"""Points of oIoU above what the system scores with exchanged sentences, from which on it is said to have learned."""


def find_systems(projects: Path) -> dict[str, Path]:
    """The small config of each system, by name: ours, and ``projects/<system>/<system>..._tiny_refshapes.py``.

    Raises:
        ValueError: no such folder.
    """
    if not projects.is_dir():
        raise ValueError(f'{projects}: no such folder; systems stand in projects/ of a checkout of the repository')
    files = [path for name in OURS for path in sorted((CONFIG_ROOT / name).glob(f'*{SUFFIX}.py'))]
    for folder in sorted(path for path in projects.iterdir() if path.is_dir()):
        files += sorted(folder.glob(f'{folder.name}*{SUFFIX}.py'))
    return {path.stem.removesuffix(SUFFIX): path for path in files}


def system_config(path: Path, seed: int = 0, epochs: int | None = None, options: Sequence[str] | None = None) -> Config:
    """A system's config, tested on val as the last epoch leaves it, and on val with exchanged sentences.

    Args:
        path: of :func:`find_systems`; its project can be imported.
        seed, epochs, options: see :func:`mgfe_ris.apis.row_config`.
    """
    cfg = run_config(load_config(path, options), seed, epochs)
    cfg.test_cfg.shuffled = ('val',)
    return cfg


def budget_of(cfgs: Mapping[str, Config]) -> dict[str, Any]:
    """What all systems are given, by name: ``data``, ``samples``, ``batch``, ``epochs`` and ``steps``; reads the data.

    Raises:
        ValueError: a system's is another one than the first's.
    """
    budgets = {name: _budget_of_one(cfg) for name, cfg in cfgs.items()}
    first, expected = next(iter(budgets.items()))
    for name, budget in budgets.items():
        if other := [key for key in expected if budget[key] != expected[key]]:
            raise ValueError(
                f'{name} would have another budget than {first}: '
                + '; '.join(f'{key} {budget[key]} in the place of {expected[key]}' for key in other)
                + '. Set them alike in its config, or by --cfg-options for all'
            )
    init_default_scope('mmseg')
    samples = len(DATASETS.build(next(iter(cfgs.values())).train_dataloader.dataset))
    return expected | dict(samples=samples, steps=expected['epochs'] * (samples // expected['batch']))


def _budget_of_one(cfg: Config) -> dict[str, Any]:
    keys = ('data_root', 'ann_folder', 'split_by', 'split', 'indices', 'per_sentence')
    loader = cfg.train_dataloader
    data = [{key: part[key] for key in keys if part.get(key) is not None} for part in config_parts(loader.dataset)]
    return dict(data=data, batch=loader.batch_size, epochs=cfg.train_cfg.max_epochs)


def read_scores(runs: Iterable[AblationRun]) -> dict[str, float]:
    """Means over seeds, in percent: ``oIoU`` and ``mIoU`` of the common protocol, ``own_mIoU`` of the system's own,
    and ``exchanged``, oIoU with exchanged sentences.

    The common protocol is the one named ``common_photo`` where the config has protocols: masks at the photo's size,
    of the probability 0.5.
    """
    found = [_scores_of_one(run) for run in runs]
    return {key: mean(one[key] for one in found) for key in found[0]}


def _scores_of_one(run: AblationRun) -> dict[str, float]:
    metrics = json.loads((run.folder / 'test/metrics.json').read_text(encoding='utf-8'))['metrics']

    def score(split: str, protocol: str, metric: str) -> float:
        return metrics.get(f'{split}/{protocol}/{metric}', metrics[f'{split}/{metric}'])

    return dict(
        oIoU=score('val', 'common_photo', 'oIoU'),
        mIoU=score('val', 'common_photo', 'mIoU'),
        own_mIoU=score('val', 'own', 'mIoU'),
        exchanged=score('val-shuffled', 'common_photo', 'oIoU'),
    )


def measure_systems(cfgs: Mapping[str, Config], repeats: int = 5) -> dict[str, dict[str, float]]:
    """Of each system, medians in milliseconds, with random weights, on one thread of this CPU.

    The systems are measured in turn, so that a machine that grows slower treats all alike.

    Returns:
        Of each, ``photo_ms``: one photo with one sentence of full length; ``step_ms``: a training step of its config.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        photo = median_ms([Workload(build_model(cfg), Setting(size=input_size(cfg))) for cfg in cfgs.values()], repeats)
        step = median_ms([_training_of(cfg) for cfg in cfgs.values()], repeats)
    finally:
        torch.set_num_threads(threads)
    return {name: dict(photo_ms=one, step_ms=two) for name, one, two in zip(cfgs, photo, step, strict=True)}


def _training_of(cfg: Config) -> Workload:
    return Workload(build_model(cfg), Setting('train', batch=cfg.train_dataloader.batch_size, size=input_size(cfg)))
