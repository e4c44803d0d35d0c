"""Full float32 products, whatever the surrounding program has asked PyTorch for."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Within it no matrix product is computed in TF32, bfloat16 or under autocast; usable as a decorator.

    TF32 keeps 11 bits of each factor, so integers above 2048 would be rounded and the exact bound would mean nothing.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
