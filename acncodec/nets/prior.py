"""The prior network: the parent's code to a mixture of Gaussians for every dimension of the latent (ACN, section 2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from acncodec.exact.grids import (
    CODE_MAX,
    LATENT_BITS,
    LATENT_MAX,
    LOGIT_BITS,
    LOGIT_MAX,
    PRE_BITS,
    PRE_MAX,
    STREAM_BITS,
    UNIT,
    WIDTH_BITS,
    WIDTH_MAX,
    WIDTH_MIN,
)
from acncodec.nets.architecture import Architecture
from acncodec.nets.product import Input, Product
from acncodec.nets.units import tanh_units


class Mixture(NamedTuple):
    """Mixture parameters, integers [..., components]: logits (1/32 nat), means (latent grid), widths (table rows)."""

    logits: Tensor
    means: Tensor
    widths: Tensor


class PriorNetwork(nn.Module):
    """Three hidden layers of tanh units, with skip connections from the input to each and from each to the output."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        parent = Input(arch.code, CODE_MAX << (STREAM_BITS - LATENT_BITS))
        units = Input(arch.hidden, UNIT)

        def hidden(inputs: list[Input]) -> Product:
            return Product(inputs, arch.hidden, STREAM_BITS, PRE_BITS, -PRE_MAX, PRE_MAX)

        def output(bits: int, low: int, high: int) -> Product:
            return Product([units] * 3, arch.code * arch.mixture, STREAM_BITS, bits, low, high)

        self.first = hidden([parent])
        self.second = hidden([parent, units])
        self.third = hidden([parent, units])
        self.logits = output(LOGIT_BITS, -LOGIT_MAX, LOGIT_MAX)
        self.means = output(LATENT_BITS, -LATENT_MAX, LATENT_MAX)
        self.widths = output(WIDTH_BITS, WIDTH_MIN, WIDTH_MAX)
        with torch.no_grad():  # start with components spread over the codes' range, so that they can specialise
            self.means.bias.uniform_(-4.0, 4.0)
            self.widths.bias.fill_(0.6)

    def forward(self, codes: Tensor, exact: bool) -> Mixture:
        """Parents' codes [N, code], integers -> a mixture with tensors [N, code, mixture]."""
        c = (codes * 2.0 ** (STREAM_BITS - LATENT_BITS))[:, None, None, :]
        h1 = tanh_units(self.first(c), exact)
        h2 = tanh_units(self.second(c, h1), exact)
        h3 = tanh_units(self.third(c, h2), exact)

        def shaped(product: Product) -> Tensor:
            return product(h1, h2, h3).view(-1, self.arch.code, self.arch.mixture)

        return Mixture(shaped(self.logits), shaped(self.means), shaped(self.widths) - WIDTH_MIN)
