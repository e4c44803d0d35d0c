"""Beyond the paper: what order is worth in real files, and what more of the past would tell."""

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acncodec.analysis.costs import NATS, kl_along
from acncodec.archive import header as head
from acncodec.codec.compress import Options, compress
from acncodec.codec.plan import Way
from acncodec.coding.protocol import encode
from acncodec.exact.grids import LATENT_BITS, OFFSET_MAX
from acncodec.nets.model import Model
from acncodec.planning.schedule import Schedule
from acncodec.planning.tour import DEFAULT_EFFORT, plan_tour
from benchmarks.data import write_pngs

KEPT = 3  # codes of the past that are tried
HIDDEN, MIXTURE = 256, 8
STEPS, BATCH, RATE = 4000, 256, 1e-3
NOISES = 8  # posterior samples a code, to measure
STEP = 2.0**-LATENT_BITS


def file_bits(model: Model, images: np.ndarray) -> dict[str, Any]:
    """Bits an image of real files of 1-bit images uint8 [N, H, W], and the multiset bound: the unordered less log2 N!."""
    count = len(images)
    found: dict[str, Any] = {"images": count}
    with tempfile.TemporaryDirectory() as folder:
        root, target = Path(folder, "images"), Path(folder, "archive")
        write_pngs(images, None, root, bilevel=True)
        for name, way in (("along a tour", Way.TOUR), ("unordered", Way.UNORDERED)):
            options = Options(names=head.NAMES_DROP, way=way, overwrite=True)
            found[name] = 8 * compress(root, target, [model], options, lambda *_: lambda done: None).size / count
    order = math.lgamma(count + 1) / math.log(2) / count
    found["order is worth"] = order
    found["multiset bound"] = found["unordered"] - order
    found["saved by the tour"] = found["unordered"] - found["along a tour"]
    return found


def tours(model: Model, images: np.ndarray) -> list[dict[str, Any]]:
    """KL along tours of rising effort, nats an image."""
    codes = encode(model, images)
    rows = []
    for effort in (1, 2, DEFAULT_EFFORT, 7, 8):
        tour = plan_tour(codes, Schedule(len(codes), 1), effort)
        rows.append({"effort": "1, greedy" if effort == 1 else str(effort), "KL": kl_along(model, codes, tour)})
    return rows


def contexts(codes: np.ndarray) -> dict[str, np.ndarray]:
    """What Bob may know of an image, by name: codes int16 [N, D] in the order of a tour -> float32 [N - KEPT, k * D].

    The codes before it; or the one before and, of all sent earlier, those nearest to that one.
    """
    earlier = [codes[KEPT - 1 - i : len(codes) - 1 - i] for i in range(KEPT)]
    near = _nearest_earlier(codes)
    return {
        "the one before": earlier[0].astype(np.float32),
        f"the {KEPT} before": np.concatenate(earlier, 1).astype(np.float32),
        f"the one before and the {KEPT - 1} sent nearest to it": np.concatenate(
            [earlier[0], *(codes[near[:, i]] for i in range(KEPT - 1))], 1
        ).astype(np.float32),
    }


def _nearest_earlier(codes: np.ndarray) -> np.ndarray:
    """For each image from KEPT on, of those sent before its parent the nearest to that: int64 [N - KEPT, KEPT - 1]."""
    values = codes.astype(np.float32)
    norms = np.square(values).sum(1)
    found = np.empty((len(codes) - KEPT, KEPT - 1), np.int64)
    for start in range(KEPT, len(codes), 512):
        children = np.arange(start, min(start + 512, len(codes)))
        parents = children - 1
        distances = norms - 2 * values[parents] @ values.T
        distances[np.arange(len(codes)) >= parents[:, None]] = np.inf
        found[children - KEPT] = np.argpartition(distances, KEPT - 1, 1)[:, : KEPT - 1]
    return found


class Prior(nn.Module):
    """As the prior network, in floating point and of any input: a mixture of Gaussians for every dimension."""

    def __init__(self, inputs: int, dims: int) -> None:
        super().__init__()
        self.dims = dims
        self.first, self.second = nn.Linear(inputs, HIDDEN), nn.Linear(inputs + HIDDEN, HIDDEN)
        self.out = nn.Linear(2 * HIDDEN, 3 * dims * MIXTURE)

    def forward(self, context: Tensor, z: Tensor) -> Tensor:
        """Contexts [N, k] and latents [N, D], in units of the posterior's deviation: log p(z) [N], nats."""
        h1 = torch.tanh(self.first(context))
        h2 = torch.tanh(self.second(torch.cat([context, h1], 1)))
        logits, means, widths = self.out(torch.cat([h1, h2], 1)).view(len(z), self.dims, 3, MIXTURE).unbind(2)
        log_sigma = F.softplus(widths) - 0.35
        standard = (z[..., None] - 4 * means) * torch.exp(-log_sigma)
        parts = torch.log_softmax(logits, -1) - 0.5 * standard**2 - log_sigma - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(parts, -1).sum(1)


def context_row(name: str, known: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
    """KL on the tour `asked` under a prior of one kind of context trained on the tour `known`, nats an image."""
    torch.manual_seed(0)
    past, now = (torch.from_numpy(part).float() * STEP for part in (contexts(known)[name], known[KEPT:]))
    prior = Prior(past.shape[1], now.shape[1])
    optimiser = torch.optim.Adam(prior.parameters(), RATE)
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        batch = torch.randint(len(now), (BATCH,))
        z = now[batch] + _noise(now[batch])
        loss = -prior(past[batch], z).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    past, now = (torch.from_numpy(part).float() * STEP for part in (contexts(asked)[name], asked[KEPT:]))
    total = 0.0
    with torch.no_grad():
        for _ in range(NOISES):
            noise = _noise(now)
            log_q = (-0.5 * noise**2 - 0.5 * math.log(2 * math.pi)).sum(1)
            total += float((log_q - prior(past, now + noise)).mean())
    return {"context": name, "KL": total / NOISES, "KL, bits": total / NOISES / NATS}


def _noise(codes: Tensor) -> Tensor:
    return torch.randn_like(codes).clamp_(-OFFSET_MAX * STEP, OFFSET_MAX * STEP)
