"""Parts of networks and trainer from other models, which replace ours for a measurement."""

from typing import Any

import torch
from torch import Tensor

from acncodec.nets.candidates import Evidence
from acncodec.nets.conditioning import LatentMap
from acncodec.nets.heads import Distribution
from acncodec.nets.pixelcnn import GatedPixelCNN
from acncodec.nets.prior import Mixture, PriorNetwork
from acncodec.planning.neighbours import nearest
from acncodec.training.objective import code_length
from benchmarks.patches import Patches

TRAINER, STEP = "acncodec.training.trainer", "acncodec.training.step"
CODE_LENGTH = "acncodec.training.objective.code_length"
WITHOUT_KERNEL: Patches = {"acncodec.coding.pixels.available": lambda networks: False}  # which knows our networks alone

_prior, _decoder = PriorNetwork.forward, GatedPixelCNN.forward


def _no_map(self: LatentMap, z: Tensor, height: int, width: int, exact: bool) -> Tensor:
    """Zeros, with a gradient of zeros."""
    return (z.sum() * 0).expand(len(z), height, width, self.out.weight.shape[1] // 4)


def _residual_alone(*batch: Any) -> tuple[Tensor, Tensor]:
    residual, kl = code_length(*batch)
    return residual, kl * 0


def _no_parent(self: PriorNetwork, codes: Tensor, exact: bool) -> Mixture:
    return _prior(self, torch.zeros_like(codes), exact)


def _no_pixels(
    self: GatedPixelCNN, planes: Tensor, values: Tensor, centres: Tensor, told: Evidence | None, z: Tensor, exact: bool
) -> list[Distribution]:
    """Distribution of pixels given the latent alone: a decoder that sees no pixels."""
    return _decoder(self, planes * 0, values, centres, told, z, exact)


def _own_code_too(codes: Tensor, indices: Tensor, picks: Tensor) -> Tensor:
    """Neighbours among which an image's own stored code may be, as it must not."""
    _, found = nearest(codes[indices].numpy(), codes.numpy(), 5)
    pick = (picks[:, None] * found.shape[1]).long()
    return codes[torch.from_numpy(found).gather(1, pick).squeeze(1)].float()


WITHOUT_LATENTS: Patches = {"acncodec.nets.conditioning.LatentMap.forward": _no_map, CODE_LENGTH: _residual_alone}
WITHOUT_PARENT: Patches = {"acncodec.nets.prior.PriorNetwork.forward": _no_parent}
FEED_FORWARD: Patches = {"acncodec.nets.pixelcnn.GatedPixelCNN.forward": _no_pixels, **WITHOUT_KERNEL}
OWN_CODE_TOO: Patches = {f"{STEP}.neighbours": _own_code_too}


def neighbours(count: int) -> Patches:
    """K of Algorithm 1."""
    return {f"{STEP}.NEIGHBOURS": count}
