"""When Bob's steps are fused: with Triton, on a device that sums exactly, and after a trial agreed with other passes."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, partial
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch

from acncodec.coding.passes import by_steps, whole_image
from acncodec.exact.grids import LATENT_MAX
from acncodec.exact.precision import full_precision
from acncodec.nets.graphs import recorder
from acncodec.nets.networks import Networks

if TYPE_CHECKING:
    from acncodec.fused.decoder import FusedSteps

Made = TypeVar("Made")

TRIAL = 17, 3, 5  # lanes, more than one program's; height and width
_lock = RLock()  # what one thread has compiled the others need not compile
_right: WeakKeyDictionary[Networks, bool] = WeakKeyDictionary()  # outcomes of trials


def fused_steps(networks: Networks, lanes: int, height: int, width: int) -> "FusedSteps | None":
    """The fused decoder for so many images of this size; None where it cannot be used, or not be trusted."""
    fused = _module()
    if fused is None or not fused.fits(networks, lanes, height, width):
        return None
    with _lock:
        dtype = exact_weights(networks.device)
        if dtype is None:
            return None
        if networks not in _right:
            _right[networks] = _unless_it_fails(partial(agree, networks, dtype, TRIAL)) or False
        if not _right[networks]:
            return None
        make = partial(fused.FusedSteps, networks, lanes, height, width)
        return _unless_it_fails(lambda: make(recorder(networks.device), dtype))


@cache
def exact_weights(device: torch.device) -> torch.dtype | None:
    """The type of weights whose products this device sums exactly by Triton; None if there is none, or no Triton."""
    fused = _module()
    if fused is None:
        return None
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():  # where Triton launches
        for dtype in (torch.float16, torch.float32):  # on tensor cores, and without
            if _unless_it_fails(partial(fused.sums_are_exact, device, dtype)):
                return dtype
    return None


@cache
def _module() -> ModuleType | None:
    """`fused.decoder`, imported where it is needed, as Triton takes time to load; None without Triton."""
    try:
        from acncodec.fused import decoder
    except ImportError:
        return None
    return decoder


def _unless_it_fails(work: Callable[[], Made]) -> Made | None:
    """None if it does: Triton needs a C compiler, and its errors have no common class. Steps on tensors need neither."""
    try:
        return work()
    except Exception:
        return None


@full_precision()
@torch.no_grad()
def agree(networks: Networks, dtype: torch.dtype, shape: tuple[int, int, int]) -> bool:
    """Whether the fused steps, with weights of this type, give the frequencies of the whole-image pass for noise.

    `shape` is the number of images, their height and width.
    """
    from acncodec.fused.decoder import FusedSteps

    arch, random = networks.arch, np.random.default_rng(0)
    pixels = random.integers(0, arch.levels, (*shape, arch.colours), np.uint8)
    z = random.integers(-LATENT_MAX, LATENT_MAX + 1, (shape[0], arch.code)).astype(np.int16)
    steps = FusedSteps(networks, *shape, recorder(networks.device, graphs=False), dtype)
    steps.load(z)
    pairs = zip(by_steps(steps, pixels, arch.levels), whole_image(networks, pixels, z), strict=True)
    return all(np.array_equal(found, wanted) for found, wanted in pairs)
