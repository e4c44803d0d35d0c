"""Who runs the tasks of a stage: this process, one after the other, or Ray, as many at once as its cluster has room for."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import torch

from acncodec.codec.progress import Advance
from acncodec.errors import AcnError, InputError

LOCAL, RAY = "local", "ray"
WINDOW = 4  # tasks that wait for every one that runs, at most: a driver need not remember more
RETRIES = 8  # of a task whose process died
Task = tuple[Any, ...]  # arguments


class Engine(Protocol):
    """Runs `function(*task)` for every task, in any order; tasks write what they find and return nothing."""

    def run(self, function: Callable[..., None], tasks: Sequence[Task], advance: Advance, networks: bool) -> None:
        """Raises what a task raises; `networks` says whether a GPU would be of use to it."""


class Local:
    """All tasks in this process."""

    def run(self, function: Callable[..., None], tasks: Sequence[Task], advance: Advance, networks: bool) -> None:
        for task in tasks:
            function(*task)
            advance(1)


class Ray:
    """Tasks in the processes of a Ray cluster, on its GPUs if it has some; those of a process that died run again."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._slots = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._gpus = int(ray.cluster_resources().get("GPU", 0))

    def run(self, function: Callable[..., None], tasks: Sequence[Task], advance: Advance, networks: bool) -> None:
        ray = self._ray
        share = min(1.0, self._gpus / self._slots) if networks else 0
        remote = ray.remote(num_cpus=1, num_gpus=share, max_retries=RETRIES)(_alone)
        waiting: list[Any] = []
        left = iter(tasks)
        try:
            for task in left:
                waiting.append(remote.options(name=function.__name__).remote(function, task))
                if len(waiting) >= WINDOW * self._slots:
                    waiting = self._wait(waiting, advance)
            while waiting:
                waiting = self._wait(waiting, advance)
        finally:
            for each in waiting:
                ray.cancel(each, force=True)

    def _wait(self, waiting: list[Any], advance: Advance) -> list[Any]:
        done, rest = self._ray.wait(waiting, num_returns=1)
        for each in done:
            try:
                self._ray.get(each)
            except self._ray.exceptions.RayTaskError as error:
                raise (error.cause if isinstance(error.cause, AcnError) else error) from None
            except self._ray.exceptions.WorkerCrashedError as error:
                raise InputError(f"a process of the cluster died {RETRIES + 1} times at the same task") from error
            except self._ray.exceptions.RayError as error:
                raise InputError(f"the cluster gave up a task: {' '.join(str(error).split())}") from error
            advance(1)
        return list(rest)


def _alone(function: Callable[..., None], task: Task) -> None:
    """A task in a process of the cluster, which has one core for it."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    function(*task)


@contextmanager
def engine(name: str, workers: int | None = None) -> Iterator[Engine]:
    """'local', 'ray' for a cluster of this machine's cores (or of so many `workers`), 'ray://HOST:PORT' for one that runs.

    Raises InputError.
    """
    if name == LOCAL:
        yield Local()
        return
    if name != RAY and urlsplit(name).scheme != RAY:
        raise InputError(f"an engine is '{LOCAL}', '{RAY}' or '{RAY}://HOST:PORT', not '{name}'")
    try:
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed; install the extra 'ray' of acncodec, or take the engine 'local'") from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if name == RAY:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
        else:
            ray.init(address=name, **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise InputError(f"the Ray cluster '{name}' cannot be reached: {error}") from error
    try:
        yield Ray(ray)
    finally:
        ray.shutdown()
