"""What a training step takes from the host: random numbers, all of the training's one generator, and rates.

They are drawn on the host whatever the device, and for the whole batch: a training resumes exactly, and the processes that
share a batch draw alike.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from acncodec.nets.graphs import Shared
from acncodec.training.objective import sample_offsets

PRIOR_BATCH = 256  # codes in the prior network's extra step after each step


class Sample(NamedTuple):
    """Entries of a group's codes [N, code], with what makes their parents and their latents."""

    indices: Tensor  # int64 [B]
    picks: Tensor  # which neighbour is the parent, from near to far, float32 [B] in [0, 1)
    offsets: Tensor  # latents minus codes, integers on the latent grid, float32 [B, code]


class Draws(NamedTuple):
    """One step's draws; their shapes are the same for all steps of a group."""

    batch: Sample
    ink: Tensor | None  # to binarise the images, float32 [B, H, W, 1] in [0, 1)
    prior: Sample | None  # for the prior network's own step
    rate: Tensor  # learning rate, a scalar
    weight: Tensor  # of the current weights in the averaged ones, float32, a scalar


def draw_sample(indices: Tensor, width: int, generator: torch.Generator) -> Sample:
    """Picks, and offsets of codes of this width, for given entries."""
    picks = torch.rand(len(indices), generator=generator)
    return Sample(indices, picks, sample_offsets(torch.empty(len(indices), width), generator))


def draw_prior_sample(codes: Tensor, generator: torch.Generator) -> Sample:
    """A sample of a group's codes [N, code], whatever their device."""
    chosen = torch.randint(len(codes), (min(PRIOR_BATCH, len(codes)),), generator=generator)
    return draw_sample(chosen, codes.shape[1], generator)


class DrawBuffers:
    """Buffers at fixed addresses for a group's draws: the host puts them, the step reads `on_device`."""

    def __init__(self, like: Draws, device: torch.device) -> None:
        self._shared = [Shared(tuple(x.shape), x.dtype, device) for x in _tensors(like)]
        each = iter([shared.tensor for shared in self._shared])

        def sample() -> Sample:
            return Sample(next(each), next(each), next(each))

        batch, ink = sample(), None if like.ink is None else next(each)
        self.on_device = Draws(batch, ink, None if like.prior is None else sample(), next(each), next(each))

    def put(self, draws: Draws) -> None:
        """Between steps, when none is running."""
        for shared, x in zip(self._shared, _tensors(draws), strict=True):
            shared.array[...] = x.numpy()

    def upload(self) -> Draws:
        """As part of a step: what was put last, on the device."""
        for shared in self._shared:
            shared.upload()
        return self.on_device


def _tensors(draws: Draws) -> list[Tensor]:
    ink = [] if draws.ink is None else [draws.ink]
    return [*draws.batch, *ink, *(draws.prior or ()), draws.rate, draws.weight]
