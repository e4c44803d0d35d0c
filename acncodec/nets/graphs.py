"""What a device asks for beside tensors: memory shared with the host, and steps that are recorded once and replayed.

A step of the incremental pass is a hundred small operations, each of which takes a processor longer to ask for than a GPU
to do. A CUDA graph asks for all of them at once. What it replays are addresses, so a step takes no arguments and returns
nothing: it reads and writes buffers that stay where they are. On the CPU a step is simply called.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Step = Callable[[], None]


class Shared:
    """A buffer that host and device both see: one tensor on the CPU, elsewhere a pinned one and its twin on the device.

    `array` is what the host reads and writes, `tensor` what steps do.
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        apart = device.type == "cuda"
        self._host = torch.zeros(shape, dtype=dtype, pin_memory=apart)
        self.array: np.ndarray = self._host.numpy()
        self.tensor = torch.zeros(shape, dtype=dtype, device=device) if apart else self._host

    def upload(self) -> None:
        """As part of a step: what the host has written when the step runs."""
        if self.tensor is not self._host:
            self.tensor.copy_(self._host, non_blocking=True)

    def download(self) -> None:
        """As part of a step: the host has it after `Recorder.wait`."""
        if self.tensor is not self._host:
            self._host.copy_(self.tensor, non_blocking=True)


class Place(Protocol):
    """The current position along an axis of the image, at which buffers are read and written."""

    def move(self, position: int) -> None:
        """Between steps: where the next one works."""

    def arrive(self) -> None:
        """First thing in a step."""

    def read(self, x: Tensor, dim: int, count: int) -> Tensor:
        """From the position on, so many entries."""

    def pick(self, x: Tensor, dim: int) -> Tensor:
        """The entry at the position, without its dimension."""

    def write(self, x: Tensor, dim: int, offset: int, values: Tensor) -> None:
        """Set the entry so far behind the position."""


class Slices:
    """A position that is a number: views and no copies, but nothing that could be replayed elsewhere."""

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
    """A position that is a tensor: a replayed step works wherever it says by then."""

    def __init__(self, reach: int, device: torch.device) -> None:
        """`reach` is the number of entries, from the position on, that are ever read or written."""
        self._offsets = np.arange(reach)
        self._index = Shared((reach,), torch.int64, device)
        self.move(0)  # a step that is recorded runs once, and must not write at a margin

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
    """Runs steps as they are called; the CPU's."""

    def record(self, step: Step) -> Step:
        """What repeats a step. It may be run to find out, so that all that it reads must hold valid values."""
        return step

    def follow(self) -> None:
        """Let the steps to come see all that the caller has asked the device to do."""

    def wait(self) -> None:
        """Return once all steps called so far are done."""


class StreamRecorder(Recorder):
    """Steps on a CUDA stream of their own, asynchronous but not recorded; for comparison."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self._done = torch.cuda.Event()

    def record(self, step: Step) -> Step:
        def run() -> None:
            with torch.cuda.stream(self.stream):
                step()
                self._done.record()

        self.follow()
        run()
        return run

    def follow(self) -> None:
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))

    def wait(self) -> None:
        self._done.synchronize()


class GraphRecorder(StreamRecorder):
    """Steps as CUDA graphs on a stream of their own, asynchronous."""

    def record(self, step: Step) -> Step:
        # Once for real: libraries load kernels and take their workspace, tables move; none of that can be recorded.
        super().record(step)
        self.wait()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self.stream):
            # Each graph has its memory to itself, so that they may be replayed in any order. Other threads may go on.
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                step()
            finally:
                graph.capture_end()
        # Nothing is computed while recording; the replay makes what the step leaves behind for the next one to record.
        return super().record(graph.replay)


def recorder(device: torch.device, graphs: bool = True) -> Recorder:
    """The recorder for a device's steps; without `graphs` nothing is recorded."""
    if device.type != "cuda":
        return Recorder()
    return GraphRecorder(device) if graphs else StreamRecorder(device)
