"""The one linear map of the coding path: a matrix product over gathered taps, in integers.

Convolutions, dense layers and 1x1 maps are all `Product`s. A library convolution may choose a Winograd or FFT algorithm
that is not exact, so the exact pass gathers the taps and multiplies; training, which need not be exact, convolves.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acncodec.errors import BoundError
from acncodec.exact.bounds import EXACT_LIMIT, check_bound, worst_sums
from acncodec.exact.rounding import requantise, straight_through_round

WEIGHT_MAX = 2047  # integers up to this are exact in fp16 and TF32
WEIGHT_LIMIT = 2047 / 256  # of real weights in training: the largest at steps of 1/256; smaller weights have finer steps


@dataclass(frozen=True)
class Window:
    """Rows `top`..`bottom` and columns `left`..`right` around a position, in pixels, both ends included."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    @property
    def height(self) -> int:
        return self.bottom - self.top + 1

    @property
    def width(self) -> int:
        return self.right - self.left + 1

    @property
    def taps(self) -> int:
        return self.height * self.width

    def pad(self, x: Tensor) -> Tensor:
        """Zeros around (or crops of) [N, H, W, C] so that a valid sliding window covers each position once."""
        return F.pad(x, (0, 0, -self.left, self.right, -self.top, self.bottom))


POINT = Window()


def gather(x: Tensor, window: Window) -> Tensor:
    """The taps of every position side by side: [N, H, W, C] -> [N, H, W, taps * C], rows first, then columns."""
    if window == POINT:
        return x
    n, height, width, channels = x.shape
    padded = window.pad(x).contiguous()
    sn, sh, sw, sc = padded.stride()
    view = padded.as_strided((n, height, width, window.height, window.width * channels), (sn, sh, sw, sh, sc))
    return view.reshape(n, height, width, window.taps * channels)


@dataclass(frozen=True)
class Input:
    """One input of a product: its channels, its window, and the largest magnitude of its integers."""

    channels: int
    bound: int
    window: Window = POINT

    @property
    def rows(self) -> int:
        return self.window.taps * self.channels


def check_scales(scales: Tensor) -> None:
    """Raises BoundError if chosen scales are those of weights that are not finite."""
    if not bool((torch.isfinite(scales) & (scales > 0)).all()):
        raise BoundError("a linear map has weights that are not finite; the training has failed")


