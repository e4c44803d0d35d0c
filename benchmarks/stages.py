"""Seconds of a command by stage, each without the time of stages nested in it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

REST = "all else"
_KERNEL, _TENSORS = "acncodec.kernel.decoder.CompiledDecoder", "acncodec.coding.steps.TensorSteps"
_INCREMENTAL = ("load", "start_row", "start_pixel", "first", "second", "put", "wait")
# The functions of each stage, under the names by which their callers refer to them.
ENCODING = {
    "read": ["acncodec.packing.compress.collect"],
    "price": ["acncodec.packing.method_choice.MethodChoice.choose"],
    "encode to codes": ["acncodec.block.plan.encode"],
    "neighbours": ["acncodec.planning.tour.neighbour_graph", "acncodec.planning.fragments.neighbour_graph"],
    "tour": ["acncodec.block.plan.plan_tour"],
    "cost of each way": ["acncodec.block.plan.latent_bits"],
    "whole-image pass": ["acncodec.coding.pixels._all_frequencies"],
    "ANS push": ["acncodec.coding.stack.Stack.push"],
    "latents": ["acncodec.coding.protocol.pop_posterior", "acncodec.coding.protocol.push_prior"],
    "write": ["acncodec.packing.compress.write_atomically"],
}
DECODING = {
    "latents": ["acncodec.coding.protocol.pop_prior", "acncodec.coding.protocol.push_posterior"],
    # The kernel pops symbols within its pass.
    "incremental pass": [
        *(f"{owner}.{name}" for owner in (_KERNEL, _TENSORS) for name in _INCREMENTAL),
        f"{_KERNEL}.pop_row",
    ],
    "ANS pop": ["acncodec.coding.stack.Stack.pop"],
    "re-encode": ["acncodec.coding.protocol.encode"],
    "check": ["acncodec.block.codec.digest"],
    "write": ["acncodec.reading.reader.write_picture", "acncodec.archive.atomic.DirectoryWriter.add"],
}


class Stopwatch:
    """`seconds` by stage, while stages nest."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._stages = [REST]
        self.start()

    def start(self) -> None:
        """Count from now on."""
        self._since = time.perf_counter()

    def stop(self) -> None:
        """Record the time since the last stage."""
        self._turn()

    def _turn(self) -> None:
        """Add the time passed to the running stage."""
        now = time.perf_counter()
        self.seconds[self._stages[-1]] += now - self._since
        self._since = now

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            self._turn()
            self._stages.append(name)
            try:
                return function(*arguments, **options)
            finally:
                self._turn()
                self._stages.pop()

        return run


@contextmanager
def watched(stages: dict[str, list[str]]) -> Iterator[Stopwatch]:
    """Time everything that `stages` name while the context lasts."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for name, places in stages.items():
            for place in places:
                stack.enter_context(patch(place, watch.timed(name, resolve_name(place))))
        watch.start()
        yield watch
        watch.stop()
