"""LRU cache of the results of a computation."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Recent(Generic[Result]):
    """LRU cache by number, of total cost `limit`; the latest result stays even if it costs more by itself.

    A result costs 1 by default.
    """

    def __init__(self, limit: int, cost: Callable[[Result], int] = lambda result: 1) -> None:
        self._limit, self._cost = limit, cost
        self._results: OrderedDict[int, Result] = OrderedDict()

    def get(self, number: int, make: Callable[[], Result]) -> Result:
        """The result of that number, computed by `make` if it is not cached."""
        if number not in self._results:
            self._results[number] = make()
            while len(self._results) > 1 and sum(map(self._cost, self._results.values())) > self._limit:
                self._results.popitem(last=False)
        self._results.move_to_end(number)
        return self._results[number]

    def clear(self) -> None:
        self._results.clear()
