"""PyTorch's compiler in training: when it pays, and whether it works."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from acncodec.exact.grids import PRE_MAX
from acncodec.nets.units import gate
from acncodec.training.data import TrainingSet

COMPILED_MINUTES = 20  # of training from which compiled steps outweigh the minute of compiling
Compilable = TypeVar("Compilable", bound=Callable[..., object])


def compiled_unit(unit: Compilable) -> Compilable:
    """The unit compiled; without CUDA graphs of the compiler's own, since whole steps are recorded (`training/step.py`)."""
    return torch.compile(unit)  # type: ignore[return-value]


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

    return torch.allclose(run(compiled_unit(unit)), run(unit), rtol=0.1, atol=1.0)  # rounding may differ
