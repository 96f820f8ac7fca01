"""Which float32 arithmetic of a GPU is shortened to TF32, 10 bits after the point: set by each run, and recorded."""

import torch

# Not torch's newer fp32_precision, after which whatever reads allow_tf32 fails; these two set both, in each version.


def set_tf32(matmul: bool = False, conv: bool = True) -> None:
    """For this process; the defaults are torch's own. On a CPU, and on GPUs that have none, nothing changes.

    Args:
        matmul: of matrix products.
        conv: of convolutions.
    """
    torch.backends.cuda.matmul.allow_tf32 = matmul
    torch.backends.cudnn.allow_tf32 = conv


def tf32_in_use() -> dict[str, bool]:
    """The arguments of :func:`set_tf32` that hold now."""
    return dict(matmul=torch.backends.cuda.matmul.allow_tf32, conv=torch.backends.cudnn.allow_tf32)
