"""A tape of tensor operations in the place of a CUDA graph, so that recorded steps are tested on every machine."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from acncodec.nets.graphs import WARM_UP, Recorder

THROUGH_THE_HOST = ("_local_scalar_dense", "lift_fresh", "nonzero", "equal", "is_nonzero")


class Tape(TorchDispatchMode):
    """Every operation of a step, with the tensors that it read and made."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.operations.append((func, *tree_map_only(torch.Tensor, torch.Tensor.detach, (args, kwargs or {}, made))))
        return made

    @torch.no_grad()
    def replay(self) -> None:
        """Repeat it at the same addresses: decisions of Python during recording stay fixed."""
        for func, args, kwargs, made in self.operations:
            again = func(*args, **kwargs)
            pairs = zip(made, again, strict=True) if isinstance(made, tuple | list) else [(made, again)]
            for old, new in pairs:
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    def devices(self) -> set[str]:
        """Of all tensors that were made."""
        return {x.device.type for *_, made in self.operations for x in tree_leaves(made) if isinstance(x, torch.Tensor)}

    def through_the_host(self) -> list[str]:
        """Operations that read a tensor into Python or make one of Python's numbers, which no graph can hold."""
        names = [func.overloadpacket.__name__ for func, *_ in self.operations]
        return [name for name in names if name in THROUGH_THE_HOST]


class TapeRecorder(Recorder):
    """As `GraphRecorder`: a step is run once, recorded, and replayed from then on."""

    def __init__(self) -> None:
        self.replayed = 0
        self.tapes: list[Tape] = []

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        tape = Tape()
        self.tapes.append(tape)
        with tape:
            step()

        def run() -> None:
            self.replayed += 1
            tape.replay()

        return run

    def gradually(self, step: Callable[[], None]) -> Callable[[], None]:
        """As `Gradual`, but that the call which records the step runs it, too."""
        calls: list[Callable[[], None]] = []

        def run() -> None:
            if len(calls) == WARM_UP:
                calls.append(self.record(step))
            elif len(calls) < WARM_UP:
                calls.append(step)
                step()
            else:
                calls[-1]()

        return run
