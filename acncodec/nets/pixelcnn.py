"""The decoder r(x|z): a gated PixelCNN with vertical and horizontal stacks (van den Oord et al. 2016b), whole-image pass.

The vertical stack at row r sees image rows above r; the horizontal stack at (r, c) also sees the pixels left of c.
Both read the latent map in every block. `incremental.py` runs the same products one row and one pixel at a time.
"""

from torch import Tensor, nn

from acncodec.exact.grids import (
    PRE_BITS,
    PRE_MAX,
    STREAM_BITS,
    STREAM_MAX,
    UNIT,
)
from acncodec.nets.architecture import Architecture
from acncodec.nets.candidates import Evidence
from acncodec.nets.heads import ColourHead, Distribution, SoftmaxHead
from acncodec.nets.planes import PLANE_MAX, plane_count
from acncodec.nets.product import Input, Product, Window
from acncodec.nets.units import gate


class GatedBlock(nn.Module):
    """One gated block; the `first` one reads the image's planes, so its windows exclude the pixel itself."""

    def __init__(self, arch: Architecture, first: bool) -> None:
        super().__init__()
        self.first = first
        side = arch.first if first else arch.kernel
        reach, excluded = side // 2, 1 if first else 0
        channels, bound = (plane_count(arch, arch.known_centres), PLANE_MAX) if first else (arch.channels, STREAM_MAX)
        above = Window(-reach, -excluded, -reach, reach)
        left = Window(0, 0, -reach, -excluded)
        z = Input(arch.map_planes, STREAM_MAX)
        v = Input(arch.channels, STREAM_MAX)

        def pre(inputs: list[Input]) -> Product:
            return Product(inputs, 2 * arch.channels, STREAM_BITS, PRE_BITS, -PRE_MAX, PRE_MAX)

        self.vertical = pre([Input(channels, bound, above), z])
        self.horizontal = pre([Input(channels, bound, left), v, z])
        self.residual = Product(
            [Input(arch.channels, UNIT)], arch.channels, STREAM_BITS, STREAM_BITS, -STREAM_MAX, STREAM_MAX
        )

    def forward(self, v: Tensor, h: Tensor, z: Tensor, exact: bool) -> tuple[Tensor, Tensor]:
        """Streams [N, H, W, channels] (the planes, for the first block) and map [N, H, W, planes] -> new streams."""
        v = self.join(v, gate(self.vertical(v, z), exact))
        h = self.join(h, self.residual(gate(self.horizontal(h, v, z), exact)))
        return v, h

    def join(self, stream: Tensor, update: Tensor) -> Tensor:
        """Add an update to its residual stream; the first block starts the streams."""
        return update if self.first else (stream + update).clamp(-STREAM_MAX, STREAM_MAX)


class GatedPixelCNN(nn.Module):
    """Pixels and latent map to the distributions of every pixel's values."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        self.blocks = nn.ModuleList(GatedBlock(arch, first=b == 0) for b in range(arch.blocks))
        self.head = ColourHead(arch) if arch.logistics else SoftmaxHead(arch)

    def forward(
        self, planes: Tensor, values: Tensor, centres: Tensor, told: Evidence | None, z: Tensor, exact: bool
    ) -> list[Distribution]:
        """Planes [N, H, W, P], values [N, H, W, colours], their centres [..., K] and latent map [N, H, W, map_planes].

        `told` is the `evidence` of candidates, in models that have them. Returns a distribution [N, H, W, ...] for every
        colour.
        """
        v = h = planes
        for block in self.blocks:
            v, h = block(v, h, z, exact)
        return [self.head(colour, h, values, centres, told) for colour in range(self.arch.colours)]
