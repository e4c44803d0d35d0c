"""Output heads of the decoder: from its last stream to the distributions of a pixel's values, in the order of coding.

One value a pixel: a softmax over its levels. Several: a mixture of discretised logistics each (PixelCNN++, Salimans et al.
2017), centred around a simple prediction and conditioned on the values before it, since ordinal distributions with few
parameters are learnt sooner and decoded faster than 256 logits a colour (docs/LOG.md has the figures).
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from acncodec.exact.grids import (
    LOGIT_BITS,
    LOGIT_MAX,
    RELU_BITS,
    RELU_MAX,
    SPREAD_MAX,
    SPREAD_MIN,
    STREAM_BITS,
    STREAM_MAX,
    TONE_BITS,
    TONE_UNIT,
)
from acncodec.nets.architecture import Architecture
from acncodec.nets.planes import ERROR_SCALE, PLANE_MAX, enlarged_error
from acncodec.nets.product import Product, Source


class Softmax(NamedTuple):
    """Logits [..., levels] (1/32 nat) of a value."""

    logits: Tensor


class Logistics(NamedTuple):
    """A mixture of logistics for a value from 0 to 255, integers [..., components].

    `logits` (1/32 nat), `means` (1/4 level) and `spreads` (log2 of the scale in levels, 1/32 octave).
    """

    logits: Tensor
    means: Tensor
    spreads: Tensor


Distribution = Softmax | Logistics


class SoftmaxHead(nn.Module):
    """The distribution of a pixel's only value."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.features = Product([Source(arch.channels, STREAM_MAX)], arch.features, STREAM_BITS, RELU_BITS, 0, RELU_MAX)
        self.logits = Product([Source(arch.features, RELU_MAX)], arch.levels, RELU_BITS, LOGIT_BITS, -LOGIT_MAX, LOGIT_MAX)

    def forward(self, colour: int, h: Tensor, before: Tensor, predicted: Tensor) -> Softmax:
        """As `ColourHead`; `before` and `predicted` are not needed."""
        return Softmax(self.logits(self.features(h)))


class ColourHead(nn.Module):
    """The distributions of a pixel's colours, each given the former."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        m = arch.logistics
        self.components = m

        def before(colour: int) -> list[Source]:
            """Values of the colours before, then their prediction's errors."""
            return [Source(2 * colour, PLANE_MAX)] if colour else []

        self.features = nn.ModuleList(
            Product([Source(arch.channels, STREAM_MAX), *before(c)], arch.features, STREAM_BITS, RELU_BITS, 0, RELU_MAX)
            for c in range(arch.colours)
        )
        self.outputs = nn.ModuleList(
            Product([Source(arch.features, RELU_MAX), *before(c)], 3 * m, RELU_BITS, LOGIT_BITS, -LOGIT_MAX, LOGIT_MAX)
            for c in range(arch.colours)
        )
        with torch.no_grad():  # start near what is true of photographs
            for c in range(arch.colours):
                output = _at(self.outputs, c)
                output.bias[m : 2 * m] = torch.linspace(-0.5, 0.5, m)
                output.bias[2 * m :] = torch.linspace(0.5, 4.0, m)[torch.randperm(m)]
                if c:  # colours err together
                    output.weight[arch.features :].zero_()
                    output.weight[-1, m : 2 * m] = 0.75 * 2**RELU_BITS / (ERROR_SCALE * TONE_UNIT)

    def forward(self, colour: int, h: Tensor, before: Tensor, predicted: Tensor) -> Logistics:
        """The distribution of one colour at every position.

        `h` [N, H, W, channels] is the decoder's stream; `before` float32 [N, H, W, >= colour] holds the pixels' values, of
        which only the colours before are read; `predicted` [N, H, W, colours] are the predictions of all.
        """
        known = before[..., :colour]
        extra = [torch.cat([known, enlarged_error(known, predicted[..., :colour])], -1)] if colour else []
        out = _at(self.outputs, colour)(_at(self.features, colour)(h, *extra), *extra)
        logits, means, spreads = out.split(self.components, -1)
        return Logistics(logits, means + predicted[..., colour, None] * 2**TONE_BITS, spreads.clamp(SPREAD_MIN, SPREAD_MAX))


def _at(products: nn.ModuleList, colour: int) -> Product:
    return cast(Product, products[colour])
