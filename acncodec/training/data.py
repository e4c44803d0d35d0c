"""Training data: images of one value range, grouped by size, with a part held out."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acncodec.errors import InputError

HELD_OUT_SHARE = 0.05
HELD_OUT_MAX = 2000
MAX_PIXELS_A_BATCH = 64 * 28 * 28


@dataclass
class TrainingSet:
    """`train` and `held_out`: images of equal size together, uint8 [N, H, W], largest group first."""

    levels: int
    train: list[Tensor]
    held_out: list[Tensor]

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
            pixels = group.shape[1] * group.shape[2]
            length = max(1, min(size, MAX_PIXELS_A_BATCH // pixels))
            order = torch.randperm(len(group), generator=generator)
            whole = [part for part in order.split(length) if len(part) == length or len(group) < length]
            batches += [(g, part) for part in whole]
        return [batches[i] for i in torch.randperm(len(batches), generator=generator)]


def split(images: list[np.ndarray], levels: int, seed: int = 0) -> TrainingSet:
    """Group images, uint8 [H, W], by size and hold out a random share of each group. Raises InputError if too few."""
    groups: dict[tuple[int, ...], list[np.ndarray]] = {}
    for image in images:
        groups.setdefault(image.shape, []).append(image)
    generator = torch.Generator().manual_seed(seed)
    share = min(HELD_OUT_SHARE, HELD_OUT_MAX / max(1, len(images)))
    train, held_out = [], []
    for shape in sorted(groups, key=lambda shape: (-len(groups[shape]), shape)):
        stack = torch.from_numpy(np.stack(groups[shape]))
        order = torch.randperm(len(stack), generator=generator)
        cut = round(len(stack) * share)
        if cut:
            held_out.append(stack[order[:cut]])
        train.append(stack[order[cut:]])
    data = TrainingSet(levels, train, held_out)
    if data.held_out_count < 2 or data.count < 16:
        raise InputError(f"training needs at least some 50 images of one size and mode, here are {len(images)} in all")
    return data
