"""Masks for millions of photos and sentences, by workers on one or many machines. Stopped and run again, it goes on.

Examples:
    python projects/ray_inference/run.py pairs.parquet --model FOLDER --out FOLDER
    python projects/ray_inference/run.py pairs.jsonl --model FOLDER --out FOLDER --workers 8 --address auto
    python projects/ray_inference/run.py pairs.jsonl --out FOLDER --check

PAIRS have the columns photo and text (or image and sentences), a sentence or a list of them. OUT gets settings.json and
parts/part-NNNNNN.parquet, a row for each sentence of each row: file, row, sentence_index, photo, sentence, rle, bbox,
area, confidence, understood, no_target, error.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from shards import Shard


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pairs', nargs='+', help='.parquet or .jsonl, or folders of them')
    parser.add_argument(
        '--model',
        help='folder, also by its name in work_dirs; checkpoint; config, or its name; default: '
        'work_dirs/quickstart-photos where it is trained, else work_dirs/quickstart',
    )
    parser.add_argument('--checkpoint', help='weights, where --model is a config')
    parser.add_argument('--out', required=True, help='folder for the results; all machines share it')
    parser.add_argument('--data-root', help='folder of the photos; default: that of the file which names them')
    parser.add_argument('--workers', type=int, default=1, help='processes with a model each; default: 1')
    parser.add_argument('--gpus-per-worker', type=float, help='may be a fraction; default: 1 if there is one here')
    parser.add_argument('--cpus-per-worker', type=int, default=1, help='threads of a worker; default: 1')
    parser.add_argument('--batch-size', type=int, default=16, help='sentences computed at once; default: 16')
    parser.add_argument('--threshold', type=float, help="of the score, between 0 and 1; default: the model's own")
    parser.add_argument('--precision', choices=['fp32', 'bf16'], default='fp32')
    parser.add_argument('--shard-rows', type=int, default=500, help='rows of PAIRS for each part; default: 500')
    parser.add_argument('--address', default='local', help='of a cluster that runs; default: one for this run, here')
    parser.add_argument('--check', action='store_true', help='only see whether OUT has each sentence of PAIRS once')
    args = parser.parse_args()
    for name, value in vars(args).items():
        if value == '' or value == ['']:  # as of a variable of the shell that is not set
            parser.error(f'{name} is empty')
    for name in ('workers', 'cpus_per_worker', 'batch_size', 'shard_rows'):
        if getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} must be 1 or more')
    if args.gpus_per_worker is not None and not 0 <= args.gpus_per_worker < float('inf'):
        parser.error('--gpus-per-worker must be 0 or more')
    return args


def whole(name: str | None) -> str | None:
    """The name of a config stays one; a worker has a current folder of its own."""
    return os.path.abspath(name) if name and os.path.exists(name) else name


def prepare(args: argparse.Namespace) -> tuple[list[Shard], dict, dict]:
    """Look at all that can be wrong before a cluster is started.

    Returns:
        the shards; the arguments of each worker's :class:`RISInferencer`; and what has to be the same to go on.

    Raises:
        ImportError: Ray is not installed.
        OSError, ValueError: input that is wrong, no such model.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise ImportError(f'{error}: pip install -r {Path(__file__).with_name("requirements.txt")}') from error
    from shard_worker import model_settings
    from shards import cut

    from mgfe_ris.apis import RISInferencer, default_model
    from mgfe_ris.apis.infer.inferencer import check_threshold

    if args.threshold is not None:
        check_threshold(args.threshold)  # ahead of reading all of the input
    if args.data_root and not os.path.isdir(args.data_root):
        raise FileNotFoundError(f'--data-root {args.data_root}: no such folder')
    shards, inputs = cut(args.pairs, args.shard_rows)
    model: dict[str, Any] = dict(
        model=whole(str(args.model or default_model())),
        checkpoint=whole(args.checkpoint),
        precision=args.precision,
        batch_size=args.batch_size,
    )
    inferencer = RISInferencer(**model, device='cpu')
    run = dict(inputs=inputs, shard_rows=args.shard_rows, data_root=whole(args.data_root))
    run['threshold'] = inferencer.choose_threshold(args.threshold)
    return shards, model, {**run, **model_settings(inferencer)}


