"""Copy candidates as inputs of the decoder network: centres of its mixtures' components, and planes of evidence for each.

What is offered for a pixel is uint8 [OFFERS, colours + 1]. First CANDIDATES pixels that may follow: their colours and a
strength from 0 (none) to STRENGTH_MAX. The first of them follows the longest neighbourhood that was seen before, the second
is the pixel at the same place of the parent image. Then COMPLETIONS: of each colour but the first the value that came last
after the same earlier colours of a pixel, in this image and in all, and as a set of bits for which colours there is one.
`coding/candidates.py` says where they come from.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from acncodec.exact.grids import UNIT
from acncodec.nets.architecture import CANDIDATES, COMPLETIONS, OFFERS, Architecture

STRENGTH_MAX = 13
STRENGTH_UNIT = 16  # of a strength on its plane
COMPARED = 2  # candidates whose colours are compared with those of neighbours
NEIGHBOURS = 4  # left, above, left above and right above: the centres after the prediction
COMPLETION_PLANES = COMPLETIONS + 1


class Evidence(NamedTuple):
    """What the head is told of offers: of the candidates [..., planes], of completions [..., colours, COMPLETION_PLANES].

    And the completions' values [..., colours, COMPLETIONS].
    """

    candidates: Tensor
    completions: Tensor
    values: Tensor


def evidence_planes(arch: Architecture) -> int:
    """Number of planes that tell of candidates; 0 for models without them."""
    if not arch.candidates:
        return 0
    return 2 * CANDIDATES + COMPARED * (NEIGHBOURS + arch.colours) + 1


def no_offers(arch: Architecture, *shape: int, device: torch.device | None = None) -> Tensor:
    """Offers uint8 [*shape, OFFERS, colours + 1] where there are none."""
    return torch.zeros((*shape, OFFERS, arch.colours + 1), dtype=torch.uint8, device=device)


def join_centres(centres: Tensor, offers: Tensor) -> Tensor:
    """Centres float32 [..., colours, K] and the candidates of offers [..., OFFERS, colours + 1] as more of them."""
    return torch.cat([centres, offers[..., :CANDIDATES, :-1].transpose(-1, -2).float()], -1)


def evidence(offers: Tensor, centres: Tensor) -> Evidence:
    """Integers float32 from offers uint8 [..., OFFERS, colours + 1] and the centres of `predict`, [..., colours, K]."""
    return Evidence(candidate_planes(offers, centres), *completions(offers))


def candidate_planes(offers: Tensor, centres: Tensor) -> Tensor:
    """Planes [..., P] that tell of the candidates of offers, given the centres of `predict`.

    Whether there is each, and its strength; of the first two, which neighbours they equal, and their colours
    less the prediction; whether they are equal.
    """
    candidates = offers[..., :CANDIDATES, :]
    strength = candidates[..., -1].float()
    colours = candidates[..., :COMPARED, :-1].float()
    neighbours = centres[..., 1 : 1 + NEIGHBOURS].transpose(-1, -2)  # [..., neighbours, colours]
    same = (colours.unsqueeze(-2) == neighbours.unsqueeze(-3)).all(-1).float().flatten(-2)
    both = (colours[..., :1, :] == colours[..., 1:, :]).all(-1).float()
    errors = (colours - centres[..., 0].unsqueeze(-2)).flatten(-2)
    planes = [(strength > 0) * UNIT, strength * STRENGTH_UNIT, same * UNIT, errors, both * UNIT]
    return torch.cat(planes, -1)


def completions(offers: Tensor) -> tuple[Tensor, Tensor]:
    """Planes [..., colours, COMPLETION_PLANES] and values [..., colours, COMPLETIONS] of the completions of offers.

    The planes: whether there is each, and whether both are the same.
    """
    rows = offers[..., CANDIDATES:, :]
    values = rows[..., :-1].transpose(-1, -2).float()
    bits = 2 ** torch.arange(values.shape[-2], dtype=torch.int32, device=offers.device)
    found = rows[..., -1].unsqueeze(-2).int().bitwise_and(bits.unsqueeze(-1)) > 0  # [..., colours, COMPLETIONS]
    same = found.all(-1) & (values[..., 0] == values[..., 1])
    return torch.cat([found, same.unsqueeze(-1)], -1).float() * UNIT, values
