"""What GPUs can do at best, by their makers' data sheets."""

import re

_PEAKS: tuple[tuple[str, float, float], ...] = (
    (r'\bB200', 2250, 1125),
    (r'H200 NVL|H100 NVL', 835, 417.5),
    (r'GH200|H200|H800|H100.*HBM3|H100 SXM', 989.4, 494.7),
    (r'H100 PCIe', 756, 378),
    (r'\bA100\b|\bA800\b', 312, 156),
    (r'A40\b', 149.7, 74.8),
    (r'A30\b', 165, 82),
    (r'A10\b', 125, 62.5),
    (r'L40S', 362, 183),
    (r'L4\b', 121, 60),
    (r'RTX A6000', 154.8, 77.4),
    (r'RTX 4090$', 165.2, 82.6),
    (r'RTX 3090$', 71, 35.6),
)
"""In names as ``torch.cuda.get_device_name`` says them: dense products on tensor cores, summed in float32, in bf16 (and
fp16) and in TF32, TFLOP/s."""


def known_peak(name: str, numbers: str) -> float | None:
    """TFLOP/s of a device in ``bf16``, ``fp16`` or ``tf32``; None: not known, as of a part of a card (MIG)."""
    if 'MIG' in name:
        return None
    for pattern, half, tf32 in _PEAKS:
        if re.search(pattern, name):
            return {'bf16': half, 'fp16': half, 'tf32': tf32}.get(numbers)
    return None
