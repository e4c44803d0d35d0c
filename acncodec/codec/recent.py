"""The last few results of a computation, for one owner and as long as it lives."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Recent(Generic[Result]):
    """At most `size` results by number, the one that was used longest ago making room for a new one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._results: OrderedDict[int, Result] = OrderedDict()

    def get(self, number: int, make: Callable[[], Result]) -> Result:
        """The result of that number, which `make` computes if it is not kept."""
        if number not in self._results:
            self._results[number] = make()
            if len(self._results) > self._size:
                self._results.popitem(last=False)
        self._results.move_to_end(number)
        return self._results[number]

    def clear(self) -> None:
        self._results.clear()
