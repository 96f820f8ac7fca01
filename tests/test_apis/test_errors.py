"""What a tool says of bad input: one line, status 2, no traceback."""

import pytest

from mgfe_ris.apis import report_errors
from mgfe_ris.datasets.plain_pickle import UnsafePickleError


@pytest.mark.parametrize('error', [ValueError, FileNotFoundError, PermissionError, UnsafePickleError])
def test_bad_input_is_one_line(capsys, error):
    with pytest.raises(SystemExit) as stop, report_errors():
        raise error('data/x: no such folder. Set data_root')
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err) == ('', 'error: data/x: no such folder. Set data_root\n')


@pytest.mark.parametrize('error', [RuntimeError, KeyError, AssertionError, KeyboardInterrupt])
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(error), report_errors():
        raise error('x')


def test_no_error():
    with report_errors():
        pass
