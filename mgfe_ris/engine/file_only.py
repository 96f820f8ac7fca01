"""What nobody reads on the screen, and some look up in a file."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def file_only(logger: logging.Logger) -> Iterator[None]:
    """Meanwhile, what a logger is told stands in its files alone; errors are shown all the same."""
    shown = {handler: handler.level for handler in logger.handlers if not isinstance(handler, logging.FileHandler)}
    try:
        for handler in shown:
            handler.setLevel(logging.ERROR)
        yield
    finally:
        for handler, level in shown.items():
            handler.setLevel(level)
