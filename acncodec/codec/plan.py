"""Which order and which prior make the smallest file: by the KL in float64 and the price of restoring the order."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch

from acncodec.coding.order import order_bits
from acncodec.coding.protocol import encode
from acncodec.coding.theory import kl_bits, unconditional_kl_bits
from acncodec.exact.grids import LATENT_BITS
from acncodec.nets.model import Model
from acncodec.planning.schedule import Schedule, choose_lanes
from acncodec.planning.tour import plan_tour

BATCH = 1024
SAMPLE_SEED = 0  # of the posterior samples on which the unconditional KL is estimated


class Way(Enum):
    """A way to send the images: (order by tour, latents conditioned on the parent)."""

    TOUR = (True, True)
    NAMES = (False, True)
    UNORDERED = (False, False)

    @property
    def tour(self) -> bool:
        return self.value[0]

    @property
    def conditional(self) -> bool:
        return self.value[1]


@dataclass
class GroupPlan:
    """One group's codes int16 [N, D] in the order of names, its schedule, and its tour int64 [N] of such indices."""

    model: Model
    codes: np.ndarray
    schedule: Schedule
    tour: np.ndarray

    def order(self, way: Way) -> np.ndarray:
        return self.tour if way.tour else np.arange(len(self.codes))


def plan_group(model: Model, pixels: np.ndarray) -> GroupPlan:
    """Codes, schedule and tour of a group: pixels uint8 [N, H, W]."""
    codes = encode(model, pixels)
    schedule = Schedule(len(pixels), choose_lanes(len(pixels), pixels.shape[1] * pixels.shape[2]))
    return GroupPlan(model, codes, schedule, plan_tour(codes, schedule))


def cheapest(plans: list[GroupPlan], names: bool) -> Way:
    """The way that costs the fewest bits in all; `names` says whether the order must be restored."""
    costs = {way: sum(latent_bits(plan, way) for plan in plans) for way in Way}
    if names:
        costs[Way.TOUR] += order_bits([], [len(plan.codes) for plan in plans])
    return min(Way, key=lambda way: costs[way])


def latent_bits(plan: GroupPlan, way: Way) -> float:
    """What theory says that the latents of a group cost, in bits."""
    order, conditional = plan.order(way), way.conditional
    codes = torch.from_numpy(plan.codes[order])
    parents = np.concatenate([step.parents for step in plan.schedule]) if conditional else np.full(len(codes), -1)
    roots = np.flatnonzero(parents < 0)
    total = 0.0
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    for chunk in np.array_split(roots, -(-len(roots) // BATCH)):
        c = codes[chunk]
        noise = torch.randn(c.shape, generator=generator, dtype=torch.float64)
        total += float(
            unconditional_kl_bits(c, c + torch.round(noise * (1 << LATENT_BITS)), plan.model.unconditional).sum()
        )
    children = np.flatnonzero(parents >= 0)
    device = plan.model.networks.device
    for chunk in np.array_split(children, max(1, -(-len(children) // BATCH))):
        mixture = plan.model.networks.mixture(codes[parents[chunk]].to(device, torch.float32))
        total += float(kl_bits(codes[chunk].to(device), mixture).sum())
    return total
