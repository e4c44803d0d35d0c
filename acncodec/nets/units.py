"""Activation functions between products: table look-ups on the exact path, rounded functions with gradients in training."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from acncodec.exact.grids import PRE_BITS, PRE_MAX, STREAM_BITS, UNIT
from acncodec.exact.rounding import requantise
from acncodec.exact.tables import tanh_table


@cache
def _tanh_on(device: torch.device) -> Tensor:
    return torch.from_numpy(tanh_table()).to(device, torch.float32)


def tanh_units(pre: Tensor, exact: bool) -> Tensor:
    """128 * tanh(pre / 32), rounded, for integer pre-activations within +-PRE_MAX."""
    if exact:
        return torch.index_select(_tanh_on(pre.device), 0, (pre + PRE_MAX).to(torch.int32).flatten()).view_as(pre)
    return _Tanh.apply(pre)


def gate(pre: Tensor, exact: bool) -> Tensor:
    """tanh(a) * sigmoid(2b) of pre-activations [..., a and b] on the stream's grid: [..., 2C] -> [..., C].

    Gated PixelCNN, equation 2. sigmoid(2b) = (1 + tanh(b)) / 2, so one table serves both halves.
    """
    a, b = tanh_units(pre, exact).chunk(2, -1)
    return requantise(a * (b + UNIT), 2.0 ** -(STREAM_BITS + 1), -UNIT, UNIT)


class _Tanh(torch.autograd.Function):
    """The rounded tanh, with the gradient of the smooth one at the rounded value."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor) -> Tensor:
        t = (pre * 2.0**-PRE_BITS).tanh_().mul_(UNIT).round()  # not in place, as in `requantise`
        ctx.save_for_backward(t)
        return t

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (t,) = ctx.saved_tensors
        return (t * t).mul_(-(2.0**-PRE_BITS) / UNIT).add_(UNIT * 2.0**-PRE_BITS).mul_(grad)
