"""Integer frequencies from the networks' integer outputs, by table look-up; floats here hold exact integers."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from acncodec.exact.grids import (
    BASE,
    CUMULATIVE_BITS,
    FREQUENCY_BITS,
    FREQUENCY_FLOOR,
    LATENT_LEVELS,
    LATENT_MAX,
    SLOPE_MAX,
    SPREAD_MIN,
    STEEPNESS_BITS,
    TONE_BITS,
)
from acncodec.exact.tables import exp_table, gaussian_table, logistic_table, posterior_table, steepness_table
from acncodec.nets.heads import Distribution, Logistics, Softmax
from acncodec.nets.model import UnconditionalPrior
from acncodec.nets.prior import Mixture


@cache
def _on(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    exp = torch.from_numpy(exp_table()).to(device)
    gaussian = torch.from_numpy(gaussian_table()).to(device, torch.float64)
    steepness = torch.from_numpy(steepness_table()).to(device)
    # One extra entry at each end: the cumulative frequency below all values (0) and above them (2^22).
    logistic = np.concatenate([[0], logistic_table(), [1 << CUMULATIVE_BITS]]).astype(np.float64)
    return exp, gaussian, steepness, torch.from_numpy(logistic).to(device)


def softmax(logits: Tensor) -> Tensor:
    """exp(logit - largest logit) on a scale of 2^20, at least 1: integer logits [..., K] -> int32 [..., K]."""
    below = logits.amax(-1, keepdim=True) - logits
    return _on(logits.device)[0].index_select(0, below.to(torch.int32).flatten()).view(logits.shape)


_ROWS = 1024  # of logistics per batch on the CPU: the gathered tables fit the cache
_ROWS_ON_DEVICE = 1 << 17  # per batch on a GPU, where fewer operations matter more: some 300 MB a table
_LATENTS = 128  # latent dimensions per batch on the CPU, likewise
_LATENTS_ON_DEVICE = 1 << 14


def digits(levels: int) -> tuple[int, ...]:
    """Bases of the digits that a value is coded as, the leading digit first."""
    return (2,) if levels == 2 else (BASE, BASE)


class SoftmaxTable:
    """Frequencies of a value's digits under a softmax [..., levels]."""

    def __init__(self, distribution: Softmax) -> None:
        self._frequencies = softmax(distribution.logits)

    def first(self) -> Tensor:
        """Frequencies of the leading digit: int32 [..., base]."""
        if self._frequencies.shape[-1] == 2:
            return self._frequencies
        return self._frequencies.unflatten(-1, (BASE, BASE)).sum(-1, dtype=torch.int32)

    def second(self, first: Tensor) -> Tensor:
        """Frequencies of the second digit given the first [...]: int32 [..., base]."""
        grouped = self._frequencies.unflatten(-1, (BASE, BASE))
        index = first.long()[..., None, None].expand(*first.shape, 1, BASE)
        return grouped.gather(-2, index).squeeze(-2)


