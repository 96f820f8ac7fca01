"""How processes find one another: what is wrong is said in one line."""

import os
from socket import socket

import pytest
import torch
from forks import run_forks

from mgfe_ris.engine import NonFiniteHook
from mgfe_ris.engine.launch import first_error, join_processes, share_buffers, speaks, summed

NAMES = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')
MPI = dict(OMPI_COMM_WORLD_RANK='0', OMPI_COMM_WORLD_SIZE='1', OMPI_COMM_WORLD_LOCAL_RANK='0')
SLURM = dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_NODELIST='none', SLURM_JOB_ID='7')
TORCHRUN = dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1', MASTER_PORT='0')


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Nothing of a launcher; what is set goes."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    before = dict(os.environ)
    for name in list(os.environ):
        if name in NAMES or name.startswith(('SLURM_', 'OMPI_')):
            del os.environ[name]
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize(
    ('launcher', 'found', 'said'),
    [
        (
            'pytorch',
            dict(LOCAL_RANK='0'),
            'RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT not in the environment; start it',
        ),
        ('slurm', {}, 'SLURM_PROCID, SLURM_NTASKS, SLURM_NODELIST not in the environment; start it with srun'),
        ('slurm', SLURM, 'scontrol does not tell the hosts of none; name the first one in MASTER_ADDR'),
        ('mpi', {}, "OMPI_COMM_WORLD_LOCAL_RANK not in the environment; start it with Open MPI's mpirun"),
        ('mpi', MPI | dict(OMPI_COMM_WORLD_SIZE='2'), 'MASTER_ADDR not in the environment; name the first machine'),
        ('ssh', {}, 'launcher ssh: expected none, pytorch, slurm, mpi'),
    ],
)
def test_without_a_launcher(monkeypatch, launcher, found, said):
    monkeypatch.setenv('PATH', '/nowhere')
    os.environ |= found
    with pytest.raises(ValueError, match=said):
        join_processes(launcher)


@pytest.mark.parametrize(
    ('launcher', 'found'),
    [
        ('pytorch', TORCHRUN),
        ('slurm', SLURM | dict(MASTER_ADDR='127.0.0.1', MASTER_PORT='0')),
        ('mpi', MPI | dict(OMPI_COMM_WORLD_LOCAL_SIZE='1', MASTER_PORT='0')),
    ],
)
@pytest.mark.parametrize('backend', ['nccl', 'gloo'])
def test_gloo_takes_the_place_of_nccl(launcher, found, backend):
    os.environ |= found
    join_processes(launcher, backend, timeout=30)
    assert torch.distributed.get_backend() == 'gloo' and torch.distributed.get_world_size() == 1


def test_jobs_and_steps_of_slurm_have_ports_of_their_own(monkeypatch):
    ports = set()
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda *_, **__: ports.add(os.environ['MASTER_PORT']))
    for job in ('7', '8'):
        for step in ('0', '1'):
            os.environ |= SLURM | dict(SLURM_JOB_ID=job, SLURM_STEP_ID=step, MASTER_ADDR='127.0.0.1')
            os.environ.pop('MASTER_PORT', None)
            join_processes('slurm')
    assert len(ports) == 4


def test_a_port_that_is_taken():
    with socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        port = str(other.getsockname()[1])
        os.environ |= TORCHRUN | dict(MASTER_PORT=port)
        with pytest.raises(
            OSError, match=rf'cannot meet the others at 127.0.0.1, port {port}, through gloo: .*MASTER_P'
        ):
            join_processes('pytorch', timeout=10)


def test_a_backend_that_there_is_not():
    os.environ |= TORCHRUN
    with pytest.raises(OSError, match='through warp: this torch has no such backend; without CUDA it is gloo'):
        join_processes('pytorch', 'warp')


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    os.environ |= TORCHRUN | dict(LOCAL_RANK='2')
    with pytest.raises(ValueError, match='process 2 of this machine, counted from 0, has no GPU: 2 are there'):
        join_processes('pytorch')


def ask_one_another() -> None:
    """In each of two processes, of which the second has something wrong."""
    join_processes('pytorch')
    second = torch.distributed.get_rank() == 1
    assert speaks() != second
    assert summed(dict(truncated=3 if second else 4, unknown=1)) == dict(truncated=7, unknown=2)
    assert first_error(OSError('disk full') if second else None) == 'disk full'
    assert first_error(None) is None
    for broken in (False, True):
        hook, weights = NonFiniteHook(), [torch.nn.Parameter(torch.ones(n)) for n in (2, 0)]
        hook.in_parts, hook._device = True, torch.device('cpu')
        hook._begin_step()
        for weight in weights:
            weight.grad = torch.full_like(weight, torch.nan if broken and second else 1.0)
        hook._before_step(torch.optim.AdamW(weights, fused=True), (), {})
        assert [weight.grad is None for weight in weights] == [broken, broken]
        assert bool(hook._bad) == broken
    norm = torch.nn.BatchNorm2d(2)
    norm.running_mean += 1 + second
    norm.num_batches_tracked += second
    share_buffers(norm)
    assert norm.running_mean.tolist() == [1, 1] and norm.num_batches_tracked == 0
    print('agreed')


def test_two_processes_count_and_stop_together(tmp_path):
    done = run_forks(2, ask_one_another, tmp_path)
    assert all(status == 0 and 'agreed' in text for status, text in done), done
