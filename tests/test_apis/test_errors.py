"""What a tool says of bad input: one line, status 2, no traceback."""

import pytest
from mmseg.registry import HOOKS, MODELS

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


def stopped(config: dict, capsys, registry=None) -> str:
    with pytest.raises(SystemExit) as stop, report_errors():
        (registry or MODELS).build(config)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_part_that_nobody_registered(capsys):
    line = stopped(dict(type='NoSuchHead'), capsys)
    assert line.startswith('error: the config: NoSuchHead is not in the ') and 'Please check' not in line


@pytest.mark.parametrize(
    ('config', 'said'),
    [
        (dict(type='LightDecodeHead', channels=(8,), hiden=3), "__init__() got an unexpected keyword argument 'hiden'"),
        (dict(type='LightDecodeHead'), 'missing 1 required'),
        (dict(channels=3), 'must contain the key "type"'),
        ('LightDecodeHead', 'cfg should be a dict'),
    ],
)
def test_arguments_that_a_part_does_not_take(capsys, config, said):
    assert said in stopped(config, capsys)


def test_what_mmengines_own_parts_check(capsys):
    line = stopped(dict(type='CheckpointHook', save_best='oIoU', rule='most'), capsys, HOOKS)
    assert 'rule must be greater, less or None, but got most' in line and 'CheckpointHook' in line


def test_a_fault_inside_of_a_part_keeps_its_traceback():
    @MODELS.register_module(force=True)
    class Faulty:
        def __init__(self, fault):
            fault()

    for fault in (lambda: {}['x'], lambda: 1 + 'x', lambda: None.x):
        with pytest.raises((AttributeError, KeyError, TypeError)), report_errors():
            MODELS.build(dict(type='Faulty', fault=fault))
    with pytest.raises(KeyError), report_errors():
        {}['x']


def test_what_fails_with_changed_settings_is_put_down_to_them(monkeypatch, capsys):
    for argv, kind in ((['tool', '--cfg-options', 'a=1'], SystemExit), (['tool'], RuntimeError)):
        monkeypatch.setattr('sys.argv', argv)
        with pytest.raises(kind), report_errors():
            raise RuntimeError('two\nlines')
    assert 'error: with these --cfg-options, RuntimeError in test_errors.py' in capsys.readouterr().err
