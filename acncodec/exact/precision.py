"""Full float32 products, whatever the surrounding program has asked PyTorch for."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

# The switch belongs to the process: the first thread that needs it sets it, the last one puts it back.
_lock = threading.Lock()
_depth = 0
_put_back: Callable[[], None] | None = None


@contextmanager
def full_precision() -> Iterator[None]:
    """Within it no matrix product is computed in TF32, bfloat16 or under autocast; usable as a decorator, by any threads.

    bfloat16 keeps 8 bits of a factor and TF32 11, and how tensor cores add up is not specified; the exact bound holds for
    float32 alone. Behind the last of overlapping guards stands what was set before the first.
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
    """Switch reduced precision off; returns what puts back the setting that was there.

    PyTorch 2.9 and later have a setting for each backend, which inherits from one for all; asking for the older, single one
    fails where a program has set these. Setting both backends leaves the older one as it is.
    """
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        return lambda: torch.set_float32_matmul_precision(before)
    backends = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    parents = torch.backends.fp32_precision, torch.backends.mkldnn.fp32_precision  # type: ignore[attr-defined]
    # A backend that inherits shows what its parent has; an own setting equal to that one means the same.
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
