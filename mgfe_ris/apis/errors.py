"""Bad input on the command line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def report_errors() -> Iterator[None]:
    """Print what is wrong with the input in one line and exit with status 2, instead of a traceback.

    For the part of a tool that checks its input, and that what it needs is installed; what fails later keeps its
    traceback.
    """
    try:
        yield
    except (ImportError, OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        raise SystemExit(2) from error
