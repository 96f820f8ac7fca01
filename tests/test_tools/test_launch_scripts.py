"""Runs on several machines, each a process of this one, as the shell scripts start them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forks import free_port
from slow import slow

from mgfe_ris.apis import load_config
from mgfe_ris.checkpoint_files import read_checkpoint

TOOLS = Path(__file__).parents[2] / 'tools'
SRUN = f'''#!{sys.executable} -S
"""Starts the command so many times, each time on a machine of its own, as it believes."""
import json, os, subprocess, sys, time
words = sys.argv[1:]
command = words[words.index('python'):]
flags = words[:words.index('python')]
with open(os.environ['SEEN'], 'w') as file:
    json.dump(dict(flags=flags, command=command, port=os.environ.get('MASTER_PORT')), file)
if 'DRY' in os.environ:
    raise SystemExit
count = int([flag for flag in flags if flag.startswith('--ntasks=')][0].split('=')[1])
def start(rank):
    task = dict(PROCID=rank, NTASKS=count, LOCALID=0, NODELIST='cpu[1-2]', JOB_ID=os.getpid())
    return subprocess.Popen(command, env=os.environ | {{'SLURM_' + name: str(value) for name, value in task.items()}})
tasks = [start(rank) for rank in range(count)]
while any(task.poll() is None for task in tasks):
    if any(task.poll() for task in tasks):  # --kill-on-bad-exit
        for task in tasks:
            task.kill()
    time.sleep(0.05)
raise SystemExit(max(tasks, key=lambda task: abs(task.returncode)).returncode)
'''
SCONTROL = '#!/bin/sh\n[ "$*" = "show hostnames cpu[1-2]" ] && printf "127.0.0.1\\nlocalhost\\n"\n'
PYTHON = f'''#!{sys.executable} -S
"""Tells how it was called."""
import json, os, sys
with open(os.environ['SEEN'], 'w') as file:
    json.dump(sys.argv[1:], file)
'''


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A folder for programs that are found before others; ``python`` is this one."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    put(folder / 'srun', SRUN)
    put(folder / 'scontrol', SCONTROL)
    put(folder / 'python', f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    monkeypatch.setenv('PATH', f'{folder}:{os.environ["PATH"]}')
    monkeypatch.setenv('SEEN', str(tmp_path / 'seen.json'))
    monkeypatch.setenv('PYTHONWARNINGS', 'ignore')
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    for name in ('MASTER_PORT', 'MASTER_ADDR', 'PORT', 'NNODES', 'NODE_RANK', 'GPUS', 'GPUS_PER_NODE', 'RANK'):
        monkeypatch.delenv(name, raising=False)
    return folder


def put(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def start(script: str, *args: object, **environment: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ['bash' if script.endswith('.sh') else sys.executable, str(TOOLS / script), *map(str, args)],
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(*started: subprocess.Popen[str]) -> list[str]:
    """What each printed; all ended well."""
    printed = [one.communicate(timeout=200)[0] for one in started]
    assert [one.returncode for one in started] == [0] * len(started), '\n'.join(printed)[-3000:]
    return printed


@pytest.fixture
def config(model_folder, refshapes, tmp_path) -> Path:
    cfg = load_config(model_folder, data_root=str(refshapes))
    loader = dict(num_workers=0, persistent_workers=False)
    for part in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        part.update(loader)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=100)
    cfg.train_dataloader.update(batch_size=4, sampler=dict(type='InfiniteSampler'))
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=2)
    cfg.default_hooks.pop('epoch_summary')
    cfg.param_scheduler = None
    cfg.test_cfg = dict(type='SplitsTestLoop', splits=('val',))
    cfg.dump(tmp_path / 'small.py')
    return tmp_path / 'small.py'


def test_launch_py_joins_two_machines(programs, tmp_path):
    """What a process of each finds; the trainings that do the same are slow, and within one machine in other tests."""
    script = tmp_path / 'script.py'
    script.write_text("""
import sys, torch, torch.distributed as dist
dist.init_process_group('gloo')
total = torch.tensor(10 ** dist.get_rank())
dist.all_reduce(total)
print(f'rank {dist.get_rank()} of {dist.get_world_size()}, together {total.item()}', *sys.argv[1:])
""")
    where = dict(NNODES=2, MASTER_ADDR='127.0.0.1', PORT=free_port())
    started = [start('launch.py', 1, script, 'x', **where, NODE_RANK=rank) for rank in range(2)]
    printed = [one.splitlines()[-1] for one in ended(*started)]
    assert printed == [f'rank {rank} of 2, together 11 x' for rank in range(2)]


@slow('half a minute')
def test_training_on_two_machines(programs, config, tmp_path):
    where = dict(NNODES=2, MASTER_ADDR='127.0.0.1', PORT=free_port())
    command = ('dist_train.sh', config, 1, '--work-dir', tmp_path / 'work')
    first, second = ended(*(start(*command, **where, NODE_RANK=rank) for rank in range(2)))
    assert 'no CUDA: 2 processes on the CPU' in first and 'INFO' not in second
    assert read_checkpoint(tmp_path / 'work/iter_2.pth')['meta']['iter'] == 2


@pytest.mark.parametrize('signum', [signal.SIGUSR1, pytest.param(signal.SIGTERM, marks=slow('10 s'))])
def test_a_signal_to_the_launcher_is_passed_on(tmp_path, signum):
    """To each process; it waits for them, says nothing itself, and has the status of a signal."""
    script = tmp_path / 'script.py'
    script.write_text(f"""
