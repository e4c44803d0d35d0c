"""Full float32 products, whatever the surrounding program has asked PyTorch for."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Within it no matrix product is computed in TF32, bfloat16 or under autocast; usable as a decorator.

    bfloat16 keeps 8 bits of a factor and TF32 11, and how tensor cores add up is not specified; the exact bound holds for
    float32 alone.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
