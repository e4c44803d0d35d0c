"""An archive's network-coded elements along a tour: their costs, codes projected on a plane, and images."""

import os
from dataclasses import dataclass

import numpy as np
import torch

from acncodec.block.elements import Group, cells
from acncodec.coding.element_costs import element_residuals, parent_bits, posterior_offsets
from acncodec.coding.protocol import encode
from acncodec.coding.theory import unconditional_kl_bits
from acncodec.exact.precision import full_precision
from acncodec.nets.model import Model
from acncodec.planning.schedule import Schedule
from acncodec.planning.tour import DEFAULT_EFFORT, plan_tour
from acncodec.reading.reader import Archive

PLANE = 2  # axes


@dataclass(frozen=True)
class Toured:
    """N elements of one size under one model, in the order of a tour.

    `images` uint8 [N, H, W, colours]; `residual` and `latent` float64 [N], bits, the latent given the element before;
    `plane` float64 [N, 2], codes on their first two principal axes, and `variance` the shares of variance of these.
    `unordered` is an element's mean cost without the one before, in bits. `whole` says whether elements are whole images,
    not parts.
    """

    model: Model
    names: list[str]
    images: np.ndarray
    residual: np.ndarray
    latent: np.ndarray
    plane: np.ndarray
    variance: tuple[float, float]
    unordered: float
    whole: bool

    def __len__(self) -> int:
        return len(self.names)


def toured(archive: Archive) -> list[Toured]:
    """The elements that an archive's networks have coded, by group, the largest first."""
    names: dict[Group, list[str]] = {}
    elements: dict[Group, list[np.ndarray]] = {}
    cut: set[Group] = set()
    first = {entry.content: entry.name for entry in reversed(archive.entries)}
    for content in range(sum(archive.header.blocks)):
        samples, name = archive.samples(content), os.fsdecode(first[content])
        parts = cells(archive.class_of(content))
        for group, rows, columns, part in parts:
            if len(parts) > 1:
                cut.add(group)
            names.setdefault(group, []).append(name if len(parts) == 1 else f"{name} at {columns.start}, {rows.start}")
            elements.setdefault(group, []).append(samples[rows, columns, part])
    found = [_along(archive.models[g.model], names[g], np.stack(elements[g]), g not in cut) for g in sorted(names)]
    return sorted(found, key=len, reverse=True)


@full_precision()
def _along(model: Model, names: list[str], images: np.ndarray, whole: bool) -> Toured:
    codes = encode(model, images)
    tour = plan_tour(codes, Schedule(len(codes), 1), DEFAULT_EFFORT) if len(codes) > 1 else np.zeros(1, np.int64)
    names, images, codes = [names[i] for i in tour], images[tour], codes[tour]
    held = torch.from_numpy(codes)
    z = held + posterior_offsets(held.shape)
    residual = element_residuals(model, images, codes, z.numpy())
    alone = residual + unconditional_kl_bits(held, z, model.unconditional).numpy()
    latent = parent_bits(model.networks, held[1:], held[:-1])
    centred = codes - codes.mean(0, dtype=np.float64)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    # A code of one dimension has one axis.
    spread, axes = np.append(spread, 0.0), np.vstack([axes, np.zeros_like(axes[:1])])
    shares = spread**2 / max(float((spread**2).sum()), np.finfo(float).tiny)
    return Toured(
        model=model,
        names=names,
        images=images,
        residual=residual,
        latent=np.concatenate([alone[:1] - residual[:1], latent]),
        plane=centred @ axes[:PLANE].T,
        variance=(float(shares[0]), float(shares[1])),
        unordered=float(alone.mean()),
        whole=whole,
    )
