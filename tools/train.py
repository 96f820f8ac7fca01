"""Train a model.

Example: python tools/train.py configs/mgfe_ris/mgfe-ris_tiny_refshapes.py
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from mmengine.config import Config

    from mgfe_ris.engine import RISRunner


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or the name of one of ours')
    parser.add_argument('--work-dir', help='for logs and checkpoints; default: work_dirs/<config name>')
    parser.add_argument('--resume', action='store_true', help='go on from the newest checkpoint in the work dir')
    parser.add_argument(
        '--resume-anyway', action='store_true', help='--resume, also with settings that make another training of it'
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=['auto', 'bf16', 'fp16'],
        help='mixed precision: bf16, or fp16 with a loss scale; alone: fp16 on CUDA, bf16 on a CPU',
    )
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help="scale the learning rate by batch / config's batch"
    )
    parser.add_argument(
        '--from-scratch', action='store_true', help='random weights, built-in vocabulary: needs no network'
    )
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. data_root=data/x')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    rank = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}.get(args.launcher, '')
    args.speaks = os.environ.get(rank, '0') == '0'
    if not args.speaks:
        warnings.simplefilter('ignore')  # the first process says the same
    return args


def build_config(args: argparse.Namespace) -> Config:
    from mgfe_ris.apis import load_config, use_mixed_precision

    cfg = load_config(args.config, args.cfg_options, args.from_scratch)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    cfg.resume = args.resume or args.resume_anyway or cfg.get('resume', False)
    if args.amp:
        use_mixed_precision(cfg, args.amp)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError('--auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in the config')
        cfg.auto_scale_lr.enable = True
    return cfg


def prepare(args: argparse.Namespace) -> RISRunner:
    """Read and check everything, so that what is wrong with the input shows before the training starts."""
    from mgfe_ris.apis import check_checkpoint
    from mgfe_ris.apis.config import learns_all_words
    from mgfe_ris.engine import NonFiniteHook, StartFromHook, StartRecordHook, TrainingWordsHook, build_runner, unwrap
    from mgfe_ris.evaluation import check_metric_names
    from mgfe_ris.output_files import require_folder

    cfg = build_config(args)
    require_folder('--work-dir', cfg.work_dir)
    all_words = learns_all_words(cfg)
    start = None if cfg.resume else cfg.get('load_from')
    if start:
        cfg.load_from = None  # loaded below: mmengine would pass over what does not fit, and run what the file holds
    runner = build_runner(cfg)
    require_folder('default_hooks.checkpoint.out_dir', runner.checkpoint_folder)
    if not any(isinstance(hook, NonFiniteHook) for hook in runner.hooks):  # a config that inherits nothing of ours
        runner.register_hook(NonFiniteHook())
    runner.register_hook(StartRecordHook())
    runner.register_hook(TrainingWordsHook(all_words))
    if start:
        state = check_checkpoint(runner.model, start, whole=False)
        common = state.keys() & unwrap(runner.model).state_dict().keys()
        runner.logger.info(f'{start}: {len(common)} weights to start from, {len(state) - len(common)} left out')
        runner.register_hook(StartFromHook({name: state[name] for name in common}))
    elif cfg.resume:
        runner.choose_resumed(args.resume_anyway)
    runner.prepare_training()
    if runner.val_loop is not None:
        check_metric_names(runner.val_loop.evaluator.metrics, runner.hooks)
    return runner


_NEXT = (
    'the checkpoints of before are whole. Make room, or see that files can be written there, and go on with --resume'
)


def end_by_signal(signum: int, frame: object) -> None:
    """As Ctrl-C does by itself; while it trains, the runner listens."""
    raise KeyboardInterrupt(signum)


def say_how_to_go_on(runner: RISRunner | None, stopped: KeyboardInterrupt, args: argparse.Namespace) -> int:
    """Print it, in the first of several processes; returns the signal."""
    signum = next(iter(stopped.args), signal.SIGINT)
    if runner is None:
        said = 'before the training began'
    else:
        said = f'in epoch {runner.epoch + 1}, after step {runner.iter}'
        saved = getattr(stopped, 'saved', None)
        said += f'; saved as {saved}' if saved else ''
    words = sys.argv if args.resume else [*sys.argv, '--resume']
    again = f'python {shlex.join(words)}' if args.launcher == 'none' else 'the same command with --resume'
    if args.speaks:
        print(f'stopped by {signal.Signals(signum).name} {said}. To go on: {again}', file=sys.stderr)
    return signum


def main() -> None:
    args = parse_args()
    heard = [getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1') if hasattr(signal, name)]
    before = {signum: signal.signal(signum, end_by_signal) for signum in heard}
    runner = None
    try:
        from mgfe_ris.apis import fail, prepare_cpu, report_errors
        from mgfe_ris.engine import NonFiniteError
        from mgfe_ris.output_files import NO_RIGHT, NO_ROOM

        logging.raiseExceptions = False  # a log that cannot be written is no reason for a traceback at each line
        prepare_cpu()
        with report_errors():
            runner = prepare(args)
        try:
            runner.train()
        except NonFiniteError as error:
            fail(error, error, status=1)
        except OSError as error:
            if error.errno not in (*NO_ROOM, *NO_RIGHT):
                raise
            where = error.strerror if error.filename is None else f'{error.filename}: {error.strerror}'
            fail(f'{where}; {_NEXT}', error, status=1)
    except KeyboardInterrupt as stopped:
        raise SystemExit(128 + say_how_to_go_on(runner, stopped, args)) from None
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


if __name__ == '__main__':
    main()
