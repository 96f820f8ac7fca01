"""Test a checkpoint on every split that the config names.

Example: python tools/test.py configs/mgfe_ris/mgfe-ris_tiny_refshapes.py work_dirs/.../best.pth --out results
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, the name of one of ours, or a folder with a model')
    parser.add_argument('checkpoint', help='weights, or a folder with weights')
    parser.add_argument('--work-dir', help='for logs; default: <work dir of the training>/test')
    parser.add_argument('--out', type=Path, help='folder for metrics.json and a JSON line per sample and split')
    parser.add_argument('--show-dir', help='folder for pictures: photo, sentence, truth and prediction')
    parser.add_argument('--from-scratch', action='store_true', help='for a checkpoint trained so: built-in vocabulary')
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. data_root=data/x')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def prepare(args: argparse.Namespace) -> Runner:
    """Read and check everything, so that what is wrong with the input shows before the test starts."""
    from mgfe_ris.apis import RISRunner, check_checkpoint, load_config, unwrap
    from mgfe_ris.visualization import PictureHook

    cfg = load_config(args.config, args.cfg_options, args.from_scratch)
    cfg.launcher = args.launcher
    # a folder of its own: the runner writes its config there, and that of the training must stay
    cfg.work_dir = args.work_dir or f'{cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"}/test'
    # the checkpoint is loaded below: mmengine's loader would run code that a file holds
    cfg.load_from, cfg.resume = None, False
    for metric in _metrics_of(cfg) if args.out else ():
        metric.per_sample = str(args.out)
    runner = RISRunner.from_cfg(cfg)
    if args.show_dir:
        runner.register_hook(PictureHook(args.show_dir))
    unwrap(runner.model).load_state_dict(check_checkpoint(runner.model, args.checkpoint))
    return runner


def _metrics_of(cfg: Config) -> list[dict]:
    """Ours: those that write a line per sample."""
    from mgfe_ris.apis.option_keys import registered_part
    from mgfe_ris.evaluation import RefSegMetric

    kinds = [(metric, registered_part(metric.get('type'))) for metric in _evaluators(cfg)]
    return [metric for metric, kind in kinds if isinstance(kind, type) and issubclass(kind, RefSegMetric)]


def _evaluators(cfg: Config) -> list[dict]:
    return cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]


def describe(runner: Runner) -> dict:
    """What was asked of the data and the metrics that changes a result; reads the data sets."""
    from mmseg.registry import DATASETS

    from mgfe_ris.evaluation import SplitsTestLoop

    loop, cfg = runner.test_loop, runner.cfg
    loops = loop.loops if isinstance(loop, SplitsTestLoop) else {'test': loop}
    datasets = {name: part.dataloader.dataset for name, part in loops.items()}
    tested = cfg.test_dataloader.dataset
    report = dict(
        data={key: tested[key] for key in ('ann_folder', 'split_by', 'ann_file', 'data_root') if tested.get(key)},
        protocol={name: dataset.metainfo.get('protocol') for name, dataset in datasets.items()},
        input_size=list(next(iter(datasets.values()))[0]['inputs'].shape[1:]),
        evaluator=[{key: value for key, value in metric.items() if key != 'per_sample'} for metric in _evaluators(cfg)],
    )
    if 'train_dataloader' in cfg:
        train = DATASETS.build({**cfg.train_dataloader.dataset, 'lazy_init': True})
        report['train_protocol'] = train.metainfo.get('protocol')
    return report


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import report_errors

    with report_errors():
        runner = prepare(args)
        asked = describe(runner)
    metrics = runner.test()
    if args.out and runner.rank == 0:
        write_metrics(args.out / 'metrics.json', args, metrics, asked, runner)


def write_metrics(path: Path, args: argparse.Namespace, metrics: dict, asked: dict, runner: Runner) -> None:
    from mgfe_ris.apis import unwrap
    from mgfe_ris.models.checkpoints import fingerprint

    model = unwrap(runner.model)
    cut = model.data_preprocessor.tokenizer.num_truncated
    of = dict(config=args.config, checkpoint=args.checkpoint, weights=fingerprint(model.state_dict()))
    report = dict(**of, metrics=metrics, **asked, truncated_sentences=cut)
    path.write_text(json.dumps(report, indent=2) + '\n')
    print(f'wrote {path}')


if __name__ == '__main__':
    main()
