"""Requantisation: from an accumulator to an integer on a coarser grid, exactly, and its gradient for training.

A grid of `k` bits means that the integer n stands for the real number n * 2^-k.
"""

from typing import Any

import torch
from torch import Tensor


def requantise(acc: Tensor, factor: float | Tensor, low: int, high: int) -> Tensor:
    """clamp(round_half_even(acc * factor), low, high): exact for integers |acc| < 2^24 in float32.

    `factor` is 2^-shift, one for all or one for each output, float32 [out]; in training one for all. There (`acc` requires
    a gradient) the backward pass is that of the clamp alone (straight-through).
    """
    if torch.is_grad_enabled() and acc.requires_grad:
        return _Requantise.apply(acc, factor, low, high)
    return torch.round(acc * factor).clamp_(low, high)


_HAIR = 2.0**-12


class _Requantise(torch.autograd.Function):
    """Uses few passes over the activations: training spends as long on them as on its products."""

    @staticmethod
    def forward(ctx: Any, acc: Tensor, factor: float, low: int, high: int) -> Tensor:
        scaled = acc if factor == 1 else acc * factor
        ctx.save_for_backward(scaled)
        ctx.factor, ctx.low, ctx.high = factor, low, high
        # Not in place: compiled by PyTorch 2.11 that would lose the gradient.
        return torch.round(scaled).clamp(low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (scaled,) = ctx.saved_tensors
        # The ends belong to the range, but this operation excludes them.
        grad = torch.ops.aten.hardtanh_backward(grad, scaled, ctx.low - _HAIR, ctx.high + _HAIR)
        return grad if ctx.factor == 1 else grad.mul_(ctx.factor), None, None, None


def straight_through_round(x: Tensor) -> Tensor:
    """Round half to even; the backward pass lets the gradient through unchanged."""
    return x + (torch.round(x) - x).detach()
