"""A latent to planes of the image's size (location-dependent conditioning, van den Oord et al. 2016b, 2.3)."""

import torch
from torch import Tensor, nn

from acncodec.exact.grids import (
    LATENT_BITS,
    LATENT_MAX,
    PRE_BITS,
    PRE_MAX,
    RELU_BITS,
    RELU_MAX,
    STREAM_BITS,
    STREAM_MAX,
    UNIT,
)
from acncodec.nets.architecture import Architecture
from acncodec.nets.encoder import GRID
from acncodec.nets.product import Input, Product, Window
from acncodec.nets.units import tanh_units

_AROUND = Window(-1, 1, -1, 1)


class LatentMap(nn.Module):
    """z -> tanh units -> a 7x7 map -> two transposed convolutions (stride 2) -> planes of the image's size."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        f = arch.map_features
        self.features = f
        self.hidden = Product([Input(arch.code, LATENT_MAX)], arch.map_hidden, LATENT_BITS, PRE_BITS, -PRE_MAX, PRE_MAX)
        self.base = Product([Input(arch.map_hidden, UNIT)], GRID * GRID * f, STREAM_BITS, RELU_BITS, 0, RELU_MAX)
        # A transposed convolution of stride 2 is a product at the low resolution that yields 2x2 positions at once.
        self.up = Product([Input(f, RELU_MAX, _AROUND)], 4 * f, RELU_BITS, RELU_BITS, 0, RELU_MAX)
        self.out = Product(
            [Input(f, RELU_MAX, _AROUND)], 4 * arch.map_planes, RELU_BITS, STREAM_BITS, -STREAM_MAX, STREAM_MAX
        )

    def forward(self, z: Tensor, height: int, width: int, exact: bool) -> Tensor:
        """Latents [N, code], integers on the latent grid -> [N, height, width, map_planes]."""
        x = tanh_units(self.hidden(z[:, None, None, :]), exact)
        x = self.base(x).view(-1, GRID, GRID, self.features)
        x = _stretch(x, -(-height // 4), -(-width // 4))
        x = _interleave(self.up(x))
        x = _interleave(self.out(x))
        return x[:, :height, :width]


def _stretch(x: Tensor, height: int, width: int) -> Tensor:
    """[N, GRID, GRID, C] -> [N, height, width, C] by nearest neighbours, with integer indices."""
    rows = torch.arange(height, device=x.device) * GRID // height
    columns = torch.arange(width, device=x.device) * GRID // width
    return x[:, rows][:, :, columns] if (height, width) != (GRID, GRID) else x


def _interleave(x: Tensor) -> Tensor:
    """Depth to space: [N, h, w, 4C] -> [N, 2h, 2w, C]."""
    n, h, w, c = x.shape
    return x.view(n, h, w, 2, 2, c // 4).permute(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c // 4)