import os, signal, time
def end(signum, frame):
    time.sleep(0.5)
    open({str(tmp_path)!r} + '/ended' + os.environ['RANK'], 'w').close()
    raise SystemExit(128 + signum)
signal.signal({int(signum)}, end)
os.write(1, b'ready\\n')  # at once: both write into one pipe
time.sleep(60)
""")
    started = subprocess.Popen(
        [sys.executable, '-W', 'ignore', TOOLS / 'launch.py', '2', script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert [started.stdout.readline() for _ in range(2)] == ['ready\n', 'ready\n']
    started.send_signal(signum)
    assert started.communicate(timeout=100)[0] == '' and started.returncode == 128 + signum
    assert sorted(path.name for path in tmp_path.glob('ended*')) == ['ended0', 'ended1']


@slow('10 s')
def test_slurm_tests_on_two_machines(programs, config, model_folder, tmp_path):
    command = (
        'slurm_test.sh',
        'cpus',
        config,
        model_folder,
        '--work-dir',
        tmp_path / 'work',
        '--out',
        tmp_path / 'out',
    )
    (printed,) = ended(start(*command, GPUS=2, GPUS_PER_NODE=0))
    assert printed.count('no CUDA: 2 processes on the CPU') == 1
    assert json.loads((tmp_path / 'out/metrics.json').read_text())['metrics'].keys() >= {'val/oIoU'}


@slow('10 s')
def test_testing_on_two_machines(programs, config, model_folder, tmp_path):
    where = dict(NNODES=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port())
    command = ('dist_test.sh', config, model_folder, 1, '--work-dir', tmp_path / 'work', '--out', tmp_path / 'out')
    first, second = ended(*(start(*command, **where, NODE_RANK=rank) for rank in range(2)))
    assert 'no CUDA: 2 processes on the CPU' in first and 'INFO' not in second
    assert json.loads((tmp_path / 'out/metrics.json').read_text())['metrics'].keys() >= {'val/oIoU'}


@slow('10 s')
def test_slurm_trains_on_two_machines(programs, config, tmp_path):
    (printed,) = ended(
        start('slurm_train.sh', 'cpus', config, '--work-dir', tmp_path / 'work', GPUS=2, GPUS_PER_NODE=0)
    )
    assert printed.count('no CUDA: 2 processes on the CPU') == 1
    assert read_checkpoint(tmp_path / 'work/iter_2.pth')['meta']['iter'] == 2


def test_an_error_is_one_line_and_status_2(programs, tmp_path):
    """Of all processes and their launcher together."""
    one = start('dist_train.sh', tmp_path / 'none.py', 2)
    (line,) = [line for line in one.communicate(timeout=100)[0].splitlines() if line]
    assert line.startswith(f'error: {tmp_path}/none.py: no such config') and one.returncode == 2


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_a_wrong_call_prints_the_usage(programs, script):
    one = start(script, 'only')
    printed = one.communicate()[0]
    assert printed.startswith('Usage: ') and f'bash tools/{script}' in printed and one.returncode == 2


@pytest.mark.parametrize(('script', 'checkpoint'), [('train', []), ('test', ['c.pth'])])
def test_flags_of_srun(programs, tmp_path, script, checkpoint):
    def seen(**environment: object) -> dict:
        arguments = ('gpu', 'x.py', *checkpoint, '--cfg-options', 'a=1 2')
        ended(start(f'slurm_{script}.sh', *arguments, DRY=1, SRUN_ARGS='--qos=low -t 60', **environment))
        return json.loads((tmp_path / 'seen.json').read_text())

    many = seen(GPUS=16, PORT=1234)
    assert many['port'] == '1234'
    assert many['flags'] == [
        *('-p', 'gpu', '--nodes=2', '--ntasks=16', '--ntasks-per-node=8', '--gres=gpu:8', '--cpus-per-task=5'),
        *('--kill-on-bad-exit=1', '--qos=low', '-t', '60'),
    ]
    tool = str(TOOLS / f'{script}.py')
    words = ['python', '-u', tool, 'x.py', *checkpoint, '--launcher', 'slurm', '--cfg-options', 'a=1 2']
    assert many['command'] == words
    few = seen(GPUS=3)
    assert few['flags'][2:6] == ['--nodes=1', '--ntasks=3', '--ntasks-per-node=3', '--gres=gpu:3']
    cores = seen(GPUS=3, GPUS_PER_NODE=0)
    assert cores['flags'][2:6] == ['--nodes=3', '--ntasks=3', '--ntasks-per-node=1', '--cpus-per-task=5']


@pytest.mark.parametrize(('script', 'checkpoint'), [('train', []), ('test', ['c.pth'])])
def test_arguments_of_dist(programs, tmp_path, script, checkpoint):
    put(programs / 'python', PYTHON)
    ended(start(f'dist_{script}.sh', 'x.py', *checkpoint, 4, '--work-dir', 'a b'))
    words = [str(TOOLS / 'launch.py'), '4', str(TOOLS / f'{script}.py'), 'x.py', *checkpoint, '--launcher', 'pytorch']
    assert json.loads((tmp_path / 'seen.json').read_text()) == [*words, '--work-dir', 'a b']
