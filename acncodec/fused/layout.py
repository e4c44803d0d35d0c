"""All weights of a decoder in one buffer, as the fused kernels read them: padded with zeros, halves of gates apart."""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from acncodec.nets.architecture import Architecture
from acncodec.nets.heads import ColourHead, SoftmaxHead
from acncodec.nets.pixelcnn import GatedBlock, GatedPixelCNN
from acncodec.nets.planes import plane_count
from acncodec.nets.product import Product

LEAST = 16  # side of a matrix that tensor cores take
CHUNK = 32  # rows of a window's weights that are multiplied at once
KNOWN = 16  # padded planes that tell of a pixel's known colours
MOST_CHANNELS, MOST_FEATURES = 64, 128  # with more, the weights of a block would not fit shared memory


def padded(count: int, least: int = LEAST) -> int:
    """The next power of two, at least `least`."""
    return max(least, 1 << (count - 1).bit_length())


@dataclass(frozen=True)
class Sizes:
    """What the kernels are compiled for: numbers of planes, all padded, and reaches of windows in pixels."""

    channels: int
    planes: int  # of a pixel
    latents: int  # of the latent map
    features: int
    outputs: int  # levels of a softmax, or components of a mixture
    parts: int  # 1 for a softmax; 3 for a mixture: logits, means, spreads
    first_reach: int
    reach: int  # of all blocks but the first

    @classmethod
    def of(cls, arch: Architecture) -> "Sizes":
        return cls(
            channels=padded(arch.channels),
            planes=padded(plane_count(arch), 2),
            latents=padded(arch.map_planes),
            features=padded(arch.features),
            outputs=padded(arch.logistics or arch.levels),
            parts=3 if arch.logistics else 1,
            first_reach=arch.first // 2,
            reach=arch.kernel // 2,
        )

    @property
    def small(self) -> bool:
        """Whether the kernels are made for networks of these sizes."""
        return max(self.channels, self.latents) <= MOST_CHANNELS and self.features <= MOST_FEATURES


@dataclass(frozen=True)
class Segment:
    """Weights of some products, each [rows, outputs], and vectors of their outputs, float32: biases, factors 2^-shift."""

    weights: Tensor
    vectors: Tensor

    @classmethod
    def join(cls, weights: list[Tensor], vectors: list[Tensor]) -> "Segment":
        return cls(torch.cat([each.reshape(-1) for each in weights]), torch.cat(vectors))


class Packed:
    """The weights of an exact decoder without copy candidates: `rows` and `pixels` of each block, `heads` of each colour.

    All blocks' `pixels` but the first one's are adjacent and of one size.
    """

    def __init__(self, decoder: GatedPixelCNN, dtype: torch.dtype) -> None:
        """`dtype` of the weights: float16, which is exact up to magnitudes of 2048, or float32."""
        self.sizes = Sizes.of(decoder.arch)
        blocks = [cast(GatedBlock, block) for block in decoder.blocks]
        parts = [self._row(block) for block in blocks] + [self._pixel(block) for block in blocks]
        parts += [self._head(decoder.head, colour) for colour in range(decoder.arch.colours)]
        whole = Segment.join([part.weights for part in parts], [part.vectors for part in parts])
        weights = whole.weights.to(dtype).split([len(part.weights) for part in parts])
        vectors = whole.vectors.split([len(part.vectors) for part in parts])
        views = [Segment(*each) for each in zip(weights, vectors, strict=True)]
        count = len(blocks)
        self.rows, self.pixels, self.heads = views[:count], views[count : 2 * count], views[2 * count :]

    def _row(self, block: GatedBlock) -> Segment:
        """Vertical product of window and latent map; the horizontal one's part of vertical stream and latent map."""
        v, h = block.vertical, block.horizontal
        window, z = self._by_input(block, v)
        _, *known = self._by_input(block, h)
        vectors = [v.bias, v.factor, h.bias]
        return Segment.join([_chunks(window), z, *known], [self._halves(each) for each in vectors])

    def _pixel(self, block: GatedBlock) -> Segment:
        """Horizontal product of the window, oldest pixel first; residual product."""
        h, r, side = block.horizontal, block.residual, self.sizes.channels
        window = self._by_input(block, h)[0]
        residual = _tall(_wide(r.weight, side), side)
        vectors = [self._halves(h.factor), _wide(r.bias, side), _wide(r.factor, side)]
        return Segment.join([_chunks(window) if block.first else window, residual], vectors)

    def _head(self, head: SoftmaxHead | ColourHead, colour: int) -> Segment:
        """Features and then outputs, each the product of its main input, and of known colours."""
        sizes = self.sizes
        if isinstance(head, SoftmaxHead):
            features, outputs = head.features, head.logits
        else:
            features, outputs = cast(Product, head.features[colour]), cast(Product, head.outputs[colour])

        def side(x: Tensor) -> Tensor:
            return torch.cat([_wide(part, sizes.outputs) for part in x.chunk(sizes.parts, -1)], -1)

        own, known = _main(features)
        weights = [_tall(_wide(own, sizes.features), sizes.channels), _tall(_wide(known, sizes.features), KNOWN)]
        own, known = _main(outputs)
        weights += [_tall(side(own), sizes.features), _tall(side(known), KNOWN)]
        vectors = [_wide(each, sizes.features) for each in (features.bias, features.factor)]
        return Segment.join(weights, [*vectors, side(outputs.bias), side(outputs.factor)])

    def _by_input(self, block: GatedBlock, product: Product) -> list[Tensor]:
        """Weights of a gate's product for each input: rows of its taps, channels padded; the halves of outputs padded."""
        sizes = self.sizes
        channels = [sizes.planes if block.first else sizes.channels, sizes.channels, sizes.latents]
        if product is block.vertical:
            del channels[1]
        found = []
        for weight, each, count in zip(
            product.weight.split([i.rows for i in product.inputs]), product.inputs, channels, strict=True
        ):
            taps = self._halves(weight).view(each.window.taps, each.channels, -1)
            found.append(F.pad(taps, (0, 0, 0, count - each.channels)).flatten(0, 1))
        return found

    def _halves(self, x: Tensor) -> Tensor:
        return torch.cat([_wide(half, self.sizes.channels) for half in x.chunk(2, -1)], -1)


def _main(product: Product) -> tuple[Tensor, Tensor]:
    """Weights of a product's first input, and those of all others."""
    first = product.inputs[0].rows
    return product.weight[:first], product.weight[first:]


def _wide(x: Tensor, columns: int) -> Tensor:
    """[..., n] with columns of zeros up to `columns`."""
    return F.pad(x, (0, columns - x.shape[-1]))


def _tall(x: Tensor, rows: int) -> Tensor:
    """[n, outputs] with rows of zeros up to `rows`."""
    return F.pad(x, (0, 0, 0, rows - len(x)))


def _chunks(x: Tensor) -> Tensor:
    return _tall(x, -(-len(x) // CHUNK) * CHUNK)
