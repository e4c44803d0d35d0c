"""Training data: images of one value range, grouped by size, with a part held out."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acncodec.errors import InputError

HELD_OUT_SHARE = 0.05
HELD_OUT_MAX = 2000
MAX_PIXELS_A_BATCH = 64 * 28 * 28
MIN_GROUP = 8  # images of one size; fewer give too few neighbours to learn from


@dataclass
class TrainingSet:
    """`train` and `held_out`: groups of equal-sized images uint8 [N, H, W, colours], largest group first.

    With `greys`, grey levels shaped as `train`, which is one binarisation of them: each batch is another.
    """

    train: list[Tensor]
    held_out: list[Tensor]
    greys: list[Tensor] | None = None

    @property
    def count(self) -> int:
        return sum(len(group) for group in self.train)

    @property
    def held_out_count(self) -> int:
        return sum(len(group) for group in self.held_out)

    def batches(self, size: int, generator: torch.Generator) -> list[tuple[int, Tensor]]:
        """One epoch in random order: (group, indices [<= size] into it); larger images come in smaller batches."""
        batches = []
        for g, group in enumerate(self.train):
            length = min(size, batch_length(group))
            order = torch.randperm(len(group), generator=generator)
            whole = [part for part in order.split(length) if len(part) == length or len(group) < length]
            batches += [(g, part) for part in whole]
        return [batches[i] for i in torch.randperm(len(batches), generator=generator)]


def batch_length(group: Tensor) -> int:
    """Largest batch, in images, of a group uint8 [N, H, W, colours] that memory and cache allow."""
    return max(1, MAX_PIXELS_A_BATCH // (group.shape[1] * group.shape[2]))


def binarise(greys: Tensor, ink: Tensor) -> Tensor:
    """Stochastic binarisation (Salakhutdinov & Murray 2008): uint8, each 1 with probability grey level / 255.

    `ink` are uniform random numbers in [0, 1) shaped as `greys`.
    """
    return (255 * ink < greys).to(torch.uint8)


def split(images: list[np.ndarray], seed: int = 0, binarised: bool = False) -> TrainingSet:
    """Group images, uint8 [H, W, colours], by size and hold out a random share of each group.

    Grey images may be `binarised`: those held out once, the others anew in every batch. Sizes with fewer than MIN_GROUP
    images are left out. Raises InputError if too few remain.
    """
    groups: dict[tuple[int, ...], list[np.ndarray]] = {}
    for image in images:
        groups.setdefault(image.shape, []).append(image)
    generator = torch.Generator().manual_seed(seed)
    share = min(HELD_OUT_SHARE, HELD_OUT_MAX / max(1, len(images)))
    train, held_out = [], []
    for shape in sorted(groups, key=lambda shape: (-len(groups[shape]), shape)):
        if len(groups[shape]) < MIN_GROUP:
            continue
        stack = torch.from_numpy(np.stack(groups[shape]))
        order = torch.randperm(len(stack), generator=generator)
        cut = round(len(stack) * share)
        if cut:
            held_out.append(stack[order[:cut]])
        train.append(stack[order[cut:]])
    data = TrainingSet(train, held_out)
    if binarised:
        once, held_out = (
            [binarise(group, torch.rand(group.shape, generator=generator)) for group in groups]
            for groups in (train, held_out)
        )
        data = TrainingSet(once, held_out, greys=train)
    if data.held_out_count < 2 or data.count < 16:
        raise InputError(f"training needs at least some 50 images of one size and mode, found {len(images)} in total")
    return data
