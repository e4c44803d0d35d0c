"""Progress callbacks."""

from collections.abc import Callable

Advance = Callable[[float], None]  # called with how many more units are done, which may be a fraction
Progress = Callable[[str, int], Advance]  # called with the name of a stage, and how many units it has


def ignore(_: float) -> None:
    """An `Advance` for callers that want no progress."""


def unwatched(stage: str, total: int) -> Advance:
    """A `Progress` for them."""
    return ignore


class Portion:
    """A part of a stage, of `units` there, whose own work is counted otherwise: `advance` takes shares of it, from 0 to 1.

    Work that begins anew counts once: what was told before is not told again.
    """

    def __init__(self, advance: Advance, units: float) -> None:
        self._advance, self._units = advance, units
        self._reached = self._told = 0.0

    def restart(self) -> None:
        """The work begins anew."""
        self._reached = 0.0

    def advance(self, share: float) -> None:
        self._reached = min(1.0, self._reached + share)
        if self._reached > self._told:
            self._advance((self._reached - self._told) * self._units)
            self._told = self._reached

    def finish(self) -> None:
        """Whatever has not been told is done."""
        self.advance(1.0)
