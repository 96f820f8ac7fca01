"""Which kernels ran, how long a device computed, and what it could do at best."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import DeviceType

from mgfe_ris.profiling import kernels
from mgfe_ris.profiling.peaks import known_peak

CPU = torch.device('cpu')


def event(name, begin=0.0, end=1.0, device=DeviceType.CUDA, annotation=False):
    place = SimpleNamespace(start=begin, end=end)
    return SimpleNamespace(name=name, time_range=place, device_type=device, is_user_annotation=annotation)


@pytest.fixture
def profiled(monkeypatch):
    def give(*events):
        monkeypatch.setattr(
            kernels, '_profiled', lambda run, device, activities: SimpleNamespace(events=lambda: events)
        )

    return give


def test_attention_and_sampling_are_told():
    q = torch.randn(1, 2, 8, 16, requires_grad=True)

    def run():
        F.scaled_dot_product_attention(q, q, q).sum().backward()
        F.grid_sample(torch.randn(1, 1, 4, 4), torch.zeros(1, 2, 2, 2), align_corners=False)
        torch.mm(torch.ones(2, 2), torch.ones(2, 2))

    found = kernels.kernels_of(run, CPU)
    assert found['scaled_dot_product_flash_attention_for_cpu'] == 1 and found['grid_sampler_2d'] == 1
    assert not [name for name in found if 'mm' in name or 'backward' in name]


def test_kernels_of_a_device_are_counted_by_name(profiled):
    profiled(
        event('void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<32>>(Flash_fwd_params)'),
        event('void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64>>(Flash_fwd_params)'),
        event('fmha_cutlassF_bf16_aligned_64x64_rf_sm80(PyTorchMemEffAttention)'),
        event('void at::native::(anonymous namespace)::grid_sampler_2d_kernel<float, int>(int, float)'),
        event('sm90_xmma_gemm_bf16'),
        event('aten::_scaled_dot_product_flash_attention', device=DeviceType.CPU),
    )
    assert kernels.kernels_of(print, CPU) == {
        'at::native::grid_sampler_2d_kernel': 1,
        'fmha_cutlassF_bf16_aligned_64x64_rf_sm80': 1,
        'pytorch_flash::flash_fwd_kernel': 2,
        'scaled_dot_product_flash_attention': 1,
    }


def test_what_overlaps_counts_once_and_gaps_do_not(profiled):
    profiled(
        event('copy', 4e6, 6e6),
        event('a', 0, 3e6),
        event('b', 1e6, 2e6),
        event('step', 0, 9e6, annotation=True),
        event('aten::mm', 0, 9e6, device=DeviceType.CPU),
    )
    assert kernels.device_seconds(print, CPU) == 5


@pytest.mark.parametrize(
    ('name', 'numbers', 'peak'),
    [
        ('NVIDIA H200', 'bf16', 989.4),
        ('NVIDIA H100 80GB HBM3', 'tf32', 494.7),
        ('NVIDIA H100 PCIe', 'bf16', 756),
        ('NVIDIA H200 NVL', 'fp16', 835),
        ('NVIDIA A100-SXM4-80GB', 'bf16', 312),
        ('NVIDIA L4', 'bf16', 121),
        ('NVIDIA L40S', 'bf16', 362),
        ('NVIDIA GeForce RTX 4090', 'tf32', 82.6),
        ('NVIDIA A100-SXM4-80GB', 'int8', None),
        ('Some other card', 'bf16', None),
        ('NVIDIA A100-SXM4-80GB MIG 3g.40gb', 'bf16', None),
    ],
)
def test_peaks_by_name(name, numbers, peak):
    assert known_peak(name, numbers) == peak
