"""Several processes of one run: how they find one another, and what they count together."""

import os
import subprocess
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, broadcast, init_dist, is_distributed
from torch import nn

from ..one_line import one_line


def join_processes(launcher: str, backend: str = 'nccl', **settings: Any) -> None:
    """Meet the other processes, which torchrun, SLURM or MPI started. Without CUDA, gloo takes NCCL's place.

    Args:
        launcher: ``pytorch`` (torchrun), ``slurm`` (srun) or ``mpi`` (Open MPI's mpirun).
        backend: of torch.distributed.
        settings: others of mmengine's ``init_dist``, such as ``timeout`` in seconds.

    Raises:
        ValueError: the launcher's environment is not there; more processes than GPUs; no such backend.
        OSError: they cannot meet, for the port of ``MASTER_PORT`` is taken, or nobody answers there.
    """
    if launcher not in _TRANSLATED:
        raise ValueError(f'launcher {launcher}: expected none, {", ".join(_TRANSLATED)}')
    os.environ |= _TRANSLATED[launcher]({**os.environ})
    cuda, local = torch.cuda.is_available(), int(os.environ['LOCAL_RANK'])
    if cuda and local >= torch.cuda.device_count():
        raise ValueError(
            f'process {local} of this machine, counted from 0, has no GPU: {torch.cuda.device_count()} are there. '
            'Start as many processes as there are GPUs'
        )
    backend = backend if cuda or backend != 'nccl' else 'gloo'
    try:
        if cuda:
            init_dist('pytorch', backend, **settings)
        else:
            _init_on_cpu(backend, **settings)
    except (RuntimeError, ValueError) as error:
        said = one_line(error, 200)
        raise OSError(
            f'process {os.environ["RANK"]} of {os.environ["WORLD_SIZE"]} cannot meet the others at '
            f'{os.environ["MASTER_ADDR"]}, port {os.environ["MASTER_PORT"]}, through {backend}: {said}. If another '
            'program has the port, choose another one with MASTER_PORT'
        ) from error


def _init_on_cpu(backend: str, timeout: float | None = None, **settings: Any) -> None:
    """mmengine's ``init_dist`` sets a GPU first."""
    if not torch.distributed.is_backend_available(backend.split(':')[-1]):
        raise ValueError('this torch has no such backend; without CUDA it is gloo')
    if timeout is not None:
        settings['timeout'] = torch.distributed.default_pg_timeout.__class__(seconds=timeout)
    torch.distributed.init_process_group(backend, **settings)


def _of_torchrun(found: Mapping[str, str]) -> dict[str, str]:
    names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')
    _require(found, names, 'pytorch', 'start it with torchrun, or tools/dist_train.sh and dist_test.sh')
    return {}


def _of_slurm(found: Mapping[str, str]) -> dict[str, str]:
    names = ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST')
    _require(found, names, 'slurm', 'start it with srun, or tools/slurm_train.sh and slurm_test.sh')
    return {
        'RANK': found['SLURM_PROCID'],
        'WORLD_SIZE': found['SLURM_NTASKS'],
        'LOCAL_RANK': found.get('SLURM_LOCALID', '0'),
        'MASTER_ADDR': found.get('MASTER_ADDR') or _first_host(found['SLURM_NODELIST']),
        # a port for each step of each job: two of them may share a machine
        'MASTER_PORT': found.get('MASTER_PORT')
        or str(15000 + (7 * _number(found, 'SLURM_JOB_ID') + _number(found, 'SLURM_STEP_ID')) % 15000),
    }


def _of_mpi(found: Mapping[str, str]) -> dict[str, str]:
    prefix = 'OMPI_COMM_WORLD_'
    names = [f'{prefix}{name}' for name in ('RANK', 'SIZE', 'LOCAL_RANK')]
    _require(found, names, 'mpi', "start it with Open MPI's mpirun")
    if found[f'{prefix}SIZE'] != found.get(f'{prefix}LOCAL_SIZE'):
        _require(found, ['MASTER_ADDR'], 'mpi', 'name the first machine: mpirun -x MASTER_ADDR=...')
    return {
        'RANK': found[f'{prefix}RANK'],
        'WORLD_SIZE': found[f'{prefix}SIZE'],
        'LOCAL_RANK': found[f'{prefix}LOCAL_RANK'],
        'MASTER_ADDR': found.get('MASTER_ADDR') or '127.0.0.1',
        'MASTER_PORT': found.get('MASTER_PORT') or '29500',
    }


_TRANSLATED = dict(pytorch=_of_torchrun, slurm=_of_slurm, mpi=_of_mpi)


def _require(found: Mapping[str, str], names: list[str] | tuple[str, ...], launcher: str, advice: str) -> None:
    missing = [name for name in names if not found.get(name)]
    if missing:
        raise ValueError(f'--launcher {launcher}: {", ".join(missing)} not in the environment; {advice}')


def _first_host(nodes: str) -> str:
    """Of SLURM's short form, ``gpu[03-04,07]``."""
    try:
        asked = ['scontrol', 'show', 'hostnames', nodes]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise ValueError(
            f'--launcher slurm: scontrol does not tell the hosts of {nodes}; name the first one in MASTER_ADDR'
        ) from error


def _number(found: Mapping[str, str], name: str) -> int:
    return int(found.get(name) or 0)


def summed(counts: Mapping[str, int]) -> dict[str, int]:
    """Of all processes together; each must ask."""
    total = torch.tensor(list(counts.values()), dtype=torch.int64)
    all_reduce(total)
    return dict(zip(counts, total.tolist(), strict=True))


def share_buffers(model: nn.Module) -> None:
    """Give all processes the first one's running means of norms, as a checkpoint holds them; each must ask.

    Norms that are not synchronised have other ones in each process.
    """
    for buffer in model.buffers():
        broadcast(buffer)


def first_error(error: Exception | None) -> str | None:
    """What went wrong in the first process in which something did; each must ask."""
    said = all_gather_object(None if error is None else str(error))
    return next((text for text in said if text is not None), None)


def sentence_counts(model: nn.Module, readings: int = 1) -> dict[str, int]:
    """How many sentences were cut, and of how many no word is known, in all processes; each must ask.

    Args:
        model: whose tokenizer counted, without wrappers.
        readings: how often each sentence was read.
    """
    tokenizer = getattr(model.data_preprocessor, 'tokenizer', None)
    counted = {name: getattr(tokenizer, f'num_{name}', 0) for name in ('truncated', 'unknown')}
    return {f'{name}_sentences': count // readings for name, count in summed(counted).items()}


def speaks() -> bool:
    """Whether this process is the only one, or the first: before they met, as the launcher's environment says."""
    if is_distributed():
        return torch.distributed.get_rank() == 0
    return own_rank() == 0


def own_rank() -> int:
    """As the launcher's environment says."""
    names = ('RANK', 'OMPI_COMM_WORLD_RANK', 'SLURM_PROCID')
    return next((int(os.environ[name]) for name in names if os.environ.get(name, '').isdigit()), 0)
