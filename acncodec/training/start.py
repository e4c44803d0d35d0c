"""Choices before a training: the model to start from, and the batch size."""

import time

import torch
from torch import Tensor

from acncodec.coding.element_costs import element_bits
from acncodec.nets.architecture import Architecture
from acncodec.nets.graphs import WARM_UP
from acncodec.nets.model import Model
from acncodec.nets.networks import Networks
from acncodec.training.data import TrainingSet
from acncodec.training.trainer import BATCH, COLOUR_BATCH, Budget, Trainer
from acncodec.training.world import World

SAMPLE = 64  # images on which models are compared
STEPS = 2000  # that a training should have: smaller batches where time is short
LEAST_BATCH = 8  # codes are standardised over a batch
TRIAL_STEPS = 4


def bits_of(model: Model, group: Tensor) -> float:
    """Mean theoretical cost of a sample of a group uint8 [N, H, W, colours] under a model, bits an image."""
    sample = group[:: -(-len(group) // SAMPLE)]
    return float(element_bits(model, sample.numpy()).mean())


def nearest(models: list[Model], arch: Architecture, data: TrainingSet) -> Model | None:
    """The model of the same levels and colours that is cheapest on the largest group, or None if there is none."""
    fitting = [model for model in models if (model.arch.levels, model.arch.colours) == (arch.levels, arch.colours)]
    return min(fitting, key=lambda model: bits_of(model, data.train[0]), default=None)


def choose_batch(
    arch: Architecture, data: TrainingSet, minutes: float, start: Networks | None, world: World, device: torch.device
) -> int:
    """Images a step: a power of two, the architecture's default unless that leaves fewer than STEPS steps."""
    most = COLOUR_BATCH if arch.logistics else BATCH
    untimed = 0 if device.type == "cpu" else WARM_UP + 1  # until a step is recorded
    budget = Budget(steps=untimed + TRIAL_STEPS)
    trial = Trainer(arch, data, budget, start=start, batch=most, world=world, device=device)
    ticks = trial.run(lambda report: None, every=0.0)
    for _ in range(untimed):
        next(ticks)
    begin = time.monotonic()
    for _ in ticks:
        pass
    seconds = world.agree((time.monotonic() - begin) / TRIAL_STEPS)
    affordable = int(most * 60 * minutes / seconds / STEPS)
    return max(LEAST_BATCH, min(most, 1 << affordable.bit_length() - 1 if affordable else 0))
