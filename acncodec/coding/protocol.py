"""The bits-back protocol (ACN, section 1): Alice encodes and Bob decodes a group, step by step of the schedule.

The coder is a stack (last in, first out), so Alice goes through the schedule backwards.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch

from acncodec.coding.candidates import History, StepImages
from acncodec.coding.latents import pop_posterior, pop_prior, push_posterior, push_prior
from acncodec.coding.pixels import pop_pixels, push_pixels
from acncodec.coding.stack import Stack
from acncodec.coding.stacks import Stacks
from acncodec.coding.steps import Kept
from acncodec.exact.precision import full_precision
from acncodec.kernel.decoder import available
from acncodec.kernel.encoder import CompiledEncoder
from acncodec.nets.model import Model
from acncodec.planning.schedule import Schedule, Step

ENCODE_PIXELS = 64 * 28 * 28  # per pass of the encoder on tensors; more exceed the cache
PIXELS_SHARE = 15 / 16  # of Bob's progress, for decoding pixels
COMPILED_PIXELS = 1 << 19  # per pass by the kernel, which splits lanes into groups that fit the cache: some 50 MB

_kept = Kept()


@dataclass
class Tally:
    """Bits by purpose: pushed for pixels and latents, popped by bits-back, and their theoretical values.

    `residual_theory` is the float64 negative log-likelihood, `latent_theory` the KL that `prior - posterior` should equal.
    """

    residual: float = 0.0
    prior: float = 0.0
    posterior: float = 0.0
    residual_theory: float = 0.0
    latent_theory: float = 0.0

    def __iadd__(self, other: "Tally") -> "Tally":
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self


class SeedExhaustedError(Exception):
    """Bits-back popped more bits than the stack held; Alice must start again with a longer seed."""


@dataclass(frozen=True)
class GroupTask:
    """One group of elements, height x width, coded by `schedule` with `model`.

    `conditional` says whether latents are coded given the parent's code or under the unconditional prior; `advance` is
    called with the number of elements done since the last call, possibly a fraction. Models with copy candidates need the
    block's `history`, and Bob's order of groups.
    """

    model: Model
    schedule: Schedule
    height: int
    width: int
    conditional: bool
    advance: Callable[[float], None]
    history: History | None = None

    def images(self, step: Step, places: np.ndarray) -> StepImages | None:
        """The step's images as sources and users of copy candidates, if the model has these.

        `places` int64 [N] are those of all images so far, to which the step's are added.
        """
        if self.history is None:
            return None
        parents = places[step.parents] if step.start else None
        images = self.history.begin(step.size, self.height, self.width, parents)
        places[step.start : step.start + step.size] = images.places
        return images

    def parents(self, step: Step, codes: np.ndarray) -> np.ndarray | None:
        """Codes of the step's parents, int16 [n, D], or None where there are none."""
        return codes[step.parents] if self.conditional and step.start > 0 else None


def all_offers(pixels: np.ndarray, task: GroupTask) -> np.ndarray | None:
    """Offers for pixels uint8 [N, H, W, colours] in the schedule's order, None for models without them.

    Alice calls it for all groups in Bob's order before she encodes any: uint8 [N, H, W, OFFERS, colours + 1].
    """
    places, found = np.zeros(len(pixels), np.int64), None
    for step in task.schedule:
        images = task.images(step, places)
        if images is not None:
            now = slice(step.start, step.start + step.size)
            of_step = images.whole(pixels[now])
            found = np.empty((len(pixels), *of_step.shape[1:]), np.uint8) if found is None else found
            found[now] = of_step
    return found


@full_precision()
def alice(
    stack: Stack | Stacks, pixels: np.ndarray, codes: np.ndarray, task: GroupTask, offers: np.ndarray | None = None
) -> Tally:
    """Encode pixels uint8 [N, H, W, colours] with codes int16 [N, D], both in the schedule's order.

    `offers` are those of `all_offers`. Raises SeedExhaustedError.
    """
    tally = Tally()
    for step in reversed(task.schedule):
        now = slice(step.start, step.start + step.size)
        marks, lanes = [stack.bits], stack.lanes(step.size)
        z = pop_posterior(lanes, codes[now])
        marks.append(stack.bits)
        told = None if offers is None else offers[now]
        tally.residual_theory += push_pixels(lanes, pixels[now], z, task.model, told)
        marks.append(stack.bits)
        tally.latent_theory += push_prior(lanes, z, codes[now], task.model, task.parents(step, codes))
        marks.append(stack.bits)
        tally.posterior += marks[0] - marks[1]
        tally.residual += marks[2] - marks[1]
        tally.prior += marks[3] - marks[2]
        if stack.ran_dry:
            raise SeedExhaustedError
        task.advance(step.size)
    return tally


@full_precision()
def bob(stack: Stack | Stacks, task: GroupTask) -> np.ndarray:
    """Decode a group: pixels uint8 [N, H, W, colours] in the schedule's order. Raises DamagedError."""
    pixels = np.empty((task.schedule.count, task.height, task.width, task.model.arch.colours), dtype=np.uint8)
    codes = np.empty((task.schedule.count, task.model.arch.code), dtype=np.int16)
    places = np.zeros(task.schedule.count, np.int64)
    for step in task.schedule:
        now = slice(step.start, step.start + step.size)
        lanes = stack.lanes(step.size)
        z = pop_prior(lanes, step.size, task.model, task.parents(step, codes))
        images = task.images(step, places)
        pixels[now] = pop_pixels(
            lanes, z, task.height, task.width, task.model, lambda done: task.advance(done * PIXELS_SHARE), images
        )
        if images is not None:
            images.complete(pixels[now])
        codes[now] = encode(task.model, pixels[now])
        push_posterior(lanes, z, codes[now])
        task.advance(step.size * (1 - PIXELS_SHARE))
    return pixels


@full_precision()
def encode(model: Model, pixels: np.ndarray) -> np.ndarray:
    """Codes int16 [N, D], latent grid, of pixels uint8 [N, H, W, colours]."""
    networks, (height, width) = model.networks, pixels.shape[1:3]
    compiled = available(networks)
    size = max(1, (COMPILED_PIXELS if compiled else ENCODE_PIXELS) // (height * width))
    parts = []
    for batch in (pixels[start : start + size] for start in range(0, len(pixels), size)):
        if compiled:
            parts.append(_kept.of(CompiledEncoder, networks, len(batch), height, width).codes(batch))
        else:
            on_device = torch.from_numpy(np.ascontiguousarray(batch)).to(networks.device)
            parts.append(networks.encode(on_device).to("cpu", torch.int16).numpy())
    return np.concatenate(parts)
