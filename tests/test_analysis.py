"""Theoretical costs in nats: each term against a direct computation."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import KINDS, random_pixels, tiny_model

from acncodec.analysis.costs import NATS, costs, kl_along, kl_to_neighbours
from acncodec.block.plan import GroupPlan, Way, latent_bits
from acncodec.coding.element_costs import element_bits
from acncodec.coding.protocol import encode
from acncodec.coding.theory import kl_bits
from acncodec.nets.model import Model


def pair(model: Model, child: np.ndarray, parent: np.ndarray) -> float:
    """The KL of one code from another, nats."""
    c, p = (torch.from_numpy(each[None]).float() for each in (child, parent))
    return float(kl_bits(c, model.networks.mixture(p)).sum()) * NATS


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_kl_of_neighbours_and_orders_are_sums_over_pairs(levels: int, colours: int) -> None:
    model = tiny_model(levels, calm=True, colours=colours)
    codes = np.random.default_rng(0).permutation(np.arange(-20, 22).reshape(14, 3) ** 2 % 61).astype(np.int16)
    found = kl_to_neighbours(model, codes, (1, 3))
    for k in (1, 3):
        total = 0.0
        for i, code in enumerate(codes):
            squares = np.square(codes - code, dtype=np.int64).sum(1).astype(float)
            squares[i] = np.inf
            total += np.mean([pair(model, code, codes[j]) for j in np.argsort(squares, kind="stable")[:k]])
        assert found[k] == pytest.approx(total / len(codes), rel=1e-5)
    order = np.random.default_rng(1).permutation(len(codes))
    steps = [pair(model, codes[b], codes[a]) for a, b in pairwise(order)]
    assert kl_along(model, codes, order) == pytest.approx(np.mean(steps), rel=1e-5)


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_costs_are_what_the_codec_expects_to_pay(levels: int, colours: int) -> None:
    model, images = tiny_model(levels, calm=True, colours=colours), random_pixels(0, 30, 5, 4, levels, colours)
    found = costs(model, images)
    assert (found.images, found.dims) == (30, 20 * colours)
    assert found.unordered == pytest.approx(element_bits(model, images).mean() * NATS)
    codes = encode(model, images)
    plan = GroupPlan(model, images, codes, np.arange(30))
    assert found.kl_unconditional == pytest.approx(latent_bits(plan, Way.UNORDERED) * NATS / 30)
    assert found.ordered == found.residual + found.kl_tour
    assert found.order == pytest.approx(sum(map(math.log, range(1, 31))) / 30)
    assert found.bits_a_dim(found.residual) == pytest.approx(found.residual / math.log(2) / found.dims)
    assert found.kl_neighbours.keys() == {1, 5, 10}
    assert costs(model, images[:3]).kl_neighbours[10] > 0  # of as many as there are