class LogisticsTable:
    """Frequencies of a value's digits under a mixture of logistics: differences of its CDF."""

    def __init__(self, mixture: Logistics) -> None:
        _, _, steepness, self._logistic = _on(mixture.logits.device)
        components = mixture.logits.shape[-1]
        self._shape = mixture.logits.shape[:-1]
        self._weights = softmax(mixture.logits).to(torch.float64).view(-1, components, 1)
        self._means = mixture.means.to(torch.int32).view(-1, 1, components)
        rows = (mixture.spreads - SPREAD_MIN).to(torch.int32).flatten()
        self._steepness = steepness.index_select(0, rows).view(-1, 1, components)
        self._digits = torch.arange(BASE + 1, device=rows.device, dtype=torch.int32)

    def first(self) -> Tensor:
        """Frequencies of the leading digit: float64 [..., base], integers below 2^48."""
        return self._between((BASE * self._digits).expand(len(self._means), -1))

    def second(self, first: Tensor) -> Tensor:
        """Frequencies of the second digit given the first [...]: float64 [..., base], integers below 2^48."""
        return self._between(BASE * first.to(torch.int32).view(-1, 1) + self._digits)

    def _between(self, values: Tensor) -> Tensor:
        """Frequencies between consecutive `values` int32 [rows, base + 1], each interval half a level lower."""
        rows = _ROWS if values.device.type == "cpu" else _ROWS_ON_DEVICE
        parts = zip(*(t.split(rows) for t in (values, self._means, self._steepness, self._weights)), strict=True)
        cumulative = [self._cumulative(*part) for part in parts]
        return torch.cat(cumulative).diff(dim=-1).add_(FREQUENCY_FLOOR).view(*self._shape, BASE)

    def _cumulative(self, values: Tensor, means: Tensor, steepness: Tensor, weights: Tensor) -> Tensor:
        edges = (values << TONE_BITS) - (1 << (TONE_BITS - 1))
        x = (edges.unsqueeze(-1) - means).mul_(steepness).add_(1 << (STEEPNESS_BITS - 1))
        x = x.bitwise_right_shift_(STEEPNESS_BITS).clamp_(-SLOPE_MAX, SLOPE_MAX)
        # The first and the last value take the tails.
        x.masked_fill_((values == 0).unsqueeze(-1), -SLOPE_MAX - 1)
        x.masked_fill_((values == BASE * BASE).unsqueeze(-1), SLOPE_MAX + 1)
        reached = self._logistic.index_select(0, x.add_(SLOPE_MAX + 1).flatten()).view(x.shape)
        # Sums of integers below 2^53: exact in float64 in any order.
        return torch.bmm(reached, weights).squeeze(-1)


def table(distribution: Distribution) -> SoftmaxTable | LogisticsTable:
    """The table of digit frequencies for a distribution."""
    return LogisticsTable(distribution) if isinstance(distribution, Logistics) else SoftmaxTable(distribution)


def latent_frequencies(mixture: Mixture) -> Tensor:
    """Frequencies of every latent value, -LATENT_MAX first: mixtures [..., M] -> float64 [..., LATENT_LEVELS], integers.

    Sum over components of weight (2^20 at most) times Gaussian (2^20 at most): exact in float64 in any order.
    """
    device = mixture.logits.device
    weights = softmax(mixture.logits).double().flatten(0, -2).unsqueeze(1)
    # A component's share in all latents is a slice of the Gaussian table: the width selects the row, the mean the start.
    windows = _on(device)[1].unfold(1, LATENT_LEVELS, 1)
    widths, starts = mixture.widths.long().flatten(0, -2), (LATENT_MAX - mixture.means.long()).flatten(0, -2)
    total = torch.empty(len(weights), 1, LATENT_LEVELS, dtype=torch.float64, device=device)
    rows = _LATENTS if device.type == "cpu" else _LATENTS_ON_DEVICE
    for weight, width, start, out in zip(*(x.split(rows) for x in (weights, widths, starts, total)), strict=True):
        torch.bmm(weight, windows[width, start], out=out)
    return total.view(*mixture.logits.shape[:-1], LATENT_LEVELS)


def posterior_frequencies() -> np.ndarray:
    """Frequencies of latent minus code, -OFFSET_MAX first: float64 [2 * OFFSET_MAX + 1], integers."""
    return posterior_table().astype(np.float64)


def component_frequencies(prior: UnconditionalPrior, z: np.ndarray) -> np.ndarray:
    """Frequencies of the mixture component given a latent, p(k|z) up to rounding: z int [n, D] -> float64 [n, K].

    Any distribution decodes correctly; the nearer it is to p(k|z), the fewer bits the component costs.
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
    """Components k int [n] as single-Gaussian mixtures: [n, D, 1]."""
    index = torch.from_numpy(np.asarray(k, dtype=np.int64))
    means = prior.means[index].to(device, torch.float32)[..., None]
    widths = prior.widths[index].to(device, torch.float32)[..., None]
    return Mixture(torch.zeros_like(means), means, widths)
