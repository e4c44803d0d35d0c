"""The encoder: an image of any size to its code (VGG-style, 3x3 products and 2x2 max pooling)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acncodec.exact.grids import CODE_MAX, LATENT_BITS, RELU_BITS, RELU_MAX, STREAM_BITS
from acncodec.exact.rounding import straight_through_round
from acncodec.nets.architecture import Architecture
from acncodec.nets.planes import PLANE_MAX, plane_count
from acncodec.nets.product import Input, Product, Window

GRID = 7  # the features are pooled to a GRID x GRID map, whatever the image's size
CODE_DEVIATION = 2.0  # codes are standardised to this deviation, in units of the posterior's
_AROUND = Window(-1, 1, -1, 1)


class Encoder(nn.Module):
    """c(x): integers on the latent grid, within +-CODE_MAX."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        f, planes = arch.encoder_features, plane_count(arch)

        def relu(channels: int, bound: int, in_bits: int, out: int) -> Product:
            return Product([Input(channels, bound, _AROUND)], out, in_bits, RELU_BITS, 0, RELU_MAX)

        self.first = relu(planes, PLANE_MAX, STREAM_BITS, f)
        self.second = relu(f, RELU_MAX, RELU_BITS, 2 * f)
        self.third = relu(2 * f, RELU_MAX, RELU_BITS, 2 * f)
        self.code = Product([Input(2 * f * GRID * GRID, RELU_MAX)], arch.code, RELU_BITS, LATENT_BITS, -CODE_MAX, CODE_MAX)

    def features(self, planes: Tensor) -> Tensor:
        """[N, H, W, planes] -> [N, 1, 1, 2f * GRID * GRID]."""
        x = _halve(self.first(planes))
        x = _halve(self.second(x))
        x = self.third(x)
        # Largest value of each bin: exact, and defined for all sizes from 1x1.
        x = F.adaptive_max_pool2d(x.permute(0, 3, 1, 2), GRID).permute(0, 2, 3, 1)
        return x.reshape(x.shape[0], 1, 1, -1)

    def forward(self, planes: Tensor) -> Tensor:
        """Planes [N, H, W, P] -> codes [N, code]."""
        return self.code(self.features(planes)).flatten(1)

    def forward_standardised(
        self, planes: Tensor, total: Callable[[Tensor], Tensor] = lambda x: x
    ) -> tuple[Tensor, Tensor]:
        """For training: codes [N, code] standardised over the batch, and the raw outputs [N, code] they came from.

        `total` sums a tensor over the processes that share the batch.
        """
        raw = self.code.real(self.features(planes)).flatten(1)
        sums = total(torch.cat([raw.sum(0), raw.new_full((1,), len(raw))]))
        count = sums[-1].detach()
        centred = raw - sums[:-1] / count
        variance = total(centred.square().sum(0)) / count
        standard = centred / (variance + 1e-5).sqrt()
        codes = straight_through_round(standard * CODE_DEVIATION * 2.0**LATENT_BITS)
        return codes.clamp(-CODE_MAX, CODE_MAX), raw

    @torch.no_grad()
    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Fold the raw outputs' mean and deviation [code] into the last layer's real weights."""
        gain = CODE_DEVIATION / deviation.clamp(min=1e-3)
        self.code.weight.mul_(gain)
        self.code.bias.sub_(mean).mul_(gain)


def _halve(x: Tensor) -> Tensor:
    """2x2 max pooling of [N, H, W, C]; an odd last row or column is pooled alone."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2, ceil_mode=True).permute(0, 2, 3, 1)
