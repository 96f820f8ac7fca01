"""What a user waits for before anything happens: --help and wrong options of each tool, and ``import mgfe_ris``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
PROJECTS = [REPO / 'projects' / name for name in ('web_demo/app.py', 'serve/app.py', 'ray_inference/run.py')]
TOOLS = [*sorted((REPO / 'tools').rglob('*.py')), *PROJECTS]
# Seconds are of the process, not of the clock, and are compared with those of the same machine
IMPORT_TORCH = 'import time, torch; print(time.process_time())'

RUN_TOOL = """
import json, runpy, sys, time
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
finally:
    packages = {name.split('.')[0] for name in sys.modules}
    print(json.dumps([time.process_time(), sorted(packages)]), file=sys.stderr)
"""
OPENMMLAB = {'mmcv', 'mmengine', 'mmpretrain', 'mmseg'}
HEAVY = {'matplotlib', 'pandas', 'scipy', 'tensorboard', 'torch', 'torchvision', 'transformers', 'triton', *OPENMMLAB}

IMPORT_OURS = """
import json, sys, time
# all that our parts subclass or register themselves in; mmengine.optim brings transformers' package, not its models
import torch
import mmcv.transforms, mmengine.dataset, mmengine.model, mmengine.runner
import mmseg.models, mmseg.registry, mmseg.structures
before, start = set(sys.modules), time.process_time()
import mgfe_ris
seconds = time.process_time() - start
print(json.dumps([seconds, start, sorted(set(sys.modules) - before), sorted(sys.modules)]))
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code, *map(str, arguments)],
        env={**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope='module')
def seconds_of_torch() -> float:
    return float(run(IMPORT_TORCH).stdout)


def test_tools_are_found():
    assert {'train.py', 'make_refshapes.py', 'lavt2mgfe.py', 'browse_dataset.py'} <= {path.name for path in TOOLS}


@pytest.mark.parametrize('option', ['--help', '--no-such-option'])
@pytest.mark.parametrize('tool', TOOLS, ids=lambda path: path.stem)
def test_a_tool_answers_before_it_imports_what_takes_seconds(tool, option, seconds_of_torch):
    done = run(RUN_TOOL, tool, option)
    assert done.returncode == (0 if option == '--help' else 2), done.stderr
    assert f'usage: {tool.name}' in (done.stdout if option == '--help' else done.stderr)
    seconds, packages = json.loads(done.stderr.splitlines()[-1])
    assert not {'mgfe_ris', *HEAVY} & set(packages)
    assert seconds < seconds_of_torch


def test_importing_the_package_brings_nothing_heavy():
    done = run(IMPORT_OURS)
    assert done.returncode == 0, done.stderr
    seconds, others, new, everything = json.loads(done.stdout.splitlines()[-1])
    assert 'mgfe_ris.models.encoders.text' in new
    assert not HEAVY & {name.split('.')[0] for name in new}
    # whoever imported them: what our parts stand on must not bring them either
    late = {'matplotlib', 'mmpretrain', 'transformers.modeling_utils', 'transformers.models.auto.modeling_auto'}
    assert not late & set(everything)
    assert seconds < others / 2


def test_importing_the_package_registers_encoders_whose_files_it_does_not_import():
    """mmpretrain's: by the name in a config, and by import."""
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    from mgfe_ris.models import encoders

    init_default_scope('mmseg')  # a runner of another test may have set another
    small = dict(arch=dict(embed_dims=8, num_layers=4, num_heads=2, feedforward_channels=12), img_size=32)
    assert type(MODELS.build(dict(type='ViTEncoder', **small))) is encoders.ViTEncoder
    small = dict(arch=dict(depths=(1, 1, 1, 1), channels=(4, 6, 8, 10)))
    assert type(MODELS.build(dict(type='ConvNeXtEncoder', **small))) is encoders.ConvNeXtEncoder
    assert all(hasattr(encoders, name) for name in encoders.__all__)
    with pytest.raises(AttributeError, match='no attribute SwimEncoder'):
        _ = encoders.SwimEncoder
