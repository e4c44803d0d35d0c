"""Copy candidates as the decoder network sees them: more centres of its mixtures, and planes of evidence for each of them.

Candidates of a pixel are uint8 [CANDIDATES, colours + 1]: their colours and a strength from 0 (none) to STRENGTH_MAX. Where
they come from, `coding/candidates.py` says. The first follows the longest neighbourhood that was seen before, the second
is the pixel at the same place of the parent image.
"""

import torch
from torch import Tensor

from acncodec.exact.grids import UNIT
from acncodec.nets.architecture import CANDIDATES, Architecture

STRENGTH_MAX = 13
STRENGTH_UNIT = 16  # of a strength on its plane
COMPARED = 2  # candidates whose colours are compared with those of neighbours
NEIGHBOURS = 4  # left, above, left above and right above: the centres after the prediction


def evidence_planes(arch: Architecture) -> int:
    """Number of planes that `evidence` gives; 0 for models without candidates."""
    if not arch.candidates:
        return 0
    return 2 * CANDIDATES + COMPARED * (NEIGHBOURS + arch.colours) + 1


def no_candidates(arch: Architecture, *shape: int, device: torch.device | None = None) -> Tensor:
    """Candidates uint8 [*shape, CANDIDATES, colours + 1] where there are none."""
    return torch.zeros((*shape, arch.candidates, arch.colours + 1), dtype=torch.uint8, device=device)


def join_centres(centres: Tensor, candidates: Tensor) -> Tensor:
    """Centres float32 [..., colours, K] and candidates [..., CANDIDATES, colours + 1] as more of them."""
    return torch.cat([centres, candidates[..., :-1].transpose(-1, -2).float()], -1)


def evidence(candidates: Tensor, centres: Tensor) -> Tensor:
    """Planes of the current pixel, integers float32 [..., P], from uint8 [..., CANDIDATES, colours + 1].

    `centres` float32 [..., colours, K] are those of `predict`, or more after them. Whether there is each candidate, and
    its strength; of the first two, which neighbours they equal, and their colours less the prediction; whether they are
    equal.
    """
    strength = candidates[..., -1].float()
    colours = candidates[..., :COMPARED, :-1].float()
    neighbours = centres[..., 1 : 1 + NEIGHBOURS].transpose(-1, -2)  # [..., neighbours, colours]
    same = (colours.unsqueeze(-2) == neighbours.unsqueeze(-3)).all(-1).float().flatten(-2)
    both = (colours[..., :1, :] == colours[..., 1:, :]).all(-1).float()
    errors = (colours - centres[..., 0].unsqueeze(-2)).flatten(-2)
    return torch.cat([(strength > 0) * UNIT, strength * STRENGTH_UNIT, same * UNIT, errors, both * UNIT], -1)
