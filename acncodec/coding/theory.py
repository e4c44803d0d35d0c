"""Theoretical cost of coding: residual and KL in float64 from the formulas, independent of tables and coder.

The ledger shows these beside the bits written.
"""

import math
from functools import cache

import torch
from torch import Tensor

from acncodec.exact.grids import (
    LATENT_BITS,
    LATENT_MAX,
    LOGIT_BITS,
    OFFSET_MAX,
    SPREAD_BITS,
    TONE_BITS,
    WIDTH_BITS,
    WIDTH_MIN,
    WIDTHS,
)
from acncodec.nets.heads import Distribution, Logistics
from acncodec.nets.model import UnconditionalPrior
from acncodec.nets.prior import Mixture

LEAST_PROBABILITY = 2.0**-28  # floor for a value: 2^-24, the coder's precision, for its first digit, 1/16 for its second
_STEP = 2.0**-LATENT_BITS
_LOG2_E = 1 / math.log(2)
_AT_ONCE = 64  # codes per batch, so that it fits the cache


def residual_bits(distributions: list[Distribution], pixels: Tensor) -> Tensor:
    """-log2 r(x|z) of each image: a distribution [N, H, W, ...] for each colour of pixels uint8 [N, H, W, colours].

    Returns float64 [N], bits.
    """
    total = torch.zeros(len(pixels), dtype=torch.float64, device=pixels.device)
    for colour, distribution in enumerate(distributions):
        total += value_bits(distribution, pixels[..., colour]).flatten(1).sum(1)
    return total


def value_bits(distribution: Distribution, values: Tensor) -> Tensor:
    """-log2 p of values uint8 [...] under distributions [..., K]: float64 [...], bits."""
    if isinstance(distribution, Logistics):
        return -torch.log2(_logistics_probability(distribution, values))
    real = distribution.logits.double() * 2.0**-LOGIT_BITS
    chosen = real.gather(-1, values.long().unsqueeze(-1)).squeeze(-1)
    return (torch.logsumexp(real, -1) - chosen) * _LOG2_E


def _logistics_probability(mixture: Logistics, values: Tensor) -> Tensor:
    """The mixture's mass within half a level of the values, with the tails for 0 and 255 (PixelCNN++, eq. 2).

    LEAST_PROBABILITY is added to every value.
    """
    x = values.double()[..., None]
    centred = x - mixture.means.double() * 2.0**-TONE_BITS
    steepness = torch.exp2(mixture.spreads.double() * -(2.0**-SPREAD_BITS))
    below = torch.sigmoid((centred - 0.5) * steepness).masked_fill(x == 0, 0.0)
    upto = torch.sigmoid((centred + 0.5) * steepness).masked_fill(x == 255, 1.0)
    weights = torch.softmax(mixture.logits.double() * 2.0**-LOGIT_BITS, -1)
    return (weights * (upto - below)).sum(-1) + LEAST_PROBABILITY


def kl_bits(codes: Tensor, mixture: Mixture) -> Tensor:
    """KL(q(z|x) || p(z|c)) for codes [N, D] and mixtures [N, D, M]: float64 [N], bits.

    The expectation is a sum over the posterior's support. ACN, equation 4.
    """
    offsets = torch.arange(-OFFSET_MAX, OFFSET_MAX + 1, device=codes.device)
    log_q = torch.log_softmax(-0.5 * (offsets.double() * _STEP) ** 2, 0)
    found = torch.empty(len(codes), dtype=torch.float64, device=codes.device)
    for i in range(0, len(codes), _AT_ONCE):
        part = slice(i, i + _AT_ONCE)
        log_p = _log_densities(codes[part], Mixture(*(p[part] for p in mixture))) + math.log(_STEP)
        found[part] = (log_q.exp() * (log_q - log_p)).sum((-1, -2)) * _LOG2_E
    return found


def unconditional_kl_bits(codes: Tensor, z: Tensor, prior: UnconditionalPrior) -> Tensor:
    """log2 q(z|x) - log2 p(z) at posterior samples z [N, D] of codes [N, D]: float64 [N], bits.

    An unbiased estimate of KL(q(z|x) || p(z)), which has no closed form.
    """
    offsets = torch.arange(-OFFSET_MAX, OFFSET_MAX + 1, dtype=torch.float64)
    normaliser = torch.logsumexp(-0.5 * (offsets * _STEP) ** 2, 0)
    log_q = (-0.5 * ((z.double() - codes.double()) * _STEP) ** 2 - normaliser).sum(1)
    log_pi = torch.log(prior.weights.double() / prior.weights.double().sum())
    log_deviation = (prior.widths.double() + WIDTH_MIN) * (math.log(2) * 2.0**-WIDTH_BITS)
    standard = (z.double()[:, None] - prior.means.double()) * _STEP * torch.exp(-log_deviation)
    per_dimension = -0.5 * standard**2 - log_deviation - 0.5 * math.log(2 * math.pi) + math.log(_STEP)
    return (log_q - torch.logsumexp(log_pi + per_dimension.sum(-1), -1)) * _LOG2_E


def _log_densities(codes: Tensor, mixture: Mixture) -> Tensor:
    """log p(z) in nats of all latents z in the support of the posteriors around `codes` [N, D]: float64 [N, D, offsets]."""
    windows = _densities(codes.device).unfold(1, 2 * OFFSET_MAX + 1, 1)
    weights = torch.softmax(mixture.logits.double() * 2.0**-LOGIT_BITS, -1).unsqueeze(-2)
    first = codes.long().unsqueeze(-1) - OFFSET_MAX - mixture.means.long() + 2 * LATENT_MAX
    return torch.log(weights @ windows[mixture.widths.long(), first]).squeeze(-2)


@cache
def _densities(device: torch.device) -> Tensor:
    """Gaussian densities of every width at every difference of a latent and a mean: float64 [widths, differences].

    Cached, since each image needs them a hundred times. The smallest is some 1e-269, so none is zero.
    """
    deviation = torch.exp2((torch.arange(WIDTHS, device=device) + WIDTH_MIN).double() * 2.0**-WIDTH_BITS)[:, None]
    difference = torch.arange(-2 * LATENT_MAX, 2 * LATENT_MAX + 1, device=device).double() * _STEP
    return torch.exp(-0.5 * (difference / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
