"""Held-out code lengths of exact networks, in nats: what an archive of these images would cost."""

import math

import numpy as np
import torch
from torch import Tensor

from acncodec.coding.candidates import along
from acncodec.coding.element_costs import parent_bits, residuals
from acncodec.nets.networks import Networks
from acncodec.planning.schedule import Schedule
from acncodec.planning.tour import plan_tour
from acncodec.training.data import batch_length
from acncodec.training.objective import sample_offsets

_NATS = math.log(2)


def held_out_nats(networks: Networks, groups: list[Tensor]) -> tuple[float, float]:
    """Mean residual, and mean KL along a tour through these images, in nats.

    `groups` are images uint8 [N, H, W, colours]; a tour's first image, which has no parent, is excluded from the KL.
    """
    generator = torch.Generator().manual_seed(0)
    residual = kl = 0.0
    children = 0
    for group in groups:
        codes = torch.cat([networks.encode(batch.to(networks.device)).cpu() for batch in group.split(batch_length(group))])
        schedule = Schedule(len(codes), 1)
        tour = plan_tour(codes.numpy().astype(np.int16), schedule)
        pixels, codes = group[tour].numpy(), codes[tour]
        z = (codes + sample_offsets(codes, generator)).to(torch.int16).numpy()
        offers = along(pixels, schedule) if networks.arch.candidates else None
        residual += float(residuals(networks, pixels, z, offers).sum())
        kl += float(parent_bits(networks, codes[1:], codes[:-1]).sum())
        children += len(codes) - 1
    return residual * _NATS / sum(map(len, groups)), kl * _NATS / max(1, children)