_shapes_only: ContextVar[bool] = ContextVar("shapes_only", default=False)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Products made within have shapes but no weights. (PyTorch's meta device would load its compiler.)"""
    before = _shapes_only.set(True)
    try:
        yield
    finally:
        _shapes_only.reset(before)


class Product(nn.Module):
    """y = clamp(round((sum_s gather(x_s) @ W_s + b) * 2^-shift), low, high), all integers in float32.

    All inputs share one input grid (`in_bits`); the output lies on the grid `out_bits`, between `low` and `high`. While
    training, `weight` [rows, out] and `bias` [out] are real and rounded on the fly; `freeze` makes them integers.
    Each output has its own power-of-two `scale`, float32 [out], and hence its own shift.
    """

    row_bounds: Tensor
    scale: Tensor
    factor: Tensor

    def __init__(self, inputs: list[Input], out: int, in_bits: int, out_bits: int, low: int, high: int) -> None:
        super().__init__()
        self.inputs, self.in_bits, self.out_bits, self.low, self.high = inputs, in_bits, out_bits, low, high
        self.shape = sum(s.rows for s in inputs), out
        rows = 0 if _shapes_only.get() else self.shape[0]
        self.weight = nn.Parameter(torch.randn(rows, out) * self.shape[0] ** -0.5)
        self.bias = nn.Parameter(torch.zeros(out))
        bounds = torch.cat([torch.full((s.rows if rows else 0,), float(s.bound)) for s in inputs])
        self.register_buffer("row_bounds", bounds, persistent=False)
        self.register_buffer("scale", torch.ones(out), persistent=False)  # powers of two: integer weight = scale * weight
        self.register_buffer("factor", torch.ones(out), persistent=False)  # 2^-shift
        self.shift: Tensor | None = None  # int64 [out], set once the weights are integers

    @torch.no_grad()
    def choose_scale(self) -> None:
        """Set each output's scale to the finest power of two at which its weights fit and its sum stays in the exact bound.

        All on the weights' device; `check_scales` tells whether it went well.
        """
        largest = self.weight.abs().amax(0).double().clamp(min=2.0**-12)
        spread = worst_sums(self.weight, self.bias * 2.0**self.in_bits, self.row_bounds).clamp(min=2.0**-12)
        # A margin of 2 %: rounding adds up to half a step a row, and weights change before the next call
        finest = torch.minimum(WEIGHT_MAX / largest, 0.98 * EXACT_LIMIT / spread)
        self.scale.copy_(2.0 ** torch.floor(torch.log2(finest)))

    @torch.no_grad()
    def limit_weights(self) -> None:
        """Clamp real weights in training: one very large weight would coarsen the grid of all others of its output."""
        self.weight.clamp_(-WEIGHT_LIMIT, WEIGHT_LIMIT)

    @torch.no_grad()
    def freeze(self, name: str = "") -> None:
        """Round weights and bias to integers; from here on the pass is the exact one. Raises BoundError."""
        self.choose_scale()
        check_scales(self.scale)
        self.load_integers(*self._rounded(), self.log2_scale, name)

    @property
    def log2_scale(self) -> Tensor:
        """log2 of the scales, int64 [out]."""
        return torch.log2(self.scale).round().long().cpu()

    def _rounded(self) -> tuple[Tensor, Tensor]:
        weight = straight_through_round(self.weight * self.scale).clamp(-WEIGHT_MAX, WEIGHT_MAX)
        bias = straight_through_round(self.bias * self.scale * 2.0**self.in_bits)
        return weight, bias

    @torch.no_grad()
    def load_integers(self, weight: Tensor, bias: Tensor, log2_scale: Tensor | int, name: str = "") -> None:
        """Set integer weights [rows, out] and bias [out] at the scales 2^log2_scale, int64 [out] or one for all.

        Raises BoundError.
        """
        check_bound(name, weight, bias, self.row_bounds)
        self.weight = nn.Parameter(weight.float().contiguous(), requires_grad=False)
        self.bias = nn.Parameter(bias.float(), requires_grad=False)
        log2_scales = torch.as_tensor(log2_scale, dtype=torch.int64).expand(self.shape[1])
        self.scale.copy_(2.0**log2_scales)
        self.shift = self.in_bits + log2_scales - self.out_bits
        self.factor.copy_(2.0**-self.shift)

    def forward(self, *tensors: Tensor) -> Tensor:
        """[N, H, W, C_s] for every input -> [N, H, W, out], integers."""
        if self.shift is not None:
            taps = [gather(x, s.window) for x, s in zip(tensors, self.inputs, strict=True)]
            acc = (torch.cat(taps, -1) if len(taps) > 1 else taps[0]) @ self.weight + self.bias
            return requantise(acc, self.factor, self.low, self.high)
        # Scaling the weights by powers of two instead of the sums is exact, and there are fewer weights.
        return requantise(self._sums(tensors, 2.0**self.out_bits), 1, self.low, self.high)

    def real(self, *tensors: Tensor) -> Tensor:
        """The accumulator as a real number, before it is rounded to the output grid; for training."""
        return self._sums(tensors, 1.0)

    def _sums(self, tensors: tuple[Tensor, ...], unit: float) -> Tensor:
        """The accumulator in steps of 1 / unit, trainable."""
        weight, bias = self._rounded()
        factor = unit / (self.scale * 2.0**self.in_bits)
        parts = torch.split(weight * factor, [s.rows for s in self.inputs])
        acc, bias = None, bias * factor
        points = [(x, w) for x, w, s in zip(tensors, parts, self.inputs, strict=True) if s.window == POINT]
        if points:
            x = torch.cat([x for x, _ in points], -1) if len(points) > 1 else points[0][0]
            acc = F.linear(x, torch.cat([w for _, w in points]).t(), bias)
        for x, w, s in zip(tensors, parts, self.inputs, strict=True):
            if s.window != POINT:
                kernel = w.view(s.window.height, s.window.width, s.channels, -1).permute(3, 2, 0, 1)
                convolved = F.conv2d(s.window.pad(x).permute(0, 3, 1, 2), kernel, bias if acc is None else None)
                acc = convolved.permute(0, 2, 3, 1) if acc is None else convolved.permute(0, 2, 3, 1) + acc
        assert acc is not None  # a product has at least one input
        return acc
