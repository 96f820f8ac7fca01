"""Test a checkpoint on every split that the config names.

Example: python tools/test.py configs/mgfe_ris/mgfe-ris_tiny_refshapes.py work_dirs/.../best.pth --out results
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner, TestLoop

    from mgfe_ris.evaluation import RefSegMetric


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, the name of one of ours, or a folder with a model')
    parser.add_argument('checkpoint', help='weights, or a folder with weights')
    parser.add_argument('--work-dir', help='for logs; default: <work dir of the training>/test')
    parser.add_argument('--out', help='folder for metrics.json and a JSON line per sample and split')
    parser.add_argument(
        '--coco-json', action='store_true', help="with --out: predictions as COCO's list of results, too"
    )
    parser.add_argument('--show-dir', help='folder for pictures: photo, sentence, truth and prediction')
    parser.add_argument('--save-logits', metavar='DIR', help='folder for logits of every sample, 2 bytes a pixel')
    parser.add_argument(
        '--tta', action='store_true', help='mean with the mirror image, left and right exchanged in both'
    )
    parser.add_argument('--from-scratch', action='store_true', help='for a checkpoint trained so: built-in vocabulary')
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. data_root=data/x')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0)
    args = parser.parse_args()
    for name, value in vars(args).items():
        if value == '':  # as of a variable of the shell that is not set; Path('') is the current folder
            parser.error(f'{name} is empty')
    args.out, args.save_logits = (path and Path(path) for path in (args.out, args.save_logits))
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    rank = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}.get(args.launcher, '')
    if os.environ.get(rank, '0') != '0':
        warnings.simplefilter('ignore')  # the first process says the same
    return args


def prepare(args: argparse.Namespace) -> Runner:
    """Read and check everything, so that what is wrong with the input shows before the test starts."""
    from mgfe_ris.apis import FlipTTA, load_config, read_weights, weights_in
    from mgfe_ris.engine import RISRunner, unwrap
    from mgfe_ris.engine.weights import check_weights
    from mgfe_ris.evaluation import LogitsHook
    from mgfe_ris.models.size_limit import limited_size
    from mgfe_ris.output_files import require_folder
    from mgfe_ris.visualization import PictureHook

    if args.coco_json and not args.out:
        raise ValueError('--coco-json needs --out, the folder to write to')
    for option, folder in (('--out', args.out), ('--show-dir', args.show_dir), ('--save-logits', args.save_logits)):
        if folder:
            require_folder(option, folder)
    cfg = load_config(args.config, args.cfg_options, args.from_scratch)
    _evaluators(cfg)
    cfg.launcher = args.launcher
    # a folder of its own: the runner writes its config there, and that of the training must stay
    cfg.work_dir = args.work_dir or f'{cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"}/test'
    # the checkpoint is loaded below: mmengine's loader would run code that a file holds
    cfg.load_from, cfg.resume = None, False
    if args.out:
        write_lines(cfg, args.out, args.coco_json)
    path = weights_in(args.checkpoint)
    state = read_weights(path)
    with limited_size(cfg.filename, state):
        runner = RISRunner.from_cfg(cfg)
    for hook, folder in ((PictureHook, args.show_dir), (LogitsHook, args.save_logits)):
        if folder:
            runner.register_hook(hook(folder))
    require_scores(runner)
    unwrap(runner.model).load_state_dict(check_weights(unwrap(runner.model), state, path))
    if args.tta:
        runner.model = FlipTTA(runner.model)
    return runner


def require_scores(runner: Runner) -> None:
    """Raises a ValueError where logits are to be saved of a model that has none."""
    from mgfe_ris.engine import unwrap
    from mgfe_ris.evaluation import LogitsHook
    from mgfe_ris.structures import NO_SCORES, gives_scores

    hooks = any(isinstance(hook, LogitsHook) for hook in runner.hooks)
    if hooks and not gives_scores(unwrap(runner.model)):
        raise ValueError(f'--save-logits: {NO_SCORES}; leave it away')


def write_lines(cfg: Config, out: Path, coco_json: bool) -> None:
    """Have our metrics write what they know of each sample: the first to ``out``, others to a folder of their own."""
    from mgfe_ris.apis.config.option_keys import registered_part
    from mgfe_ris.evaluation import RefSegMetric

    folders: dict[Path, dict] = {}
    for metric in _evaluators(cfg):
        kind = registered_part(metric.get('type'))
        if isinstance(kind, type) and issubclass(kind, RefSegMetric):
            folder = out / (metric.get('prefix') or kind.__name__) if folders else out
            folders[folder] = metric
            metric.update(per_sample=str(folder), coco_json=coco_json)
    if coco_json and not folders:
        raise ValueError('--coco-json: the config has no RefSegMetric among its metrics, which would write them')


def _evaluators(cfg: Config) -> list[dict]:
    """Raises ValueError where there are none."""
    if 'test_evaluator' not in cfg or cfg.test_evaluator is None:
        raise ValueError(f'{cfg.filename}: nothing to test with: it has no test_evaluator')
    return list(cfg.test_evaluator) if isinstance(cfg.test_evaluator, (list, tuple)) else [cfg.test_evaluator]


def loops_of(runner: Runner) -> dict[str, TestLoop]:
    """By split."""
    from mgfe_ris.evaluation import SplitsTestLoop

    loop = runner.test_loop
    return loop.loops if isinstance(loop, SplitsTestLoop) else {'test': loop}


def describe(runner: Runner) -> dict:
    """What was asked of the data and the metrics that changes a result; reads the data sets."""
    from dataclasses import asdict

    from mgfe_ris.apis import input_pipeline
    from mgfe_ris.data_parts import config_parts
    from mgfe_ris.engine import unwrap
    from mgfe_ris.structures import gives_scores

    cfg, loops = runner.cfg, loops_of(runner)
    input_pipeline(cfg)  # one for all, or an error
    datasets = {name: part.dataloader.dataset for name, part in loops.items()}
    names = ('ann_folder', 'split_by', 'ann_file', 'data_root')
    tested = [{key: part[key] for key in names if part.get(key)} for part in config_parts(cfg.test_dataloader.dataset)]
    report = dict(
        data=tested[0] if len(tested) == 1 else dict(parts=tested),
        protocol={name: dataset.metainfo.get('protocol') for name, dataset in datasets.items()},
        input_size=list(next(iter(datasets.values()))[0]['inputs'].shape[1:]),
        evaluator=[_settings(metric) for metric in _evaluators(cfg)],
    )
    if (rule := getattr(unwrap(runner.model), 'mask_rule', None)) is not None:
        report['mask_rule'] = asdict(rule)
    if not gives_scores(unwrap(runner.model)):
        report['masks'] = 'filled polygons, whose pixels have no scores'
    if protocols := _protocols(runner):
        report['protocols'] = protocols
    if 'train_dataloader' in cfg:
        report['train_protocol'] = _train_protocol(cfg)
    return report


def _protocols(runner: Runner) -> dict[str, str]:
    """What stands before metrics that are scored otherwise, and how they are, in words."""
    metrics = {metric.prefix: metric for _, metric in _our_metrics(runner)}  # the same on each split
    return {
        f'{prefix}/{name}' if prefix else name: str(protocol)
        for prefix, metric in metrics.items()
        for name, protocol in metric.protocols.items()
    }


def _settings(metric: dict) -> dict:
    """Of a metric, without where it writes; a class by its name."""
    settings = {key: value for key, value in metric.items() if key not in ('per_sample', 'coco_json')}
    kind = settings['type']
    return settings | dict(type=kind if isinstance(kind, str) else kind.__name__)


def check_outputs(args: argparse.Namespace, runner: Runner, input_size: list[int]) -> None:
    """What would be in the way at the end; reads the data sets."""
    from mgfe_ris.data_parts import split_of
    from mgfe_ris.evaluation import bytes_of_logits, check_metric_names
    from mgfe_ris.output_files import nearest

    loops = loops_of(runner)
    check_metric_names(next(iter(loops.values())).evaluator.metrics)
    names = ['metrics.json', *(f'{split_of(loop.dataloader.dataset)}.jsonl' for loop in loops.values())]
    for path in (args.out / name for name in names if args.out):
        if path.is_dir():
            raise ValueError(f'{path} is a folder, and would be a file; move it away')
    if args.save_logits:
        samples = sum(len(loop.dataloader.dataset) for loop in loops.values())
        needed = bytes_of_logits(samples, *input_size)
        runner.logger.info(f'--save-logits: {samples} files, about {needed / 1e6:,.1f} MB')
        if (free := shutil.disk_usage(nearest(args.save_logits)).free) < needed:
            raise ValueError(f'--save-logits {args.save_logits}: {needed:,} bytes are needed, {free:,} are free')


def _train_protocol(cfg: Config) -> dict | None:
    """Read from the config; a mix of data sets reads annotations, too, which need not be here where it is tested."""
    from mmseg.registry import DATASETS

    from mgfe_ris.data_parts import lazy

    try:
        return DATASETS.build(lazy(cfg.train_dataloader.dataset)).metainfo.get('protocol')
    except FileNotFoundError as error:
        return dict(unknown=str(error))


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import report_errors
    from mgfe_ris.engine import sentence_counts, unwrap

    with report_errors():
        runner = prepare(args)
        asked = describe(runner)
        check_outputs(args, runner, asked['input_size'])
    metrics = runner.test()
    with report_errors():
        sentences = sentence_counts(unwrap(runner.model), readings=2 if args.tta else 1)
        if args.out and runner.rank == 0:
            write_metrics(args.out / 'metrics.json', args, metrics, asked | sentences, runner)
        report_unwritten(runner)


def write_metrics(path: Path, args: argparse.Namespace, metrics: dict, asked: dict, runner: Runner) -> None:
    from mgfe_ris.engine import unwrap
    from mgfe_ris.models.checkpoints import fingerprint
    from mgfe_ris.output_files import whole_file

    report = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        weights=fingerprint(unwrap(runner.model).state_dict()),
        metrics=metrics,
        **asked,
        tta='flip' if args.tta else None,
    )
    if by_category := {name: metric.by_category for name, metric in _our_metrics(runner) if metric.by_category}:
        report['by_category'] = by_category
    lines = [str(Path(metric.per_sample, name)) for _, metric in _our_metrics(runner) for name in metric.written]
    folders = dict(pictures=args.show_dir, logits=args.save_logits)
    report['written'] = dict(files=lines, **{what: str(folder) for what, folder in folders.items() if folder})
    text = json.dumps(report, indent=2, default=float) + '\n'  # some of mmseg's metrics are numpy's
    try:
        with whole_file(path) as part:
            part.write_text(text)
    except OSError:
        print(text)  # for they may have taken hours
        raise
    print('\n'.join(f'wrote {name}' for name in (*lines, path)))


def _our_metrics(runner: Runner) -> list[tuple[str, RefSegMetric]]:
    """With the split that each was used on, and, of several on one, the prefix."""
    from mgfe_ris.evaluation import RefSegMetric

    return [
        (f'{split}/{metric.prefix}' if metric.prefix else split, metric)
        for split, loop in loops_of(runner).items()
        for metric in loop.evaluator.metrics
        if isinstance(metric, RefSegMetric)
    ]


def report_unwritten(runner: Runner) -> None:
    """Raises an OSError if one left a file unwritten in any process, and did not end the test."""
    from mgfe_ris.engine import first_error
    from mgfe_ris.sample_files import SampleFilesHook

    writers = [metric for _, metric in _our_metrics(runner)]
    writers += [hook for hook in runner.hooks if isinstance(hook, SampleFilesHook)]
    error = next((writer.error for writer in writers if writer.error is not None), None)
    if (said := first_error(error)) is not None:
        raise OSError(f'the metrics hold, but not all was written: {said}') from error


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        print('stopped; nothing of the test is kept', file=sys.stderr)
        raise SystemExit(130) from None  # as shells have it
