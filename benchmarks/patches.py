"""Temporary replacement of parts of the package, for a measurement."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

Patches = dict[str, Any]  # dotted name: what stands there instead


@contextmanager
def replaced(patches: Patches) -> Iterator[None]:
    """Context in which the dotted names are replaced by the patches."""
    with ExitStack() as stack:
        for name, value in patches.items():
            stack.enter_context(patch(name, value))
        yield
