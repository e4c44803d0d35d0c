"""Held-out code lengths of exact networks, in nats: what an archive of these images would cost."""

import math

import numpy as np
import torch
from torch import Tensor

from acncodec.coding.pixels import residual_prices
from acncodec.coding.prices import parent_bits
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
        codes = []
        for batch in group.split(batch_length(group)):
            c = networks.encode(batch.to(networks.device)).cpu()
            z = c + sample_offsets(c, generator)
            residual += float(residual_prices(batch.numpy(), z.to(torch.int16).numpy(), networks).sum())
            codes.append(c)
        tour = torch.cat(codes)
        tour = tour[plan_tour(tour.numpy().astype(np.int16), Schedule(len(tour), 1))]
        kl += float(parent_bits(networks, tour[1:], tour[:-1]).sum())
        children += len(tour) - 1
    return residual * _NATS / sum(map(len, groups)), kl * _NATS / max(1, children)
