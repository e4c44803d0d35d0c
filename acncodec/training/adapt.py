"""Fine-tuning of a model to the images to be sent, stored as the difference to the base model that Bob has.

Encoder and prior network are frozen: they have most of the weights and little effect on the size of most images. The
decoder's differences are rounded to the step size at which difference and images together are smallest.
"""

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from acncodec.coding.element_costs import parent_bits, posterior_offsets, residuals, set_offers
from acncodec.coding.weights import pack_model
from acncodec.errors import BoundError
from acncodec.nets.model import Model, dump_model, parse_model
from acncodec.nets.networks import Networks
from acncodec.nets.product import Product
from acncodec.planning.neighbours import nearest_others
from acncodec.training.data import MIN_GROUP, TrainingSet, batch_length
from acncodec.training.start import choose_batch
from acncodec.training.trainer import ALONE, CPU, Budget, Report, Trainer

DECODER = "decoder.", "map."
SAMPLE = 512  # elements priced per group
BIAS_BITS = 2  # a step of a bias changes sums as much as one of a weight whose input is 2^-2


@dataclass(frozen=True)
class Adapted:
    """A model, and its packed difference to the base, which is what must be sent."""

    model: Model
    packed: bytes


def adapt(base: Model, groups: list[np.ndarray], minutes: float, report: Callable[[Report], None]) -> Adapted | None:
    """Fine-tune `base` for `minutes` on groups of elements uint8 [N, H, W, colours], one size a group.

    None if all groups are too small, or if the total size does not shrink.
    """
    data = TrainingSet([torch.from_numpy(group) for group in groups if len(group) >= MIN_GROUP], [])
    if not data.train:
        return None
    batch = choose_batch(base.arch, data, minutes, base.networks, ALONE, CPU)
    trainer = Trainer(base.arch, data, Budget(minutes), start=base.networks, batch=batch, decoder_alone=True)
    for _ in trainer.run(report):
        pass
    return smallest(base, trainer.averaged, data.train)


def smallest(base: Model, trained: Networks, groups: list[Tensor]) -> Adapted | None:
    """The difference at the step size at which it and the groups are smallest together, if smaller than under the base."""
    samples = [_Sample(base, group) for group in groups]
    best, least = None, sum(sample.bits(base.networks) for sample in samples)
    for step in steps_of(base):
        networks = _moved(base, trained, step)
        plain = dump_model(base.name, networks, base.unconditional, {"from": base.sha256.hex()}, base.format)
        packed = pack_model(plain, base.plain)
        bits = 8 * len(packed) + sum(sample.bits(networks) for sample in samples)
        if bits < least:
            best, least = (plain, packed), bits
    if best is None:
        return None
    return Adapted(replace(parse_model(best[0]), size=len(best[1])), best[1])


def steps_of(base: Model) -> range:
    """log2 of the step sizes to try, in units of the base's integer weights: 1/128 to 1/2 of `weight_max`."""
    bits = base.weight_max.bit_length()
    return range(bits - 7, bits)


class _Sample:
    """A sample of a group's elements, each with its nearest neighbour in the group, to estimate the group's cost."""

    def __init__(self, base: Model, group: Tensor) -> None:
        self.count = len(group)
        codes = torch.cat([base.networks.encode(part) for part in group.split(batch_length(group))])
        chosen = torch.arange(len(group))[:: -(-len(group) // SAMPLE)]
        others = torch.from_numpy(nearest_others(codes.to(torch.int16).numpy(), chosen.numpy(), 1)[:, 0])
        self.pixels, self.codes, self.parents = group[chosen].numpy(), codes[chosen], codes[others]
        self.z = (self.codes + posterior_offsets(self.codes.shape)).to(torch.int16).numpy()
        offers = set_offers(base, group.numpy(), codes.to(torch.int16).numpy())
        self.offers = None if offers is None else offers[chosen]

    def bits(self, networks: Networks) -> float:
        """Estimated cost of the group in bits, with a parent for every element."""
        residual = float(residuals(networks, self.pixels, self.z, self.offers).sum())
        return (residual + float(parent_bits(networks, self.codes, self.parents).sum())) * self.count / len(self.pixels)


@torch.no_grad()
def _moved(base: Model, trained: Networks, step: int) -> Networks:
    """Exact networks whose decoder's integers differ from those of `base` by multiples of 2^step, towards `trained`."""
    moved = copy.deepcopy(base.networks)
    for (name, product), (_, known), (_, wanted) in zip(
        moved.products(), base.networks.products(), trained.products(), strict=True
    ):
        if name.startswith(DECODER):
            with suppress(BoundError):  # unchanged: at the base's scale the trained weights exceed the exact bound
                _move(product, known, wanted, step, base.weight_max, name)
    return moved


def _move(product: Product, known: Product, wanted: Product, step: int, weight_max: int, name: str) -> None:
    """Set a product's integers. Raises BoundError, leaving them unchanged, if they could make it inexact."""
    scale = known.scale
    bias_scale, bias_step = scale * 2.0**known.in_bits, 2.0 ** (step + max(0, known.in_bits - BIAS_BITS))
    step_size = 2.0**step
    weight = known.weight + torch.round((wanted.weight * scale - known.weight) / step_size) * step_size
    bias = known.bias + torch.round((wanted.bias * bias_scale - known.bias) / bias_step) * bias_step
    over = weight.abs() > weight_max
    product.load_integers(torch.where(over, known.weight, weight), bias, known.log2_scale, name)
