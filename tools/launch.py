"""Start the processes of one run, as torchrun does; of one that fails, its own words and status are all that is seen.

On one machine: python tools/launch.py 8 tools/train.py CONFIG --launcher pytorch
On several, on each of them, with its number in NODE_RANK, counted from 0:
  NNODES=2 NODE_RANK=0 MASTER_ADDR=first.machine PORT=29500 python tools/launch.py 8 tools/train.py CONFIG ...
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('processes', type=int, help='on this machine: one per GPU')
    parser.add_argument('script', help='tools/train.py or tools/test.py')
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help='of the script')
    args = parser.parse_args()
    if args.processes < 1:
        parser.error(f'{args.processes} processes: expected 1 or more')
    try:
        args.where = where(os.environ)
    except ValueError as error:
        parser.error(str(error))
    return args


def where(environment: os._Environ[str] | dict[str, str]) -> list[str]:
    """torchrun's options of the machines; on one, a free port is found.

    Raises:
        ValueError: the environment variables are no numbers, contradict each other, or one is missing.
    """
    nodes, rank = (_number(environment, name, default) for name, default in (('NNODES', '1'), ('NODE_RANK', '0')))
    port = environment.get('PORT') or environment.get('MASTER_PORT')
    address = environment.get('MASTER_ADDR')
    if nodes == 1 and rank == 0 and not port:
        return ['--standalone']
    if nodes < 1 or not rank < nodes:
        raise ValueError(f'NODE_RANK={rank}, NNODES={nodes}: machines are counted from 0')
    if nodes > 1 and not environment.get('NODE_RANK'):
        raise ValueError(f'NNODES={nodes} needs NODE_RANK, the number of this machine, counted from 0')
    if nodes > 1 and not address:
        raise ValueError(f'NNODES={nodes} needs MASTER_ADDR, the address of the machine with NODE_RANK=0')
    number = _number({'PORT': port or '29500'}, 'PORT', '')
    options = dict(nnodes=nodes, node_rank=rank, master_addr=address or '127.0.0.1', master_port=number)
    return [f'--{name}={value}' for name, value in options.items()]


def _number(environment: os._Environ[str] | dict[str, str], name: str, default: str) -> int:
    text = environment.get(name) or default
    if not text.isdigit():
        raise ValueError(f'{name}={text}: expected a number')
    return int(text)


def pass_on(signum: int, frame: object) -> None:
    """Raises what has torchrun send the signal to its processes, and wait for their end."""
    from torch.distributed.elastic.multiprocessing.api import SignalException

    raise SignalException(f'signal {signum}', signal.Signals(signum))


def main() -> None:
    args = parse_args()
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    os.environ.setdefault('OMP_NUM_THREADS', '1')  # torchrun's own default, which it announces at length
    if hasattr(
        signal, 'SIGUSR1'
    ):  # passed on to the processes, as torchrun does with others; a job of SLURM may get it
        signal.signal(signal.SIGUSR1, pass_on)
    logging.disable(logging.ERROR)  # the workers have said what is wrong
    try:
        torchrun([*args.where, f'--nproc_per_node={args.processes}', args.script, *args.arguments])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            print(f'process {rank} was ended by signal {-failure.exitcode}', file=sys.stderr)
        raise SystemExit(failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode) from None
    except SignalException as stopped:  # the first process has said how to go on
        raise SystemExit(128 + stopped.sigval) from None
    except (OSError, RuntimeError) as error:
        said = ' '.join(str(error).split())[:200]
        said += '. If another program has the port, choose another one with PORT'
        print(f'error: the machines cannot meet ({" ".join(args.where)}): {said}', file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == '__main__':
    main()
