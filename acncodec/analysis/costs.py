"""Theoretical cost of images under a model, in nats: the terms of ACN's Tables 1, 2 and 4 to 7."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from acncodec.coding.element_costs import element_residuals, parent_bits, posterior_offsets
from acncodec.coding.protocol import encode
from acncodec.coding.theory import unconditional_kl_bits
from acncodec.exact.precision import full_precision
from acncodec.nets.model import Model
from acncodec.planning.neighbours import nearest_others
from acncodec.planning.schedule import Schedule
from acncodec.planning.tour import DEFAULT_EFFORT, plan_tour

NEIGHBOURS = (1, 5, 10)  # K of Table 1
GREEDY = 1  # the effort whose tour is the paper's: always to the nearest unvisited image
NATS = math.log(2)  # per bit


@dataclass(frozen=True)
class Costs:
    """Means over images of `dims` values each, nats an image.

    `kl_neighbours` is by K the KL from one of the K nearest images, chosen uniformly; `kl_greedy` and `kl_tour` are the KL
    along a greedy and an improved tour, without the first image; `kl_unconditional` is the KL under the unconditional
    prior. `order` is ln(N!) / N: the most by which a set can cost less than a sequence.
    """

    images: int
    dims: int
    residual: float
    kl_neighbours: dict[int, float]
    kl_greedy: float
    kl_tour: float
    kl_unconditional: float

    @property
    def order(self) -> float:
        return math.lgamma(self.images + 1) / self.images

    @property
    def ordered(self) -> float:
        """Residual and KL along the improved tour."""
        return self.residual + self.kl_tour

    @property
    def unordered(self) -> float:
        """Residual and unconditional KL."""
        return self.residual + self.kl_unconditional

    def bits_a_dim(self, nats: float) -> float:
        return nats / (NATS * self.dims)


@full_precision()
def costs(model: Model, images: np.ndarray, effort: int = DEFAULT_EFFORT) -> Costs:
    """The costs of images uint8 [N, H, W, colours], N at least 2; `effort` is the improved tour's."""
    codes = encode(model, images)
    z = (codes + posterior_offsets(torch.Size(codes.shape)).numpy()).astype(np.int16)
    residual = float(element_residuals(model, images, codes, z).sum())
    unconditional = unconditional_kl_bits(torch.from_numpy(codes), torch.from_numpy(z), model.unconditional)
    return Costs(
        images=len(images),
        dims=images[0].size,
        residual=residual * NATS / len(images),
        kl_neighbours=kl_to_neighbours(model, codes, NEIGHBOURS),
        kl_greedy=kl_along(model, codes, plan_tour(codes, Schedule(len(codes), 1), GREEDY)),
        kl_tour=kl_along(model, codes, plan_tour(codes, Schedule(len(codes), 1), effort)),
        kl_unconditional=float(unconditional.mean()) * NATS,
    )


def kl_to_neighbours(model: Model, codes: np.ndarray, counts: tuple[int, ...]) -> dict[int, float]:
    """Mean KL of codes int16 [N, D] from the K nearest others, by K: nats an image."""
    children = np.arange(len(codes))
    others = nearest_others(codes, children, max(counts))
    by_rank = [_mean_kl(model, codes, children, parents) for parents in others.T]
    return {k: float(np.mean(by_rank[:k])) for k in counts}


def kl_along(model: Model, codes: np.ndarray, order: np.ndarray) -> float:
    """Mean KL between consecutive codes int16 [N, D] in an order, int64 [N]: nats an image, without the first."""
    return _mean_kl(model, codes, order[1:], order[:-1])


def _mean_kl(model: Model, codes: np.ndarray, children: np.ndarray, parents: np.ndarray) -> float:
    known, asked = torch.from_numpy(codes[parents]), torch.from_numpy(codes[children])
    return float(parent_bits(model.networks, asked, known).sum()) * NATS / len(children)
