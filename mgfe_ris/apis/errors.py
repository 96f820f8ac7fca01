"""Bad input on the command line."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import NoReturn

import mmengine

from ..engine.launch import own_rank, speaks
from ..one_line import one_line


@contextmanager
def report_errors() -> Iterator[None]:
    """Print what is wrong with the input in one line and exit with status 2, instead of a traceback.

    For the part of a tool that checks its input, and that what it needs is installed; what fails later keeps its
    traceback. A part that a config names wrongly, or gives arguments that it does not know, is wrong input, too; and so
    is whatever fails where ``--cfg-options`` changed the config.
    """
    try:
        yield
    except (ImportError, OSError, ValueError) as error:
        fail(error, error)
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError) as error:
        wrong = wrong_setting(error) or _of_options(error)
        if wrong is None:
            raise
        fail(wrong, error)


def fail(said: object, cause: Exception, status: int = 2) -> NoReturn:
    """Say what is wrong in one line, and exit. Of several processes the first one speaks.

    The others wait for their launcher, which ends them when it sees the first one go; one that is still there then is
    the only one, or of another machine, in which something is wrong.
    """
    if not speaks():
        time.sleep(PATIENCE if os.environ.get('LOCAL_RANK', '0') == '0' else 2 * PATIENCE)
        said = f'process {own_rank()}: {said}'
    print(f'error: {said}', file=sys.stderr)
    raise SystemExit(status) from cause


PATIENCE = 15
"""Seconds in which the first of several processes comes to the same error, on a busy machine, too."""


def wrong_setting(error: Exception) -> str | None:
    """What is wrong in a config of which mmengine could not build a part; None, where the error is another one.

    mmengine raises whatever its parts raise. Its own checks of a config's settings count, and arguments that a part
    does not take; what fails inside of a part is a fault of that part.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    building = [frame for frame in frames if _is_mmengine(frame) and 'build' in frame.f_code.co_name]
    text = str(error.args[0] if error.args else '')
    argument = isinstance(error, TypeError) and re.search(_ARGUMENTS, text)
    if not building or not (_is_mmengine(frames[-1]) or argument):
        return None
    settings: dict = next(
        (f.f_locals['cfg'] for f in reversed(building) if isinstance(f.f_locals.get('cfg'), dict)), {}
    )
    kind = settings.get('type', '')
    named = getattr(kind, '__name__', kind)
    # what mmengine says of a type that nobody registered ends in advice for authors of parts
    text = text.split(' Please check whether')[0].strip() or f'{type(error).__name__} in {frames[-1].f_code.co_name}'
    return f'the config: {" ".join(text.split())}' + (f' (type {named})' if named and str(named) not in text else '')


def _of_options(error: Exception) -> str | None:
    """What fails before the work, in a command that changes the config, is put down to the changes."""
    if '--cfg-options' not in sys.argv:
        return None
    frame = [frame for frame, _ in walk_tb(error.__traceback__)][-1].f_code
    text = one_line(error, 300)
    return (
        f'with these --cfg-options, {type(error).__name__} in {Path(frame.co_filename).name}, {frame.co_name}: {text}. '
        'Look at the kinds of their values; without --cfg-options, such an error is shown in full'
    )


_ARGUMENTS = r'\w\(\) (got (an unexpected|multiple values)|missing \d+ required|takes )'


def _is_mmengine(frame: FrameType) -> bool:
    return _MMENGINE in Path(frame.f_code.co_filename).parents


_MMENGINE = Path(mmengine.__file__).parent
