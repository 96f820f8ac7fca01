"""The runs of a comparison, some at a time: what was interrupted goes on, and the table is written however it ends."""

import os
import signal
import sys
import time
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING

from ..errors import report_errors
from .ablation import AblationRun

if TYPE_CHECKING:
    from tqdm import tqdm


@contextmanager
def resumable() -> Iterator[None]:
    """SIGTERM, as Ctrl-C, ends what is inside with status 130 and a line that says how to go on."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        print('interrupted: run the same command to go on', file=sys.stderr)
        raise SystemExit(130) from None


def train_all(runs: Sequence[AblationRun], jobs: int, folder: Path, write_table: Callable[[], None]) -> None:
    """Train and test what is not done, alone in ``folder``, and write the table, whatever ends it.

    Args:
        runs: checked; their configs are written before the first one starts.
        jobs: runs at a time.
        folder: that no other process may work in meanwhile.
        write_table: of the runs that are done.

    Raises:
        SystemExit: what failed; with status 2, where nothing could begin.
    """
    with ExitStack() as stack:
        with report_errors():
            stack.enter_context(alone_in(folder))
            for run in runs:
                run.prepare()
        try:
            failed = work(runs, jobs, write_table)
        finally:
            write_table()
    if failed:
        raise SystemExit(f'error: {len(failed)} of {len(runs)} runs failed, as said above; run again to try them again')


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Two at once would train each run twice, into the same files.

    Raises:
        BlockingIOError: another one works there.
    """
    try:
        import fcntl
    except ImportError:  # on Windows
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / '.lock', 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(f'{folder}: another command works there; wait for it, or end it') from error
        yield  # to the end of this process, however it ends


def work(runs: Sequence[AblationRun], jobs: int, write_table: Callable[[], None]) -> dict[AblationRun, str]:
    """Do what is not done, and write the table after each seed but the last -> what failed, and why.

    Whatever ends this, an interruption, too, ends the trainings.
    """
    threads = max(1, cores() // jobs)
    waiting = [run for run in runs if not run.done]
    failed: dict[AblationRun, str] = {}
    running: dict[AblationRun, tuple[Generator[Popen, None, None], Popen | None]] = {}
    with progress_of(runs) as bar, ExitStack() as stack:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                running[run] = stack.enter_context(closing(run.train_and_test(threads))), None
            for run, (steps, process) in list(running.items()):
                if process and process.poll() is None:
                    continue
                try:
                    running[run] = steps, next(steps)
                    continue
                except StopIteration:
                    pass
                except (OSError, RuntimeError) as error:
                    failed[run] = str(error)
                    bar.write(f'error: {error}', file=sys.stderr)
                del running[run]
                of_seed = [other for other in runs if other.seed == run.seed]
                if (waiting or running) and all(other.done or other in failed for other in of_seed):
                    write_table()
            show(bar, runs, list(running), failed)
            time.sleep(0.5)
    return failed


def cores() -> int:
    """That this process may use: fewer than there are in a container, or under taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def progress_of(runs: Sequence[AblationRun]) -> 'tqdm':
    from tqdm import tqdm  # here: whoever trains nothing does without it

    layout = '{percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} epochs [{elapsed}<{remaining}{postfix}]'
    # shown every few seconds, with the mean speed: runs of several rows end at different times
    return tqdm(
        total=sum(run.epochs for run in runs),
        initial=sum(run.trained() for run in runs),
        bar_format=layout,
        mininterval=5,
        miniters=0,
        smoothing=0,
    )


def show(
    bar: 'tqdm', runs: Sequence[AblationRun], running: Sequence[AblationRun], failed: Container[AblationRun]
) -> None:
    trained = {run: run.trained() for run in runs}
    bar.total = sum(trained[run] if run in failed else run.epochs for run in runs)  # nothing is left of what failed
    bar.set_postfix_str('; '.join(run.name for run in running), refresh=False)
    bar.update(sum(trained.values()) - bar.n)
