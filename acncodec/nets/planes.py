"""Integer input planes of encoder and decoder from pixel values, and the prediction of colours."""

from functools import cache

import torch
from torch import Tensor

from acncodec.exact.grids import UNIT
from acncodec.nets.architecture import Architecture

PLANE_MAX = 255  # largest magnitude on a plane
ERROR_SCALE = 4  # prediction errors are scaled up, since most are small
MIDDLE = 128  # prediction for the first pixel of an image


def plane_count(arch: Architecture, centres: int | None = None) -> int:
    """Number of planes that `to_planes` gives with so many centres, by default those of `predict`."""
    if arch.logistics:
        return 1 + known_planes(arch.colours, centres or arch.centres)
    return 2 if arch.levels == 2 else 4 + arch.errors


@cache
def _table(levels: int, device: torch.device) -> Tensor:
    value = torch.arange(levels)
    columns = [torch.full((levels,), UNIT), value * (UNIT if levels == 2 else 1)]
    if levels > 2:  # saturated values are common and behave unlike their neighbours
        columns += [UNIT * (value == 0), UNIT * (value == levels - 1)]
    return torch.stack(columns, 1).to(device, torch.float32)


def known_planes(colours: int, centres: int) -> int:
    """Number of planes that `tell_colours` gives for so many colours, one or more, and centres."""
    return 2 * colours + centres - 1


def to_planes(pixels: Tensor, arch: Architecture, centres: Tensor | None = None) -> Tensor:
    """Pixels uint8 [..., H, W, colours] -> integers float32 [..., H, W, planes]; outside of the image all planes are zero.

    1-bit: inside flag, value. 8-bit under a softmax: inside flag, value, flags for 0 and 255, with `errors` the prediction
    error. Under logistics: inside flag, and the planes of `tell_colours`. `centres` [..., H, W, colours, K] may be given.
    """
    values = pixels.float()
    if centres is None and arch.predicts:
        centres = predict(values, arch.centres)
    if arch.logistics:
        assert centres is not None
        return torch.cat([torch.full_like(values[..., :1], UNIT), tell_colours(values, centres)], -1)
    planes = torch.nn.functional.embedding(pixels[..., 0].to(torch.int32), _table(arch.levels, pixels.device))
    if arch.errors:
        assert centres is not None
        planes = torch.cat([planes, prediction_errors(values, centres)], -1)
    return planes


def tell_colours(values: Tensor, centres: Tensor) -> Tensor:
    """Planes of a pixel's known colours: [..., n] and their centres [..., n, K] -> integers [..., 2 n + K - 1].

    The values, their prediction errors times ERROR_SCALE, and for each neighbour a flag that all values equal its.
    """
    copied = (values.unsqueeze(-1) == centres[..., 1:]).all(-2).to(values.dtype) * UNIT
    return torch.cat([values, prediction_errors(values, centres), copied], -1)


def prediction_errors(values: Tensor, centres: Tensor) -> Tensor:
    """[..., n] and centres [..., n, K], the prediction first -> errors times ERROR_SCALE [..., n], clamped to a plane."""
    return ((values - centres[..., 0]) * ERROR_SCALE).clamp_(-PLANE_MAX, PLANE_MAX)


def predict(values: Tensor, centres: int) -> Tensor:
    """Predictions of every value of float32 [N, H, W, C] from earlier values: float32 [N, H, W, C, centres].

    The median edge detector's prediction (LOCO-I; Weinberger, Seroussi and Sapiro 2000) and, with 5 centres, the pixels
    to the left, above, left above and right above. Outside of the image its nearest pixel above or to the left is used.
    """
    n, _, w, c = values.shape
    above = torch.cat([values.new_full((n, 1, w, c), MIDDLE), values[:, :-1]], 1)
    left = torch.cat([above[:, :, :1], values[:, :, :-1]], 2)
    above[:, 0] = left[:, 0]
    left_above = torch.cat([above[:, :, :1], above[:, :, :-1]], 2)
    left_above[:, 0] = left[:, 0]
    right_above = torch.cat([above[:, :, 1:], above[:, :, -1:]], 2)
    right_above[:, 0] = left[:, 0]
    return stack_centres(left, above, left_above, right_above, centres)


def stack_centres(left: Tensor, above: Tensor, left_above: Tensor, right_above: Tensor, centres: int) -> Tensor:
    """Neighbours [...] -> [..., centres], the median of left, above and left + above - left_above first."""
    median = torch.clamp(left + above - left_above, torch.minimum(left, above), torch.maximum(left, above))
    return torch.stack([median, left, above, left_above, right_above][:centres], -1)
