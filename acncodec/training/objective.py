"""The training objective: the code length of an image in nats, residual and KL (ACN, equations 3 to 5)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acncodec.coding.theory import LEAST_PROBABILITY
from acncodec.exact.grids import (
    LATENT_BITS,
    LATENT_MAX,
    LOGIT_BITS,
    OFFSET_MAX,
    SPREAD_BITS,
    TONE_BITS,
    WIDTH_BITS,
    WIDTH_MIN,
)
from acncodec.nets.heads import Distribution, Logistics
from acncodec.nets.networks import Networks
from acncodec.nets.planes import to_planes
from acncodec.nets.prior import Mixture, PriorNetwork

_STEP = 2.0**-LATENT_BITS


def sample_offsets(codes: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Posterior samples minus codes, integers on the latent grid: rounded unit Gaussians cut at +-OFFSET_MAX."""
    noise = torch.randn(codes.shape, generator=generator, device=codes.device)
    return torch.round(noise / _STEP).clamp_(-OFFSET_MAX, OFFSET_MAX)


def residual_nats(distributions: list[Distribution], pixels: Tensor) -> Tensor:
    """-log r(x|z) summed over each image: distributions [N, H, W, ...] of each colour of pixels uint8 [N, H, W, colours].

    Returns [N], nats.
    """
    parts = [_value_nats(d, pixels[..., c]).flatten(1).sum(1) for c, d in enumerate(distributions)]
    return torch.stack(parts).sum(0)


def _value_nats(distribution: Distribution, values: Tensor) -> Tensor:
    """-log p of values uint8 [N, H, W]: [N, H, W], nats."""
    if isinstance(distribution, Logistics):
        return _logistics_nats(distribution, values)
    real = distribution.logits * 2.0**-LOGIT_BITS
    if real.shape[-1] == 2:
        margin = (real[..., 1] - real[..., 0]) * (1 - 2 * values.to(real.dtype))
        return F.softplus(margin)
    return F.cross_entropy(real.flatten(0, 2), values.flatten().long(), reduction="none").view(values.shape)


def _logistics_nats(mixture: Logistics, values: Tensor) -> Tensor:
    """-log p in nats under a mixture of discretised logistics, with the tails for 0 and 255 (PixelCNN++, equation 2)."""
    x = values.float()[..., None]
    steepness = torch.exp2(mixture.spreads * -(2.0**-SPREAD_BITS))
    centred = x - mixture.means * 2.0**-TONE_BITS
    below = torch.sigmoid((centred - 0.5) * steepness).masked_fill(x == 0, 0.0)
    upto = torch.sigmoid((centred + 0.5) * steepness).masked_fill(x == 255, 1.0)
    weights = torch.softmax(mixture.logits * 2.0**-LOGIT_BITS, -1)
    # As in the codec no value is impossible; without the floor an outlier's gradient would be unbounded.
    return -torch.log((weights * (upto - below)).sum(-1) + LEAST_PROBABILITY)


def log_density(z: Tensor, mixture: Mixture) -> Tensor:
    """log p(z) per dimension for latents [N, D] (latent grid) under mixtures [N, D, M]: [N, D], nats."""
    deviation_log = (mixture.widths + WIDTH_MIN) * (math.log(2) * 2.0**-WIDTH_BITS)
    standard = (z.unsqueeze(-1) - mixture.means) * _STEP * torch.exp(-deviation_log)
    components = torch.log_softmax(mixture.logits * 2.0**-LOGIT_BITS, -1) - 0.5 * standard**2 - deviation_log
    return torch.logsumexp(components, -1) - 0.5 * math.log(2 * math.pi)


def code_length(
    nets: Networks, codes: Tensor, pixels: Tensor, parents: Tensor, offsets: Tensor, offers: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Residual and KL [N], nats, of pixels uint8 [N, H, W, colours] with codes [N, code], and offers if any.

    `parents` [N, code] are neighbours' codes, `offsets` [N, code] posterior samples minus codes. The KL is its one-sample
    estimate log q(z|x) - log p(z|c), whose gradient reaches the encoder through the codes.
    """
    z = (codes + offsets).clamp(-LATENT_MAX, LATENT_MAX)
    latent_map = nets.map(z, *pixels.shape[1:3], exact=False)
    residual = residual_nats(nets.decode(pixels, latent_map, offers), pixels)
    log_q = (-0.5 * (offsets * _STEP) ** 2 - 0.5 * math.log(2 * math.pi)).sum(1)
    return residual, log_q + prior_nats(nets.prior, z, parents)


def prior_nats(prior: PriorNetwork, z: Tensor, parents: Tensor) -> Tensor:
    """-log p(z|c) of latents [N, code] (latent grid) given codes of parents [N, code]: [N], nats."""
    return -log_density(z.clamp(-LATENT_MAX, LATENT_MAX), prior(parents, exact=False)).sum(1)


class Objective(nn.Module):
    """Encoder and code length in one module, as DistributedDataParallel needs."""

    def __init__(self, nets: Networks, total: Callable[[Tensor], Tensor]) -> None:
        """`total` sums a tensor over all processes, with gradients."""
        super().__init__()
        self.nets, self._total = nets, total

    def forward(
        self,
        pixels: Tensor,
        parents: Tensor,
        offsets: Tensor,
        codes: Tensor | None = None,
        offers: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Residual and KL [N], nats, and the codes [N, code]: those given, else the encoder's, standardised."""
        if codes is None:
            codes, _ = self.nets.encoder.forward_standardised(to_planes(pixels, self.nets.arch), self._total)
        return *code_length(self.nets, codes, pixels, parents, offsets, offers), codes.detach()
