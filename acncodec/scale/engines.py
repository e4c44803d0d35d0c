"""Engines that run the tasks of a stage: one after the other in this process, or in parallel on a Ray cluster."""

import logging
import re
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from acncodec.errors import AcnError, InputError
from acncodec.progress import Advance

LOCAL, RAY = "local", "ray"
CLUSTER = re.compile(r"ray://(.+):(\d+)")
REACH_SECONDS = 10.0  # connection timeout
WINDOW = 4  # submitted tasks per running one, at most: bounds the driver's memory
RETRIES = 8  # of a task whose worker process died
Task = tuple[Any, ...]  # arguments


class Engine(Protocol):
    """Runs `function(*task)` for every task, in any order; tasks write their results to files and return nothing."""

    def run(self, function: Callable[..., None], tasks: Sequence[Task], advance: Advance, networks: bool) -> None:
        """Raises what a task raises; `networks` says whether tasks benefit from a GPU."""


class Local:
    """Runs all tasks in this process."""

    def run(self, function: Callable[..., None], tasks: Sequence[Task], advance: Advance, networks: bool) -> None:
        for task in tasks:
            function(*task)
            advance(1)


class Ray:
    """Runs tasks on a Ray cluster, on its GPUs if it has any; tasks whose worker process died are retried."""

    def __init__(self, ray: Any, lost: tuple[type[Exception], ...] = ()) -> None:
        """`lost`: the exceptions that a broken connection to a cluster raises."""
        self._ray = ray
        self._lost: tuple[type[Exception], ...] = (ConnectionError, *lost)
        self._slots = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._gpus = int(ray.cluster_resources().get("GPU", 0))

    def run(self, function: Callable[..., None], tasks: Sequence[Task], advance: Advance, networks: bool) -> None:
        try:
            self._run(function, tasks, advance, networks)
        except self._lost as error:
            if isinstance(error, self._ray.exceptions.RayError):  # raised by a task, not by the connection
                raise
            raise InputError("the connection to the cluster was lost; give --resume to continue") from error

    def _run(self, function: Callable[..., None], tasks: Sequence[Task], advance: Advance, networks: bool) -> None:
        ray = self._ray
        self._check()
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
            if ray.is_initialized():
                for each in waiting:
                    ray.cancel(each, force=True)

    def _check(self) -> None:
        """Raise ConnectionError if the cluster was lost: Ray would connect to another one, or start one."""
        if not self._ray.is_initialized():
            raise ConnectionError("the cluster was lost")

    def _wait(self, waiting: list[Any], advance: Advance) -> list[Any]:
        self._check()
        done, rest = self._ray.wait(waiting, num_returns=1)
        for each in done:
            try:
                self._ray.get(each)
            except self._ray.exceptions.RayTaskError as error:
                raise (error.cause if isinstance(error.cause, AcnError) else error) from None
            except self._ray.exceptions.WorkerCrashedError as error:
                raise InputError(f"a worker process of the cluster died {RETRIES + 1} times on the same task") from error
            except self._ray.exceptions.RayError as error:
                raise InputError(f"a task failed on the cluster: {' '.join(str(error).split())}") from error
            advance(1)
        return list(rest)


def _alone(function: Callable[..., None], task: Task) -> None:
    """Run a task in a worker process, which has one CPU core for it."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    function(*task)


@contextmanager
def engine(name: str, workers: int | None = None) -> Iterator[Engine]:
    """'local', 'ray' for a cluster on this machine's cores (or `workers` of them), 'ray://HOST:PORT' for a running one.

    Raises InputError.
    """
    if name == LOCAL:
        yield Local()
        return
    cluster = CLUSTER.fullmatch(name)
    if name != RAY and not cluster:
        raise InputError(f"the engine must be '{LOCAL}', '{RAY}' or '{RAY}://HOST:PORT', not '{name}'")
    lost: tuple[type[Exception], ...] = ()
    try:
        import ray

        if cluster:
            import grpc

            lost = (grpc.RpcError,)
    except ImportError as error:
        raise InputError(
            "Ray is not installed; install acncodec with the extra 'ray', or use the engine 'local'"
        ) from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _silence():
        try:
            if cluster:
                _knock(cluster[1].strip("[]"), int(cluster[2]))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    ray.init(address=name, **quiet)
            else:
                ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            raise InputError(f"the Ray cluster '{name}' cannot be reached: {_reason(error)}") from error
        try:
            yield Ray(ray, lost)
        finally:
            ray.shutdown()


def _knock(host: str, port: int) -> None:
    """Raise OSError if nothing listens there: Ray would retry for half a minute and give no reason."""
    socket.create_connection((host, port), REACH_SECONDS).close()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ConnectionAbortedError):  # its text is the cluster's traceback
        return ["connection aborted", *str(error).strip().splitlines()][-1]
    if isinstance(error, ConnectionError):  # something listens that is no Ray client server
        return f"{error}; give its client server's port, and set RAY_AUTH_MODE=token if it requires a token"
    return " ".join(str(error).split())


@contextmanager
def _silence() -> Iterator[None]:
    """Silences Ray's client, whose loggers ignore log levels."""
    loggers = [logging.getLogger(name) for name in ("ray.util.client", "ray.util.client.logsclient")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        yield
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
