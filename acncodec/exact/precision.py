"""The precision of PyTorch's products: full float32 for coding, TF32 in training where it is exact, too."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

TF32_MAX = 1 << 11  # TF32 has 11 significant bits: all integers up to this are exact
# The setting is per process: the first thread that needs it sets it, the last one restores it.
_lock = threading.RLock()
_depth = 0
_put_back: Callable[[], None] | None = None


@contextmanager
def full_precision() -> Iterator[None]:
    """Disable TF32, bfloat16 and autocast in matrix products; also usable as a decorator; thread-safe.

    bfloat16 keeps 8 bits of a factor and TF32 11, and how tensor cores sum is not specified; the exact bound holds for
    float32 alone. The last of overlapping guards restores the setting from before the first.
    """
    global _depth, _put_back
    with _lock:
        if _depth == 0:
            _put_back = _require_float32()
        _depth += 1
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _put_back is not None:
                _put_back()
                _put_back = None


@contextmanager
def training_precision(device: torch.device, tf32: bool) -> Iterator[None]:
    """TF32 in products and convolutions on CUDA, or float32 without `tf32`; on the CPU nothing changes.

    Another thread's `full_precision` waits until the end, and where one has begun already the products are float32.
    """
    if device.type != "cuda":
        yield
        return
    with _lock:
        put_back = _set_cuda("tf32" if tf32 and _depth == 0 else "ieee")
        try:
            yield
        finally:
            put_back()


def tf32_is_exact(device: torch.device) -> bool:
    """Whether TF32 products on this device give exact sums near 2^24 of integers up to TF32_MAX; False on the CPU.

    How tensor cores add is their makers' business, so it is tried.
    """
    if device.type != "cuda":
        return False
    a, b, expected = (x.to(device) for x in tf32_trial())
    with training_precision(device, tf32=True):
        return torch.equal((a @ b).double(), expected)


def tf32_trial() -> tuple[Tensor, Tensor, Tensor]:
    """Integers below TF32_MAX, float32 [256, 512] and [512, 256], whose partial sums stay below 2^24; the product, float64.

    As in networks, sums are those of few large products and many small ones.
    """
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(1, TF32_MAX // 2, (256, 512), generator=generator)
    b = torch.randint(-23, 24, (512, 256), generator=generator)
    b[:4] = torch.where(b[:4] < 0, 1 - TF32_MAX, TF32_MAX - 1)
    return a.float(), b.float(), a.double() @ b.double()


def _set_cuda(setting: str) -> Callable[[], None]:
    """Set the precision of CUDA's products and convolutions, "tf32" or "ieee"; returns what restores the previous one."""
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        older: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.cudnn
        before = [each.allow_tf32 for each in older]

        def put(settings: list[bool]) -> None:
            for each, value in zip(older, settings, strict=True):
                each.allow_tf32 = value

        put([setting == "tf32"] * 2)
        return lambda: put(before)
    backends: Any = torch.backends
    try:
        legacy = torch.get_float32_matmul_precision()
    except RuntimeError:  # where a program has used the newer interface alone
        legacy = None
    back = _set_backends([(backends.cuda.matmul, backends), (backends.cudnn.conv, backends.cudnn)], setting)
    if legacy is None:
        return back
    # The compiler asks for the older setting, too, which must agree; to set it changes oneDNN's.
    onednn = backends.mkldnn.matmul.fp32_precision
    onednn_back = _set_backends([(backends.mkldnn.matmul, backends.mkldnn)], onednn)
    torch.set_float32_matmul_precision("high" if setting == "tf32" else "highest")
    backends.mkldnn.matmul.fp32_precision = onednn

    def put_back() -> None:
        torch.set_float32_matmul_precision(legacy)
        onednn_back()
        back()

    return put_back


def _require_float32() -> Callable[[], None]:
    """Switch reduced precision off; returns a function that restores the previous setting.

    PyTorch 2.9 and later have a setting for each backend, which inherits from a global one; reading the older, single one
    fails where a program has set these. Setting both backends leaves the older one as it is.
    """
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        return lambda: torch.set_float32_matmul_precision(before)
    backends: Any = torch.backends
    return _set_backends([(backends.cuda.matmul, backends), (backends.mkldnn.matmul, backends.mkldnn)], "ieee")


def _set_backends(backends: list[tuple[Any, Any]], setting: str) -> Callable[[], None]:
    """Set the precision of backends, each given with the one it inherits from; returns what restores the previous one."""
    # A backend that inherits reports its parent's setting; an explicit setting equal to that means the same.
    own = ["none" if each.fp32_precision == parent.fp32_precision else each.fp32_precision for each, parent in backends]
    for each, _ in backends:
        each.fp32_precision = setting

    def put_back() -> None:
        for (each, _), before in zip(backends, own, strict=True):
            each.fp32_precision = before

    return put_back
