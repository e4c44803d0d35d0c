"""Output heads of the decoder: its last stream to the distributions of a pixel's values, in coding order.

A single value a pixel may have a softmax over its levels. Others have a mixture of discretised logistics each (PixelCNN++,
Salimans et al. 2017), centred on a simple prediction and conditioned on the pixel's earlier values. Such ordinal
distributions have few parameters, and are learnt sooner and decoded faster than 256 logits a colour (figures in
docs/LOG.md).
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
from acncodec.nets.candidates import COMPLETION_PLANES, Evidence, evidence_planes
from acncodec.nets.planes import ERROR_SCALE, PLANE_MAX, known_planes, tell_colours
from acncodec.nets.product import Input, Product


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
        self.features = Product([Input(arch.channels, STREAM_MAX)], arch.features, STREAM_BITS, RELU_BITS, 0, RELU_MAX)
        self.logits = Product([Input(arch.features, RELU_MAX)], arch.levels, RELU_BITS, LOGIT_BITS, -LOGIT_MAX, LOGIT_MAX)

    def forward(self, colour: int, h: Tensor, values: Tensor, centres: Tensor, told: Evidence | None = None) -> Softmax:
        """As `ColourHead`; all but `h` is unused."""
        return Softmax(self.logits(self.features(h)))


class ColourHead(nn.Module):
    """The distributions of a pixel's colours, each given the earlier ones."""

    centre: Tensor

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        m = arch.logistics
        self.components = m
        told = [Input(planes, PLANE_MAX) for planes in (evidence_planes(arch), COMPLETION_PLANES) if arch.candidates]

        def known(colour: int) -> list[Input]:
            return [Input(known_planes(colour, arch.known_centres), PLANE_MAX)] if colour else []

        def features(colour: int) -> Product:
            inputs = [Input(arch.channels, STREAM_MAX), *known(colour), *told]
            return Product(inputs, arch.features, STREAM_BITS, RELU_BITS, 0, RELU_MAX)

        def output(colour: int) -> Product:
            inputs = [Input(arch.features, RELU_MAX), *known(colour)]
            return Product(inputs, 3 * m, RELU_BITS, LOGIT_BITS, -LOGIT_MAX, LOGIT_MAX)

        self.features = nn.ModuleList(features(colour) for colour in range(arch.colours))
        self.outputs = nn.ModuleList(output(colour) for colour in range(arch.colours))
        # The centre of each component, assigned in turn.
        self.register_buffer("centre", torch.arange(m) % arch.all_centres, persistent=False)
        copies = torch.arange(m) % arch.all_centres > 0
        with torch.no_grad():  # initialise near the statistics of photographs and of copied pixels
            for colour in range(arch.colours):
                weight, bias = _at(self.outputs, colour).weight, _at(self.outputs, colour).bias
                means, spreads = slice(m, 2 * m), slice(2 * m, None)
                bias[means] = torch.linspace(-0.5, 0.5, m).masked_fill(copies, 0.0)
                bias[spreads] = torch.linspace(0.5, 4.0, m)[torch.randperm(m)].masked_fill(copies, -2.0)
                if colour and len(weight):  # prediction errors of colours are correlated
                    weight[arch.features :].zero_()
                    together = 0.75 * 2**RELU_BITS / (ERROR_SCALE * TONE_UNIT)
                    weight[arch.features + 2 * colour - 1, means] = together * ~copies

    def forward(self, colour: int, h: Tensor, values: Tensor, centres: Tensor, told: Evidence | None = None) -> Logistics:
        """The distribution of one colour at every position.

        `h` [N, H, W, channels] is the decoder's stream; `values` float32 [N, H, W, colours] are the pixels, of which only
        the earlier colours are read; `centres` [N, H, W, colours, K] are those of all colours. Models with candidates
        need what `evidence` tells of them.
        """
        known = [tell_colours(values[..., :colour], centres[..., :colour, :])] if colour else []
        more = [] if told is None else [told.candidates, told.completions[..., colour, :]]
        out = _at(self.outputs, colour)(_at(self.features, colour)(h, *known, *more), *known)
        logits, means, spreads = out.split(self.components, -1)
        own = centres[..., colour, :]
        own = own if told is None else torch.cat([own, told.values[..., colour, :]], -1)
        around = own.index_select(-1, self.centre)
        return Logistics(logits, means + around * 2**TONE_BITS, spreads.clamp(SPREAD_MIN, SPREAD_MAX))


def _at(products: nn.ModuleList, colour: int) -> Product:
    return cast(Product, products[colour])
