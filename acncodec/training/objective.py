"""The training objective: the code length of an image in nats, residual and KL (ACN, equations 3 to 5)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from acncodec.exact.grids import LATENT_BITS, LATENT_MAX, LOGIT_BITS, OFFSET_MAX, WIDTH_BITS, WIDTH_MIN
from acncodec.nets.networks import Networks
from acncodec.nets.planes import to_planes
from acncodec.nets.prior import Mixture

_STEP = 2.0**-LATENT_BITS


def sample_offsets(codes: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Posterior samples minus codes, integers on the latent grid: rounded unit Gaussians cut at +-OFFSET_MAX."""
    noise = torch.randn(codes.shape, generator=generator, device=codes.device)
    return torch.round(noise / _STEP).clamp_(-OFFSET_MAX, OFFSET_MAX)


def residual_nats(logits: Tensor, pixels: Tensor) -> Tensor:
    """-log r(x|z) summed over each image: logits [N, H, W, levels] (1/32 nat), pixels uint8 [N, H, W] -> [N], nats."""
    real = logits * 2.0**-LOGIT_BITS
    if real.shape[-1] == 2:
        margin = (real[..., 1] - real[..., 0]) * (1 - 2 * pixels.to(real.dtype))
        return F.softplus(margin).flatten(1).sum(1)
    losses = F.cross_entropy(real.flatten(0, 2), pixels.flatten().long(), reduction="none")
    return losses.view(len(pixels), -1).sum(1)


def log_density(z: Tensor, mixture: Mixture) -> Tensor:
    """log p(z) per dimension for latents [N, D] (latent grid) under mixtures [N, D, M]: [N, D], nats."""
    deviation_log = (mixture.widths + WIDTH_MIN) * (math.log(2) * 2.0**-WIDTH_BITS)
    standard = (z.unsqueeze(-1) - mixture.means) * _STEP * torch.exp(-deviation_log)
    components = torch.log_softmax(mixture.logits * 2.0**-LOGIT_BITS, -1) - 0.5 * standard**2 - deviation_log
    return torch.logsumexp(components, -1) - 0.5 * math.log(2 * math.pi)


def code_length(nets: Networks, pixels: Tensor, parents: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Residual and KL [N], nats, for pixels uint8 [N, H, W]; and the standardised codes [N, code].

    `parents` [N, code] are neighbours' codes, or empty to leave the KL to the caller; `offsets` [N, code] are posterior
    samples minus codes. The KL is its one-sample estimate log q(z|x) - log p(z|c), whose gradient reaches the encoder.
    """
    planes = to_planes(pixels, nets.arch.levels)
    codes, _ = nets.encoder.forward_standardised(planes)
    z = (codes + offsets).clamp(-LATENT_MAX, LATENT_MAX)
    latent_map = nets.map(z, *pixels.shape[1:], exact=False)
    residual = residual_nats(nets.decoder(planes, latent_map, exact=False), pixels)
    log_q = -0.5 * (offsets * _STEP) ** 2 - 0.5 * math.log(2 * math.pi)
    log_p = log_density(z, nets.prior(parents, exact=False))
    return residual, (log_q - log_p).sum(1), codes.detach()
