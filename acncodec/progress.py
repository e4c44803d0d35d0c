"""Progress callbacks."""

from collections.abc import Callable

Advance = Callable[[float], None]  # called with how many more units are done, which may be a fraction
Progress = Callable[[str, int], Advance]  # called with the name of a stage, and how many units it has


def ignore(_: float) -> None:
    """An `Advance` for callers that want no progress."""


def unwatched(stage: str, total: int) -> Advance:
    """A `Progress` for callers that want no progress."""
    return ignore


class Portion:
    """Progress of a part of a stage: `advance` takes shares of the part, from 0 to 1, which is worth `units` of the stage.

    After a restart nothing is reported until the work is further than before.
    """

    def __init__(self, advance: Advance, units: float) -> None:
        self._advance, self._units = advance, units
        self._reached = self._told = 0.0

    def restart(self) -> None:
        """The part is begun again."""
        self._reached = 0.0

    def advance(self, share: float) -> None:
        self._reached = min(1.0, self._reached + share)
        if self._reached > self._told:
            self._advance((self._reached - self._told) * self._units)
            self._told = self._reached

    def finish(self) -> None:
        """Report what is left of the part."""
        self.advance(1.0)
