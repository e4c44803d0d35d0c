"""From pixel values to the integer planes that encoder and decoder read."""

from functools import cache

import torch
from torch import Tensor

from acncodec.exact.grids import UNIT

PLANE_MAX = 255  # largest integer on a plane


def plane_count(levels: int) -> int:
    """Planes per pixel: inside, value, and for grey images whether the value is the darkest or the brightest."""
    return 2 if levels == 2 else 4


@cache
def _table(levels: int, device: torch.device) -> Tensor:
    value = torch.arange(levels)
    columns = [torch.full((levels,), UNIT), value * (UNIT if levels == 2 else 1)]
    if levels > 2:  # saturated values are common and behave unlike their neighbours
        columns += [UNIT * (value == 0), UNIT * (value == levels - 1)]
    return torch.stack(columns, 1).to(device, torch.float32)


def to_planes(pixels: Tensor, levels: int) -> Tensor:
    """Pixels uint8 [N, H, W] -> integers float32 [N, H, W, planes]; outside of the image all planes are zero."""
    return torch.nn.functional.embedding(pixels.to(torch.int32), _table(levels, pixels.device))
