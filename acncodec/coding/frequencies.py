"""From the networks' integers to integer frequencies, by table look-up; nothing here is floating point at heart."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from acncodec.exact.grids import FREQUENCY_BITS, LATENT_LEVELS, LATENT_MAX
from acncodec.exact.tables import exp_table, gaussian_table, posterior_table
from acncodec.nets.model import UnconditionalPrior
from acncodec.nets.prior import Mixture


@cache
def _on(device: torch.device) -> tuple[Tensor, Tensor]:
    exp = torch.from_numpy(exp_table()).to(device)
    gaussian = torch.from_numpy(gaussian_table()).to(device, torch.int64)
    return exp, gaussian


def softmax(logits: Tensor) -> Tensor:
    """exp(logit - largest logit) on a scale of 2^20, at least 1: integer logits [..., K] -> int32 [..., K]."""
    below = logits.amax(-1, keepdim=True) - logits
    return _on(logits.device)[0].index_select(0, below.to(torch.int32).flatten()).view(logits.shape)


def digits(levels: int) -> tuple[int, ...]:
    """A pixel is coded as digits, each under few frequencies: one binary digit, or two of base 16."""
    return (2,) if levels == 2 else (16, 16)


def first_digit(frequencies: Tensor) -> Tensor:
    """Frequencies of the leading digit: [..., levels] -> [..., base]."""
    if frequencies.shape[-1] == 2:
        return frequencies
    return frequencies.unflatten(-1, (16, 16)).sum(-1, dtype=torch.int32)


def second_digit(frequencies: Tensor, first: Tensor) -> Tensor:
    """Frequencies of the second digit given the first [...]: [..., 256] -> [..., 16]."""
    grouped = frequencies.unflatten(-1, (16, 16))
    index = first.long()[..., None, None].expand(*first.shape, 1, 16)
    return grouped.gather(-2, index).squeeze(-2)


def latent_frequencies(mixture: Mixture) -> Tensor:
    """Frequencies of every latent value, -LATENT_MAX first: mixtures [..., M] -> int64 [..., LATENT_LEVELS].

    Sum over components of weight (2^20 at most) times Gaussian (2^20 at most): exact in int64 and in float64.
    """
    weights = softmax(mixture.logits).to(torch.int64)
    # Column of the table at which the latent -LATENT_MAX lies for each component; the others follow.
    start = LATENT_MAX - mixture.means.long()
    row = mixture.widths.long()
    table = _on(mixture.logits.device)[1]
    flat = row * table.shape[1] + start
    offsets = torch.arange(LATENT_LEVELS, device=flat.device)
    total = torch.zeros(*flat.shape[:-1], LATENT_LEVELS, dtype=torch.int64, device=flat.device)
    for m in range(flat.shape[-1]):  # one component at a time keeps the gathered table small
        total += weights[..., m, None] * table.view(-1)[flat[..., m, None] + offsets]
    return total


def posterior_frequencies() -> np.ndarray:
    """Frequencies of latent minus code, -OFFSET_MAX first: float64 [2 * OFFSET_MAX + 1], integers."""
    return posterior_table().astype(np.float64)


def component_frequencies(prior: UnconditionalPrior, z: np.ndarray) -> np.ndarray:
    """Frequencies of the component that a latent came from, p(k|z) up to rounding: z int [n, D] -> float64 [n, K].

    Any distribution decodes; the nearer to the true p(k|z), the fewer bits the component costs.
    """
    logs = _log_gaussian()
    means, rows = prior.means.numpy().astype(np.int64), prior.widths.numpy().astype(np.int64)
    score = np.zeros((len(z), len(means)), dtype=np.int64)
    for d in range(z.shape[1]):
        score += logs[rows[:, d], z[:, d, None] - means[:, d] + 2 * LATENT_MAX]
    below = np.minimum(score.max(1, keepdims=True) - score, len(exp_table()) - 1)
    return exp_table()[below].astype(np.float64) * prior.weights.numpy()


@cache
def _log_gaussian() -> np.ndarray:
    """Natural logarithm of the Gaussian table in steps of 1/32, by search in the exp table: int64, same shape."""
    falling = exp_table()[: int(np.argmax(exp_table() == 1)) + 1]
    steps = np.searchsorted(-falling, -gaussian_table())
    assert FREQUENCY_BITS == 20  # both tables share one scale
    return -steps.astype(np.int64)


def component_mixture(prior: UnconditionalPrior, k: np.ndarray, device: torch.device) -> Mixture:
    """The Gaussians of components k int [n] as mixtures of one: [n, D, 1]."""
    index = torch.from_numpy(np.asarray(k, dtype=np.int64))
    means = prior.means[index].to(device, torch.float32)[..., None]
    widths = prior.widths[index].to(device, torch.float32)[..., None]
    return Mixture(torch.zeros_like(means), means, widths)