def start_ray(args: argparse.Namespace) -> None:
    """Join the cluster, or start one of this machine for this run.

    Raises:
        ConnectionError: no cluster at that address.
        ValueError: fewer CPUs or GPUs than the workers need, for which Ray would wait for ever.
    """
    import ray

    needed = {'CPU': args.workers * args.cpus_per_worker, 'GPU': args.workers * args.gpus_per_worker}
    if not ray.is_initialized():
        quiet: dict[str, Any] = dict(log_to_driver=False, logging_level='WARNING')
        if args.address == 'local':  # what is kept in memory are numbers of shards
            quiet |= dict(num_cpus=needed['CPU'], object_store_memory=100_000_000, include_dashboard=False)
        ray.init(args.address, **quiet)
    there = ray.cluster_resources()
    for kind, number in needed.items():
        if there.get(kind, 0) < number:
            raise ValueError(f'{args.workers} workers need {number:g} {kind}s; the cluster has {there.get(kind, 0):g}')


def segment(shards: list[Shard], worker: dict, args: argparse.Namespace) -> Iterator[int]:
    """Numbers of the shards whose part is there, as they come.

    A shard is one item of Ray Data, which hands it to a worker, and again, if that dies.

    Args:
        worker: arguments of each :class:`ShardWorker`.
    """
    import ray
    import shard_worker
    import shards as shards_module
    from ray.data import ActorPoolStrategy, DataContext

    for module in (shard_worker, shards_module):  # other machines have mgfe_ris, and need nothing of this folder
        ray.cloudpickle.register_pickle_by_value(module)
    logging.getLogger('ray.data').setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # a shard may take long
    context.max_consecutive_actor_init_deaths = 3  # a worker may be killed while it loads its model
    context.max_errored_blocks = 10  # what breaks on one shard does not keep the others from being done
    items = ray.data.from_items([asdict(shard) for shard in shards], override_num_blocks=len(shards))
    done = items.map(
        shard_worker.ShardWorker,
        fn_constructor_kwargs=worker,
        compute=ActorPoolStrategy(size=args.workers, max_tasks_in_flight_per_actor=1),
        num_cpus=args.cpus_per_worker,
        num_gpus=args.gpus_per_worker,
    )
    yield from (row['number'] for row in done.iter_rows())


def check(args: argparse.Namespace) -> None:
    """Print what is wrong with the results; status 1, if anything is."""
    from mgfe_ris.apis import report_errors

    with report_errors():
        from out_folder import faults, read_settings
        from shards import cut

        settings = read_settings(Path(args.out))
        shards, inputs = cut(args.pairs, settings['shard_rows'])
        if inputs != settings['inputs']:
            raise ValueError(f'{args.out} holds results of other input than {" ".join(args.pairs)}')
        found = list(faults(shards, Path(args.out)))
    rows = sum(shard.rows for shard in shards)
    print(*found or [f'{args.out} has each sentence of {rows} rows once'], sep='\n')
    if found:
        raise SystemExit(1)


def run(args: argparse.Namespace) -> None:
    """Compute the parts that are missing."""
    from mgfe_ris.apis import report_errors

    with ExitStack() as folder:
        with report_errors():
            shards, model, settings = prepare(args)
            if args.gpus_per_worker is None:
                args.gpus_per_worker = gpus_here()
            from out_folder import count, missing, open_out
            from tqdm import tqdm

            parts = folder.enter_context(open_out(Path(args.out), settings))
            if to_do := missing(shards, parts):
                start_ray(args)
        worker = dict(
            parts=str(parts.absolute()),
            model={**model, 'device': 'cuda' if args.gpus_per_worker else 'cpu'},
            settings=settings,
        )
        done = segment(to_do, worker, args) if to_do else ()
        try:
            for _ in tqdm(done, total=len(shards), initial=len(shards) - len(to_do), unit='part'):
                pass
        except Exception as error:  # of Ray, or of a worker: in its text is the worker's traceback
            reason = str(error).strip().splitlines()[-1]
            raise SystemExit(f'error: {reason}\nthe run has ended; run again, it goes on') from error
        if left := missing(shards, parts):
            head = f'{len(left)} of {len(shards)} parts could not be written; run again, it goes on:'
            raise SystemExit('\n'.join([head, *map(str, left[:20])]))
        results, broken = count(parts)
        print(f'wrote {parts}: {results} results' + f', {broken} of them errors' * bool(broken))


def gpus_here() -> int:
    """For each worker, by default."""
    import torch

    return int(torch.cuda.is_available())


def main() -> None:
    args = parse_args()
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # ahead of importing Ray: nothing is told to anybody
    (check if args.check else run)(args)


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        print('stopped; the same command goes on', file=sys.stderr)
        raise SystemExit(130) from None  # as shells have it
