"""Theoretical cost of elements under a model, in bits, without coding them."""

from collections.abc import Sequence

import numpy as np
import torch

from acncodec.coding.candidates import along
from acncodec.coding.pixels import residual_prices
from acncodec.coding.protocol import encode
from acncodec.coding.theory import kl_bits, unconditional_kl_bits
from acncodec.exact.grids import LATENT_BITS, OFFSET_MAX
from acncodec.nets.model import Model
from acncodec.nets.networks import Networks
from acncodec.planning.schedule import Schedule, choose_lanes
from acncodec.planning.tour import plan_tour

BATCH = 1024  # codes per KL computation
PIXELS = 128 * 28 * 28  # of elements per pricing pass: some 500 MB without the kernel
SAMPLE_SEED = 0  # of the posterior samples


def posterior_offsets(shape: torch.Size) -> torch.Tensor:
    """Posterior samples minus codes, int16 of this shape, from a fixed seed: prices are reproducible."""
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64) * (1 << LATENT_BITS)
    return torch.round(noise).clamp_(-OFFSET_MAX, OFFSET_MAX).to(torch.int16)


def element_bits(model: Model, elements: np.ndarray, others: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Residual plus unconditional KL of elements uint8 [n, H, W, C], one posterior sample each: float64 [n], bits.

    Copy candidates, in models that have them, are as in a block of `others`, uint8 [m, h, w, C] of any sizes, and then the
    elements.
    """
    codes = torch.from_numpy(encode(model, elements))
    z = codes + posterior_offsets(codes.shape)
    latents = unconditional_kl_bits(codes, z, model.unconditional).numpy()
    offers = set_offers(model, elements, codes.numpy(), others)
    return residuals(model.networks, elements, z.numpy(), offers) + latents


def element_residuals(model: Model, elements: np.ndarray, codes: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Theoretical residual of elements uint8 [n, H, W, C] given codes and latents int16 [n, D]: float64 [n], bits."""
    return residuals(model.networks, elements, z, set_offers(model, elements, codes))


def set_offers(
    model: Model, elements: np.ndarray, codes: np.ndarray, others: Sequence[np.ndarray] = ()
) -> np.ndarray | None:
    """Offers for elements uint8 [n, H, W, C] along a tour of their codes int16 [n, D], in a block after `others`.

    Returns uint8 [n, H, W, OFFERS, C + 1], None for models without them.
    """
    if not model.arch.candidates:
        return None
    count, height, width, colours = elements.shape
    schedule = Schedule(count, choose_lanes(count, height * width, colours, conditional=True))
    tour = plan_tour(codes, schedule)
    return along(elements[tour], schedule, others)[np.argsort(tour)]


def residuals(networks: Networks, elements: np.ndarray, z: np.ndarray, offers: np.ndarray | None = None) -> np.ndarray:
    """Theoretical residual of elements uint8 [n, H, W, C] given latents int16 [n, D] and offers, in batches.

    Returns float64 [n], bits.
    """
    size = max(1, PIXELS // (elements.shape[1] * elements.shape[2]))
    parts = [slice(start, start + size) for start in range(0, len(elements), size)]
    told = [None if offers is None else offers[part] for part in parts]
    return np.concatenate([residual_prices(elements[p], z[p], networks, of) for p, of in zip(parts, told, strict=True)])


def parent_bits(networks: Networks, codes: torch.Tensor, parents: torch.Tensor) -> np.ndarray:
    """The KL of codes [N, D] given their parents' [N, D], integers of any type: float64 [N], bits."""
    found = np.empty(len(codes))
    for start in range(0, len(codes), BATCH):
        part = slice(start, start + BATCH)
        mixture = networks.mixture(parents[part].to(networks.device, torch.float32))
        found[part] = kl_bits(codes[part].to(networks.device), mixture).cpu().numpy()
    return found
