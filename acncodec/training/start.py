"""Choices before a training: the model to start from, the batch size, and whether to compile."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from acncodec.coding.element_costs import element_bits
from acncodec.exact.grids import PRE_MAX
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import Model
from acncodec.nets.networks import Networks
from acncodec.nets.units import gate
from acncodec.training.data import TrainingSet
from acncodec.training.trainer import BATCH, COLOUR_BATCH, Budget, Trainer
from acncodec.training.world import World

SAMPLE = 64  # images on which models are compared
STEPS = 2000  # that a training should have: smaller batches where time is short
LEAST_BATCH = 8  # codes are standardised over a batch
TRIAL_STEPS = 4
COMPILED_MINUTES = 20  # of training from which compiled steps outweigh the minute of compiling


def bits_of(model: Model, group: Tensor) -> float:
    """Mean theoretical cost of a sample of a group uint8 [N, H, W, colours] under a model, bits an image."""
    sample = group[:: -(-len(group) // SAMPLE)]
    return float(element_bits(model, sample.numpy()).mean())


def nearest(models: list[Model], arch: Architecture, data: TrainingSet) -> Model | None:
    """The model of the same levels and colours that is cheapest on the largest group, or None if there is none."""
    fitting = [model for model in models if (model.arch.levels, model.arch.colours) == (arch.levels, arch.colours)]
    return min(fitting, key=lambda model: bits_of(model, data.train[0]), default=None)


def worth_compiling(data: TrainingSet, minutes: float | None, device: torch.device) -> bool:
    """Whether compiled steps work and pay off within `minutes`; every image size would be compiled separately."""
    if minutes is None or minutes < COMPILED_MINUTES or len(data.train) > 1:
        return False
    try:
        with quiet_compiler():
            return _compiles(device)
    except Exception:  # of various types, where the compiler is missing
        return False


@contextmanager
def quiet_compiler() -> Iterator[None]:
    """Suppress the PyTorch compiler's messages about missing CUDA, cached tables and TF32."""
    logger = logging.getLogger("torch.utils.cpp_extension")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="torch._(dynamo|inductor)")
            yield
    finally:
        logger.setLevel(before)


def _compiles(device: torch.device) -> bool:
    """Whether a compiled unit has correct values and gradients; some versions of PyTorch lose the gradients."""
    pre = torch.linspace(-PRE_MAX / 4, PRE_MAX / 4, 64, device=device)

    def run(unit: Callable[[Tensor], Tensor]) -> Tensor:
        x = pre.clone().requires_grad_()
        y = unit(x)
        y.sum().backward()
        assert x.grad is not None
        return torch.cat([y.detach(), x.grad])

    def unit(x: Tensor) -> Tensor:
        return gate(x * 1.5, exact=False)

    return torch.allclose(run(torch.compile(unit)), run(unit), rtol=0.1, atol=1.0)  # rounding may differ


def choose_batch(
    arch: Architecture, data: TrainingSet, minutes: float, start: Networks | None, world: World, device: torch.device
) -> int:
    """Images a step: a power of two, the architecture's default unless that leaves fewer than STEPS steps."""
    most = COLOUR_BATCH if arch.logistics else BATCH
    trial = Trainer(arch, data, Budget(steps=TRIAL_STEPS), start=start, batch=most, world=world, device=device)
    begin = time.monotonic()
    for _ in trial.run(lambda report: None):
        pass
    seconds = world.agree((time.monotonic() - begin) / TRIAL_STEPS)
    affordable = int(most * 60 * minutes / seconds / STEPS)
    return max(LEAST_BATCH, min(most, 1 << affordable.bit_length() - 1 if affordable else 0))
