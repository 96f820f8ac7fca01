"""Test a checkpoint on every split that the config names.

Example: python tools/test.py configs/mgfe_ris/mgfe-ris_tiny_refshapes.py work_dirs/.../best.pth --out results
"""

import argparse
import json
import os
from pathlib import Path

from mmengine.config import DictAction
from mmengine.runner import Runner
from mmseg.registry import DATASETS

from mgfe_ris.apis import check_checkpoint, load_config, report_errors, unwrap
from mgfe_ris.visualization import PictureHook


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, the name of one of ours, or a folder with a model')
    parser.add_argument('checkpoint', help='weights, or a folder with weights')
    parser.add_argument('--work-dir', help='for logs; default: <work dir of the training>/test')
    parser.add_argument('--out', type=Path, help='folder for metrics.json and a JSON line per sample and split')
    parser.add_argument('--show-dir', help='folder for pictures: photo, sentence, truth and prediction')
    parser.add_argument('--from-scratch', action='store_true', help='for a checkpoint trained so: built-in vocabulary')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='changes, e.g. data_root=data/x')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def prepare(args: argparse.Namespace) -> Runner:
    """Read and check everything, so that what is wrong with the input shows before the test starts."""
    cfg = load_config(args.config, args.cfg_options, args.from_scratch)
    cfg.launcher = args.launcher
    # a folder of its own: the runner writes its config there, and that of the training must stay
    cfg.work_dir = args.work_dir or f'{cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"}/test'
    # the checkpoint is loaded below: mmengine's loader would run code that a file holds
    cfg.load_from, cfg.resume = None, False
    if args.out:
        cfg.test_evaluator.per_sample = str(args.out)
    runner = Runner.from_cfg(cfg)
    if args.show_dir:
        runner.register_hook(PictureHook(args.show_dir))
    unwrap(runner.model).load_state_dict(check_checkpoint(runner.model, args.checkpoint))
    runner.test_loop  # noqa: B018 - building it reads the data sets
    return runner


def main() -> None:
    args = parse_args()
    with report_errors():
        runner = prepare(args)
    metrics = runner.test()
    if args.out and runner.rank == 0:
        write_metrics(args.out / 'metrics.json', metrics, args, runner)


def write_metrics(path: Path, metrics: dict, args: argparse.Namespace, runner: Runner) -> None:
    cfg = runner.cfg
    report = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        metrics=metrics,
        protocol={name: loop.dataloader.dataset.metainfo['protocol'] for name, loop in runner.test_loop.loops.items()},
        train_protocol=DATASETS.build({**cfg.train_dataloader.dataset, 'lazy_init': True}).metainfo['protocol'],
        evaluator={key: value for key, value in cfg.test_evaluator.items() if key != 'per_sample'},
        truncated_sentences=unwrap(runner.model).data_preprocessor.tokenizer.num_truncated,
    )
    path.write_text(json.dumps(report, indent=2) + '\n')
    print(f'wrote {path}')


if __name__ == '__main__':
    main()
