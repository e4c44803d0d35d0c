"""From pixel values to the integer planes that encoder and decoder read, and the prediction of colours."""

from functools import cache

import torch
from torch import Tensor

from acncodec.exact.grids import UNIT
from acncodec.nets.architecture import Architecture

PLANE_MAX = 255  # largest magnitude on a plane
ERROR_SCALE = 4  # a prediction's error is shown enlarged, since most are small
MIDDLE = 128  # what the first pixel of an image is predicted to be


def plane_count(arch: Architecture) -> int:
    """Planes a pixel: inside, values, and what `to_planes` adds."""
    if arch.logistics:
        return 1 + 2 * arch.colours
    return 2 if arch.levels == 2 else 4


@cache
def _table(levels: int, device: torch.device) -> Tensor:
    value = torch.arange(levels)
    columns = [torch.full((levels,), UNIT), value * (UNIT if levels == 2 else 1)]
    if levels > 2:  # saturated values are common and behave unlike their neighbours
        columns += [UNIT * (value == 0), UNIT * (value == levels - 1)]
    return torch.stack(columns, 1).to(device, torch.float32)


def to_planes(pixels: Tensor, arch: Architecture, predicted: Tensor | None = None) -> Tensor:
    """Pixels uint8 [..., H, W, colours] -> integers float32 [..., H, W, planes]; outside of the image all planes are zero.

    1-bit: inside, value. Grey: inside, value, whether it is the darkest or the brightest. Colours: inside, values, and
    the enlarged errors of their prediction, which may be given, float32 [..., H, W, colours].
    """
    if not arch.logistics:
        return torch.nn.functional.embedding(pixels[..., 0].to(torch.int32), _table(arch.levels, pixels.device))
    values = pixels.float()
    errors = enlarged_error(values, predict(values) if predicted is None else predicted)
    return torch.cat([torch.full_like(values[..., :1], UNIT), values, errors], -1)


def enlarged_error(values: Tensor, predicted: Tensor) -> Tensor:
    """How far values lie above their prediction, times ERROR_SCALE, within +-PLANE_MAX."""
    return ((values - predicted) * ERROR_SCALE).clamp_(-PLANE_MAX, PLANE_MAX)


def predict(values: Tensor) -> Tensor:
    """The median edge detector's prediction of every value from those before it: float32 [N, H, W, C], both ways.

    Beside the image lies its nearest pixel above or to the left (LOCO-I; Weinberger, Seroussi and Sapiro 2000).
    """
    n, _, w, c = values.shape
    above = torch.cat([values.new_full((n, 1, w, c), MIDDLE), values[:, :-1]], 1)
    left = torch.cat([above[:, :, :1], values[:, :, :-1]], 2)
    left_above = torch.cat([above[:, :, :1], above[:, :, :-1]], 2)
    above[:, 0], left_above[:, 0] = left[:, 0], left[:, 0]
    return median_edge(left, above, left_above)


def median_edge(left: Tensor, above: Tensor, left_above: Tensor) -> Tensor:
    """The median of left, above and left + above - left_above, value by value."""
    return torch.clamp(left + above - left_above, torch.minimum(left, above), torch.maximum(left, above))
