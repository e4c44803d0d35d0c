"""Full float32 products, whatever precision the surrounding program has set in PyTorch."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

# The setting is per process: the first thread that needs it sets it, the last one restores it.
_lock = threading.Lock()
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


def _require_float32() -> Callable[[], None]:
    """Switch reduced precision off; returns a function that restores the previous setting.

    PyTorch 2.9 and later have a setting for each backend, which inherits from a global one; reading the older, single one
    fails where a program has set these. Setting both backends leaves the older one as it is.
    """
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        return lambda: torch.set_float32_matmul_precision(before)
    backends = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    parents = torch.backends.fp32_precision, torch.backends.mkldnn.fp32_precision  # type: ignore[attr-defined]
    # A backend that inherits reports its parent's setting; an explicit setting equal to that means the same.
    own = [
        "none" if each.fp32_precision == parent else each.fp32_precision
        for each, parent in zip(backends, parents, strict=True)
    ]
    for each in backends:
        each.fp32_precision = "ieee"

    def put_back() -> None:
        for each, setting in zip(backends, own, strict=True):
            each.fp32_precision = setting

    return put_back
