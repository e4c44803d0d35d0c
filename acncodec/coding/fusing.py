"""When Bob's steps are fused: with Triton, on a device that sums exactly, and after a trial agreed with other passes."""

from functools import cache
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING
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

TRIAL = 17, 3, 5  # lanes, more than one program's; height and width
_lock = RLock()  # what one thread has compiled the others need not compile
_right: WeakKeyDictionary[Networks, bool] = WeakKeyDictionary()  # outcomes of trials


def fused_steps(networks: Networks, lanes: int, height: int, width: int) -> "FusedSteps | None":
    """The fused decoder for so many images of this size; None where it cannot be used, or not be trusted."""
    fused = _module()
    if fused is None or not fused.fits(networks, lanes, height, width):
        return None
    with _lock:
        if networks not in _right:
            _right[networks] = _passes_trial(networks)
        if not _right[networks]:
            return None
        return fused.FusedSteps(
            networks, lanes, height, width, recorder(networks.device), fused.exact_dtype(networks.device)
        )


@cache
def _module() -> ModuleType | None:
    """`fused.decoder`, imported where it is needed, as Triton takes time to load; None without Triton."""
    try:
        from acncodec.fused import decoder
    except ImportError:
        return None
    return decoder


def _passes_trial(networks: Networks) -> bool:
    """Whether these networks' kernels compile and give the frequencies of the whole-image pass for an image of noise."""
    fused = _module()
    assert fused is not None
    try:
        dtype = fused.exact_dtype(networks.device)
        return dtype is not None and agree(networks, dtype)
    except Exception:  # Triton needs a C compiler, and its errors have no common class; the steps on tensors need neither
        return False


@full_precision()
@torch.no_grad()
def agree(networks: Networks, dtype: torch.dtype, shape: tuple[int, int, int] = TRIAL) -> bool:
    """Whether the fused steps, with weights of this type, give the frequencies of the whole-image pass for noise."""
    from acncodec.fused.decoder import FusedSteps

    arch, random = networks.arch, np.random.default_rng(0)
    pixels = random.integers(0, arch.levels, (*shape, arch.colours), np.uint8)
    z = random.integers(-LATENT_MAX, LATENT_MAX + 1, (shape[0], arch.code)).astype(np.int16)
    steps = FusedSteps(networks, *shape, recorder(networks.device, graphs=False), dtype)
    steps.load(z)
    pairs = zip(by_steps(steps, pixels, arch.levels), whole_image(networks, pixels, z), strict=True)
    return all(np.array_equal(found, wanted) for found, wanted in pairs)
