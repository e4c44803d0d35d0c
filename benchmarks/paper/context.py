"""Beyond the paper: a prior given the codes of several earlier images, in real bits on a real stack."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from acncodec.analysis.costs import NATS
from acncodec.coding.latents import pop_mixture, pop_posterior, push_mixture, push_posterior
from acncodec.coding.stack import Stack
from acncodec.exact.grids import (
    CODE_MAX,
    LATENT_BITS,
    PRE_BITS,
    PRE_MAX,
    STREAM_BITS,
    UNIT,
)
from acncodec.exact.precision import full_precision
from acncodec.nets.architecture import Architecture
from acncodec.nets.prior import Mixture, PriorNetwork
from acncodec.nets.product import Input, Product
from acncodec.training.objective import prior_nats, sample_offsets
from acncodec.training.trainer import RESCALE_EVERY

KEPT = 3  # codes of the past that are tried
STEPS, BATCH, RATE = 4000, 256, 2e-3
CODED = 512  # images at a time
SEED_WORDS = 1 << 14  # more than the posterior samples of so many take off the stack


def contexts(codes: np.ndarray) -> dict[str, np.ndarray]:
    """Contexts of an image at decoding, by name: codes int16 [N, D] in the order of a tour -> int16 [N - KEPT, k * D].

    The codes before it; or the one before and, of all sent earlier, those nearest to that one.
    """
    earlier = [codes[KEPT - 1 - i : len(codes) - 1 - i] for i in range(KEPT)]
    near = nearest_earlier(codes)
    return {
        "the one before": earlier[0],
        f"the {KEPT} before": np.concatenate(earlier, 1),
        f"the one before and the {KEPT - 1} sent nearest to it": np.concatenate(
            [earlier[0], *(codes[near[:, i]] for i in range(KEPT - 1))], 1
        ),
    }


def nearest_earlier(codes: np.ndarray) -> np.ndarray:
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


class ContextPrior(PriorNetwork):
    """The prior network with the codes of several images as its input, side by side."""

    def __init__(self, arch: Architecture, known: int) -> None:
        super().__init__(arch)
        codes = Input(known * arch.code, CODE_MAX << (STREAM_BITS - LATENT_BITS))
        units = Input(arch.hidden, UNIT)
        for name, inputs in (("first", [codes]), ("second", [codes, units]), ("third", [codes, units])):
            setattr(self, name, Product(inputs, arch.hidden, STREAM_BITS, PRE_BITS, -PRE_MAX, PRE_MAX))

    def products(self) -> list[Product]:
        return [module for module in self.modules() if isinstance(module, Product)]


def fit(arch: Architecture, past: np.ndarray, now: np.ndarray) -> ContextPrior:
    """A prior for codes `now` int16 [N, D] given contexts `past` int16 [N, k * D], trained and then made of integers."""
    torch.manual_seed(0)
    prior = ContextPrior(arch, past.shape[1] // now.shape[1])
    contexts_, codes = (torch.from_numpy(part).float() for part in (past, now))
    optimiser = torch.optim.Adam(prior.parameters(), RATE, betas=(0.9, 0.99))
    for step in range(STEPS):
        if step % RESCALE_EVERY == 0:
            for product in prior.products():
                product.choose_scale()
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        batch = torch.randint(len(codes), (BATCH,))
        z = codes[batch] + sample_offsets(codes[batch])
        loss = prior_nats(prior, z, contexts_[batch]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for product in prior.products():
        product.freeze()
    return prior


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, min(start + CODED, count)) for start in range(0, count, CODED))


@torch.no_grad()
def _mixture(prior: ContextPrior, past: np.ndarray) -> Mixture:
    return prior(torch.from_numpy(past).float(), exact=True)


@full_precision()
def push(stack: Stack, prior: ContextPrior, past: np.ndarray, now: np.ndarray) -> None:
    """Alice: draw latents of codes `now` by bits-back and push them under the prior given `past`, last part first."""
    for part in reversed(list(_parts(len(now)))):
        z = pop_posterior(stack, now[part])
        push_mixture(stack, z, _mixture(prior, past[part]))


@full_precision()
def pop(stack: Stack, prior: ContextPrior, past: np.ndarray, now: np.ndarray) -> None:
    """Bob, who has codes and contexts, takes the latents off and gives the bits back that drew them."""
    for part in _parts(len(now)):
        push_posterior(stack, pop_mixture(stack, _mixture(prior, past[part])), now[part])


def context_row(name: str, arch: Architecture, known: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
    """What latents of codes along the tour `asked` cost under a prior trained on codes along the tour `known`.

    Measured on a stack, and undone: what latents put there less what drawing them took.
    """
    prior = fit(arch, contexts(known)[name], known[KEPT:])
    past, now = contexts(asked)[name], asked[KEPT:]
    stack = Stack.seeded(SEED_WORDS)
    before = stack.bits
    push(stack, prior, past, now)
    bits = (stack.bits - before) / len(now)
    pop(stack, prior, past, now)
    stack.check_seed(SEED_WORDS)
    return {"context": name, "bits": bits, "nats": bits * NATS}
