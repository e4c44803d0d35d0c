"""Steps recorded once and replayed as CUDA graphs, and buffers shared by host and device.

A step of the incremental pass is a hundred small operations, each of which takes longer to launch than to run on a GPU. A
CUDA graph launches all of them at once. It replays fixed addresses, so a step takes no arguments and returns nothing: it
reads and writes buffers that are never moved. On the CPU a step is simply called. A training step is recorded, too, but may
not be run twice: it is run a few times before it is recorded.
"""

import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Step = Callable[[], None]
WARM_UP = 3  # runs of a training step before it is recorded: libraries choose algorithms, gradients find their stream


class Shared:
    """A buffer shared by host and device: one tensor on the CPU, with CUDA a pinned one and its copy on the device.

    The host reads and writes `array`, steps read and write `tensor`.
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        apart = device.type == "cuda"
        self._host = torch.zeros(shape, dtype=dtype, pin_memory=apart)
        self.array: np.ndarray = self._host.numpy()
        self.tensor = torch.zeros(shape, dtype=dtype, device=device) if apart else self._host

    def upload(self) -> None:
        """As part of a step: copy to the device what the host has written when the step runs."""
        if self.tensor is not self._host:
            self.tensor.copy_(self._host, non_blocking=True)

    def download(self) -> None:
        """As part of a step: copy to the host, complete after `Recorder.wait`."""
        if self.tensor is not self._host:
            self._host.copy_(self.tensor, non_blocking=True)


class Position(Protocol):
    """The current position along an axis of the image, at which buffers are read and written."""

    def move(self, position: int) -> None:
        """Between steps: set the position for the next one."""

    def arrive(self) -> None:
        """At the start of a step: make the position known to the device."""

    def read(self, x: Tensor, dim: int, count: int) -> Tensor:
        """`count` entries from the position on."""

    def pick(self, x: Tensor, dim: int) -> Tensor:
        """The entry at the position, with the dimension removed."""

    def write(self, x: Tensor, dim: int, offset: int, values: Tensor) -> None:
        """Set the entry at the position plus `offset`."""


class Slices:
    """The position as a number: views without copies, but a recorded step works at that position only."""

    def __init__(self) -> None:
        self._position = 0

    def move(self, position: int) -> None:
        self._position = position

    def arrive(self) -> None:
        pass

    def read(self, x: Tensor, dim: int, count: int) -> Tensor:
        return x.narrow(dim, self._position, count)

    def pick(self, x: Tensor, dim: int) -> Tensor:
        return x.select(dim, self._position)

    def write(self, x: Tensor, dim: int, offset: int, values: Tensor) -> None:
        x.select(dim, self._position + offset).copy_(values)


class Indices:
    """The position as a tensor: a replayed step works at the position that it holds by then."""

    def __init__(self, reach: int, device: torch.device) -> None:
        """`reach` is the number of entries, from the position on, that are ever read or written."""
        self._offsets = np.arange(reach)
        self._index = Shared((reach,), torch.int64, device)
        self.move(0)  # recording runs a step once, which must not write into a margin

    def move(self, position: int) -> None:
        np.add(self._offsets, position, out=self._index.array)

    def arrive(self) -> None:
        self._index.upload()

    def read(self, x: Tensor, dim: int, count: int) -> Tensor:
        return x.index_select(dim, self._index.tensor[:count])

    def pick(self, x: Tensor, dim: int) -> Tensor:
        return self.read(x, dim, 1).squeeze(dim)

    def write(self, x: Tensor, dim: int, offset: int, values: Tensor) -> None:
        x.index_copy_(dim, self._index.tensor[offset : offset + 1], values.unsqueeze(dim))


class Recorder:
    """Runs steps directly when they are called; for the CPU."""

    def record(self, step: Step) -> Step:
        """A callable that repeats a step. Recording may run the step, so all that it reads must hold valid values."""
        return step

    def direct(self, step: Step) -> Step:
        """A callable that runs a step once a call and is never recorded."""
        return step

    def gradually(self, step: Step) -> Step:
        """A callable that runs a step once a call, directly at first and from a recording later, where there are such."""
        return self.direct(step)

    def follow(self) -> None:
        """Order later steps after all work that the caller has queued on the device."""

    def wait(self) -> None:
        """Block until all steps called so far are done."""


class StreamRecorder(Recorder):
    """Steps on a separate CUDA stream, asynchronous but not recorded; for comparison, and for several processes."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self._done = torch.cuda.Event()

    def record(self, step: Step) -> Step:
        run = self.direct(step)
        self.follow()
        run()
        return run

    def direct(self, step: Step) -> Step:
        def run() -> None:
            with torch.cuda.stream(self.stream):
                step()
                self._done.record()

        return run

    def follow(self) -> None:
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))

    def wait(self) -> None:
        self._done.synchronize()


class GraphRecorder(StreamRecorder):
    """Steps as CUDA graphs on a separate stream, asynchronous."""

    def record(self, step: Step) -> Step:
        # A warm-up run: libraries load kernels and allocate workspace, tables are copied; that cannot be recorded.
        super().record(step)
        self.wait()
        # Capture computes nothing; this replay produces the values that the next step reads when it is recorded.
        return super().record(self._capture(step))

    def gradually(self, step: Step) -> Step:
        return Gradual(self.direct(step), lambda: self.direct(self._capture(step)))

    def _capture(self, step: Step) -> Step:
        """The replay of a step that has run before; the step does not run."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self.stream):
            # Each graph has its own memory, so graphs may be replayed in any order. Other threads may use CUDA meanwhile.
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                step()
            finally:
                graph.capture_end()
        return graph.replay


class Gradual:
    """A step that is run directly WARM_UP times, then recorded; directly for good if it cannot be recorded."""

    def __init__(self, direct: Step, record: Callable[[], Step]) -> None:
        """`record` makes the recording without running the step, or raises RuntimeError."""
        self._run, self._record, self._calls = direct, record, 0
        self.recorded = False

    def __call__(self) -> None:
        if self._calls == WARM_UP:
            gc.collect()  # what refers to itself may hold memory of the device, which cannot be freed while recording
            with suppress(RuntimeError):
                self._run, self.recorded = self._record(), True
        self._calls += 1
        self._run()


def recorder(device: torch.device, graphs: bool = True) -> Recorder:
    """The recorder for a device's steps; without `graphs` nothing is recorded."""
    if device.type != "cuda":
        return Recorder()
    return GraphRecorder(device) if graphs else StreamRecorder(device)
