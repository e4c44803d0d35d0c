"""How long work tells those who watch how far it is."""

from collections.abc import Callable

Advance = Callable[[int], None]  # called with units done
Progress = Callable[[str, int], Advance]  # called with what is done, and how many units that is


def ignore(_: int) -> None:
    """An `Advance` for those who do not watch."""


def unwatched(stage: str, total: int) -> Advance:
    """A `Progress` for them."""
    return ignore
