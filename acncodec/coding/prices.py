"""Theoretical cost of elements under a model, in bits, without coding them."""

import numpy as np
import torch

from acncodec.coding.pixels import residual_prices
from acncodec.coding.protocol import encode
from acncodec.coding.theory import kl_bits, unconditional_kl_bits
from acncodec.exact.grids import LATENT_BITS, OFFSET_MAX
from acncodec.nets.model import Model
from acncodec.nets.networks import Networks

BATCH = 1024  # codes per KL computation
PIXELS = 128 * 28 * 28  # of elements per pricing pass: some 500 MB without the kernel
SAMPLE_SEED = 0  # of the posterior samples


def posterior_offsets(shape: torch.Size) -> torch.Tensor:
    """Posterior samples minus codes, int16 of this shape, from a fixed seed: prices are reproducible."""
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64) * (1 << LATENT_BITS)
    return torch.round(noise).clamp_(-OFFSET_MAX, OFFSET_MAX).to(torch.int16)


def element_bits(model: Model, elements: np.ndarray) -> np.ndarray:
    """Residual plus unconditional KL of elements uint8 [n, H, W, C], one posterior sample each: float64 [n], bits."""
    codes = torch.from_numpy(encode(model, elements))
    z = codes + posterior_offsets(codes.shape)
    latents = unconditional_kl_bits(codes, z, model.unconditional).numpy()
    return element_residuals(model, elements, z.numpy()) + latents


def element_residuals(model: Model, elements: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Theoretical residual of elements uint8 [n, H, W, C] given latents int16 [n, D], in batches: float64 [n], bits."""
    size = max(1, PIXELS // (elements.shape[1] * elements.shape[2]))
    parts = [slice(start, start + size) for start in range(0, len(elements), size)]
    return np.concatenate([residual_prices(elements[part], z[part], model.networks) for part in parts])


def parent_bits(networks: Networks, codes: torch.Tensor, parents: torch.Tensor) -> np.ndarray:
    """The KL of codes [N, D] given their parents' [N, D], integers of any type: float64 [N], bits."""
    found = np.empty(len(codes))
    for start in range(0, len(codes), BATCH):
        part = slice(start, start + BATCH)
        mixture = networks.mixture(parents[part].to(networks.device, torch.float32))
        found[part] = kl_bits(codes[part].to(networks.device), mixture).cpu().numpy()
    return found
