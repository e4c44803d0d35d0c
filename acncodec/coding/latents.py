"""Push and pop of latents: under the posterior, under the prior network, under the unconditional prior."""

import numpy as np
import torch

from acncodec.coding.frequencies import (
    component_frequencies,
    component_mixture,
    latent_frequencies,
    posterior_frequencies,
)
from acncodec.coding.stack import Stack, Symbols
from acncodec.coding.stacks import Slices
from acncodec.coding.theory import kl_bits, unconditional_kl_bits
from acncodec.errors import DamagedError
from acncodec.exact.grids import LATENT_LEVELS, LATENT_MAX, OFFSET_MAX
from acncodec.nets.model import Model
from acncodec.nets.prior import Mixture


def pop_posterior(stack: Stack | Slices, codes: np.ndarray) -> np.ndarray:
    """Alice: draw z ~ q(z|x) from the stack's bits; codes int16 [n, D] -> latents int16 [n, D]."""
    symbols = stack.pop_shared(codes.size, posterior_frequencies())
    return codes + (symbols - OFFSET_MAX).astype(np.int16).reshape(codes.shape)


def push_posterior(stack: Stack | Slices, z: np.ndarray, codes: np.ndarray) -> None:
    """Bob: return to the stack the bits that drew z. Raises DamagedError if z is outside the posterior's support."""
    symbols = (z - codes).astype(np.int32) + OFFSET_MAX
    if symbols.min() < 0 or symbols.max() > 2 * OFFSET_MAX:
        raise DamagedError("a latent lies outside its posterior; the archive is damaged")
    stack.push_shared(symbols.ravel(), posterior_frequencies())


def push_prior(stack: Stack | Slices, z: np.ndarray, codes: np.ndarray, model: Model, parents: np.ndarray | None) -> float:
    """Alice: z int16 [n, D] under p(z|c) given the parents' codes int16 [n, D], or under p(z) if there are none.

    Returns the theoretical cost net of the bits that drew z from q(z|x) around `codes`: the KL, in bits.
    """
    if parents is not None:
        mixture = _prior_mixture(model, parents)
        push_mixture(stack, z, mixture)
        return float(kl_bits(model.networks.tensor(codes), mixture).sum())
    prior = model.unconditional
    k = stack.pop(component_frequencies(prior, z))  # bits-back for the component
    push_mixture(stack, z, component_mixture(prior, k, model.networks.device))
    stack.push_shared(k, prior.weights.numpy().astype(np.float64))
    return float(unconditional_kl_bits(torch.from_numpy(codes), torch.from_numpy(z), prior).sum())


def pop_prior(stack: Symbols, count: int, model: Model, parents: np.ndarray | None) -> np.ndarray:
    """Bob: `count` latents int16 [count, D] under p(z|c) given the parents' codes, or under p(z) if there are none."""
    if parents is not None:
        return pop_mixture(stack, _prior_mixture(model, parents))
    prior = model.unconditional
    k = stack.pop_shared(count, prior.weights.numpy().astype(np.float64))
    z = pop_mixture(stack, component_mixture(prior, k, model.networks.device))
    stack.push(k, component_frequencies(prior, z))
    return z


def push_mixture(stack: Stack | Slices, z: np.ndarray, mixture: Mixture) -> None:
    """Alice: z int16 [n, D] under mixtures [n, D, components]."""
    stack.push(z.ravel().astype(np.int32) + LATENT_MAX, _rows(mixture))


def pop_mixture(stack: Symbols, mixture: Mixture) -> np.ndarray:
    """Bob: latents int16 [n, D] under mixtures [n, D, components]."""
    symbols = stack.pop(_rows(mixture))
    return (symbols - LATENT_MAX).astype(np.int16).reshape(mixture.means.shape[:2])


def _rows(mixture: Mixture) -> np.ndarray:
    """Frequencies of every dimension of every latent, one row each: float64 [n * D, LATENT_LEVELS]."""
    return latent_frequencies(mixture).view(-1, LATENT_LEVELS).to("cpu", torch.float64).numpy()


def _prior_mixture(model: Model, parents: np.ndarray) -> Mixture:
    return model.networks.mixture(model.networks.tensor(parents))
