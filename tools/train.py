"""Train a model.

Example: python tools/train.py configs/mgfe_ris/mgfe-ris_tiny_refshapes.py
"""

import argparse
import os
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mgfe_ris.apis import check_checkpoint, load_config, report_errors, use_mixed_precision


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or the name of one of ours')
    parser.add_argument('--work-dir', help='for logs and checkpoints; default: work_dirs/<config name>')
    parser.add_argument('--resume', action='store_true', help='go on from the newest checkpoint in the work dir')
    parser.add_argument('--amp', action='store_true', help='mixed precision: fp16 on CUDA, bf16 on a CPU')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help="scale the learning rate by batch / config's batch"
    )
    parser.add_argument(
        '--from-scratch', action='store_true', help='random weights, built-in vocabulary: needs no network'
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='changes, e.g. data_root=data/x')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def build_config(args: argparse.Namespace) -> Config:
    cfg = load_config(args.config, args.cfg_options, args.from_scratch)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    cfg.resume = args.resume or cfg.get('resume', False)
    if args.amp:
        use_mixed_precision(cfg)
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    return cfg


def main() -> None:
    args = parse_args()
    cfg = build_config(args)
    runner = Runner.from_cfg(cfg)
    if cfg.load_from:
        check_checkpoint(runner.model, cfg.load_from)
    runner.train()


if __name__ == '__main__':
    with report_errors():
        main()
