"""Tests that take too long to run with each change: MGFE_RIS_SLOW=1 runs them, too."""

import os

import pytest

SLOW = bool(os.environ.get('MGFE_RIS_SLOW'))


def slow(takes: str) -> pytest.MarkDecorator:
    """A mark that says what a test takes: ``'10 s each'``."""
    return pytest.mark.skipif(not SLOW, reason=f'{takes}: MGFE_RIS_SLOW=1 runs it')
