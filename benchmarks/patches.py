"""Other things in the place of parts of the package, for the time of a measurement."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

Patches = dict[str, Any]  # dotted name: what stands there instead


@contextmanager
def replaced(patches: Patches) -> Iterator[None]:
    """Within it the names stand for what the patches say."""
    with ExitStack() as stack:
        for name, value in patches.items():
            stack.enter_context(patch(name, value))
        yield
