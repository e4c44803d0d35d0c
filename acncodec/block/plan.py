"""Choice of order and prior for a block: the cheapest by theoretical KL plus the cost of restoring the order."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch

from acncodec.block.elements import Group
from acncodec.coding.candidates import along
from acncodec.coding.element_costs import BATCH, parent_bits, posterior_offsets, residuals
from acncodec.coding.protocol import encode
from acncodec.coding.theory import unconditional_kl_bits
from acncodec.nets.model import Model
from acncodec.planning.schedule import Schedule, choose_lanes
from acncodec.planning.tour import DEFAULT_EFFORT, plan_tour

SAMPLE = 512  # elements of a block whose pixels are priced under every way, and one of each group at least


class Way(Enum):
    """A way to code images: (order by tour, latents conditioned on the parent)."""

    TOUR = (True, True)
    NAMES = (False, True)
    UNORDERED = (False, False)

    @property
    def tour(self) -> bool:
        return self.value[0]

    @property
    def conditional(self) -> bool:
        return self.value[1]


@dataclass(frozen=True)
class PlanOptions:
    """How blocks are planned: the tour's `effort` from 1 to 9, and `quick` as for `choose_lanes`.

    `only` forces a way whatever it costs; a tour is not possible for pictures of several tiles, unless a model of the block
    copies.
    """

    effort: int = DEFAULT_EFFORT
    only: Way | None = None
    quick: bool = False


@dataclass
class GroupPlan:
    """A group: elements uint8 [N, H, W, C] and codes int16 [N, D] in the order of names, and a tour, int64 [N].

    `tiles` is the number of elements of each of its pictures, if they have equally many.
    """

    model: Model
    elements: np.ndarray
    codes: np.ndarray
    tour: np.ndarray
    tiles: int = 1
    quick: bool = False

    def order(self, way: Way) -> np.ndarray:
        return self.tour if way.tour else np.arange(len(self.codes))

    def schedule(self, way: Way) -> Schedule:
        lanes = self.lanes(len(self.codes), way.conditional)
        if self.model.arch.candidates and self.tiles <= lanes:
            lanes -= lanes % self.tiles  # so that a tile's parent has the same place in another picture
        return Schedule(len(self.codes), lanes)

    def lanes(self, count: int, conditional: bool) -> int:
        """For so many of the elements."""
        height, width, colours = self.elements.shape[1:]
        return choose_lanes(count, height * width, colours, conditional, self.quick, bool(self.model.arch.candidates))


@dataclass
class BlockPlan:
    """How to code a block: the way, the coded order of its pictures (int64 [N]), and a plan for each group."""

    way: Way
    order: np.ndarray
    groups: dict[Group, GroupPlan]


def plan_block(
    models: list[Model],
    elements: dict[Group, np.ndarray],
    owners: dict[Group, np.ndarray],
    order_price: float,
    options: PlanOptions,
) -> BlockPlan:
    """Plan a block from what `elements.cut` returns; `order_price`: bits to restore the order of names after a tour."""
    only, groups = options.only, {}
    for group, pixels in elements.items():
        model = models[group.model]
        per_picture = np.unique(owners[group], return_counts=True)[1]
        tiles = int(per_picture[0]) if (per_picture == per_picture[0]).all() else 1
        groups[group] = GroupPlan(model, pixels, encode(model, pixels), np.arange(len(pixels)), tiles, options.quick)
    count = 1 + max(int(o.max()) for o in owners.values())
    ways = [Way.NAMES, Way.UNORDERED]
    order = np.arange(count)
    copies = any(models[group.model].arch.candidates for group in elements)
    if copies or all(len(np.unique(o)) == len(o) for o in owners.values()):
        ways.insert(0, Way.TOUR)
        order = _tour(groups, owners, count, options)
        rank = np.argsort(order)
        for group, plan in groups.items():
            plan.tour = np.argsort(rank[owners[group]], kind="stable")
        if order_price == 0 and only is None:
            ways.remove(Way.NAMES)  # not worth pricing: a tour is made to be cheaper
    if only in ways:
        ways = [only]
    costs = {way: order_price * way.tour for way in ways}
    if len(ways) > 1:
        stride = -(-sum(map(len, elements.values())) // SAMPLE)
        for way in ways:
            costs[way] += sum(latent_bits(each, way) + residual_bits(each, way, stride) for each in groups.values())
    way = min(ways, key=lambda way: costs[way])
    return BlockPlan(way, order if way.tour else np.arange(count), groups)


def _tour(groups: dict[Group, GroupPlan], owners: dict[Group, np.ndarray], count: int, options: PlanOptions) -> np.ndarray:
    """Order of pictures, int64 [count]: tours through the codes of their first elements, group after group."""
    done = np.zeros(count, dtype=bool)
    order = []
    for group, plan in groups.items():
        pictures, firsts = np.unique(owners[group], return_index=True)
        leads = firsts[~done[pictures]]
        if len(leads):
            schedule = Schedule(len(leads), plan.lanes(len(leads), conditional=True))
            tour = plan_tour(plan.codes[leads], schedule, options.effort)
            order.append(owners[group][leads[tour]])
            done[owners[group]] = True
    return np.concatenate(order)


def residual_bits(plan: GroupPlan, way: Way, stride: int) -> float:
    """Estimate of what the pixels of a group cost in bits, as far as that depends on the way: where they are copied.

    Every `stride`-th element is priced.
    """
    if not plan.model.arch.candidates:
        return 0.0
    order, count = plan.order(way), len(plan.codes)
    chosen = np.arange(0, count, stride)
    z = (plan.codes[chosen] + posterior_offsets(torch.Size(plan.codes[chosen].shape)).numpy()).astype(np.int16)
    offers = along(plan.elements[order], plan.schedule(way))[np.argsort(order)[chosen]]
    bits = residuals(plan.model.networks, plan.elements[chosen], z, offers)
    return float(bits.sum()) * count / len(chosen)


def latent_bits(plan: GroupPlan, way: Way) -> float:
    """Theoretical cost of a group's latents, in bits."""
    codes = torch.from_numpy(plan.codes[plan.order(way)])
    parents = np.full(len(codes), -1)
    if way.conditional:
        parents = np.concatenate([step.parents for step in plan.schedule(way)])
    total = 0.0
    for c in codes[parents < 0].split(BATCH):
        z = c + posterior_offsets(c.shape)
        total += float(unconditional_kl_bits(c, z, plan.model.unconditional).sum())
    children = np.flatnonzero(parents >= 0)
    return total + float(parent_bits(plan.model.networks, codes[children], codes[parents[children]]).sum())
