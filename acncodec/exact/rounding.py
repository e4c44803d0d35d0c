"""Requantisation: from an accumulator to an integer on a coarser grid, exactly, and its gradient for training.

A grid of `k` bits means that the integer n stands for the real number n * 2^-k.
"""

from typing import Any

import torch
from torch import Tensor


def requantise(acc: Tensor, shift: int, low: int, high: int) -> Tensor:
    """clamp(round_half_even(acc * 2^-shift), low, high): exact for integers |acc| < 2^24 in float32.

    In training (`acc` requires a gradient) the backward pass is that of the clamp alone (straight-through).
    """
    if torch.is_grad_enabled() and acc.requires_grad:
        return _Requantise.apply(acc, 2.0**-shift, low, high)
    return torch.round(acc * 2.0**-shift).clamp_(low, high)


class _Requantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, acc: Tensor, factor: float, low: int, high: int) -> Tensor:
        scaled = acc * factor
        ctx.save_for_backward((scaled >= low) & (scaled <= high))
        ctx.factor = factor
        return scaled.round_().clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return (grad * inside).mul_(ctx.factor), None, None, None


def straight_through_round(x: Tensor) -> Tensor:
    """Round half to even; the backward pass lets the gradient through unchanged."""
    return x + (torch.round(x) - x).detach()
