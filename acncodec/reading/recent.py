"""The last few results of a computation, for one owner and as long as it lives."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Recent(Generic[Result]):
    """Results by number that cost `limit` together, the ones used longest ago making room; the last one stays anyhow.

    Each costs 1, or what `cost` says.
    """

    def __init__(self, limit: int, cost: Callable[[Result], int] = lambda result: 1) -> None:
        self._limit, self._cost = limit, cost
        self._results: OrderedDict[int, Result] = OrderedDict()

    def get(self, number: int, make: Callable[[], Result]) -> Result:
        """The result of that number, which `make` computes if it is not kept."""
        if number not in self._results:
            self._results[number] = make()
            while len(self._results) > 1 and sum(map(self._cost, self._results.values())) > self._limit:
                self._results.popitem(last=False)
        self._results.move_to_end(number)
        return self._results[number]

    def clear(self) -> None:
        self._results.clear()
