"""The Ray engine makes the same archive although workers and drivers are killed; its clusters run on this machine."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import PROGRAM, acncodec, good, sentence
from conftest import snapshot

from acncodec import bundled
from acncodec.scale.work import FOLDER

pytest.importorskip("ray")
if not sys.platform.startswith("linux"):
    pytest.skip("processes are found in /proc", allow_module_level=True)

pytestmark = pytest.mark.cluster
PARTS = 4
OPTIONS = ("--parts", str(PARTS), "--model", "mnist-8bit", "-q")
OWN = ("--engine", "ray", "--threads", "2")  # a cluster of the driver's
SECONDS = 1800  # until a test that hangs is given up


@pytest.fixture(autouse=True)
def usual_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray lowers the priority of its workers: on a busy machine they would hardly run."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


@pytest.fixture(scope="module")
def source() -> Path:
    return bundled.SAMPLE / "grey"


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bytes, object]:
    """The archive that one process makes."""
    target = tmp_path_factory.mktemp("ray") / "local"
    good("compress", source, target, *OPTIONS)
    return snapshot(target)


@dataclass(frozen=True)
class Head:
    """The head node of a cluster that runs, and where its client server listens."""

    process: subprocess.Popen[bytes]
    address: str


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # not used by others
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S", str(SECONDS))  # 30 are too few on a busy machine
    # Without it gRPC's fork handlers end a client server now and then that is started while gRPC is at work.
    monkeypatch.setenv("GRPC_ENABLE_FORK_SUPPORT", "0")
    port = free_port()
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port", "0", "--num-cpus", "2"]
    command += ["--ray-client-server-port", str(port), "--include-dashboard", "false", "--disable-usage-stats"]
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:  # a short path, as of sockets
        command += ["--temp-dir", folder, "--object-store-memory", str(100 << 20)]
        said = Path(folder) / "said"
        with said.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            until(lambda: b"Ray runtime started" in said.read_bytes(), process)  # its ports are there before it is ready
            yield Head(process, f"ray://127.0.0.1:{port}")
        finally:
            end(process)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def begin(source: Path, target: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [*PROGRAM, "compress", str(source), str(target), *OPTIONS, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def until(found: Callable[[], object], driver: subprocess.Popen[bytes]) -> None:
    """Wait until something is so, as long as the driver runs."""
    end = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < end, "it took too long"
        assert driver.poll() is None, (driver.stderr.read() if driver.stderr else b"").decode()
        time.sleep(0.02)


def descendants(pid: int) -> Iterator[int]:
    """All processes that a process has begun, and those that these have."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[1]) == pid:
            yield int(path.parent.name)
            yield from descendants(int(path.parent.name))


def workers(root: subprocess.Popen[bytes], task: str) -> list[int]:
    """Processes of the cluster below a process that are at a task now."""
    found = []
    for pid in descendants(root.pid):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(f"ray::{task}".encode()):
                found.append(pid)
        except OSError:
            continue
    return found


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def end(root: subprocess.Popen[bytes]) -> None:
    """Kill a process and its descendants, which would end by themselves, but later."""
    cluster = list(descendants(root.pid))
    root.kill()
    root.communicate(timeout=SECONDS)
    kill(cluster)


def kill_workers(driver: subprocess.Popen[bytes], root: subprocess.Popen[bytes]) -> None:
    """Kill those of the cluster below `root` that are at a driver's tasks, at one of each kind."""
    killed: set[int] = set()
    for task in ("codes", "code"):
        until(lambda task=task: set(workers(root, task)) - killed, driver)  # type: ignore[misc]
        found = workers(root, task)
        kill(found)
        killed.update(found)
    assert len(killed) >= 2


def finish(driver: subprocess.Popen[bytes]) -> bytes:
    """What a driver that must succeed says on stderr."""
    _, errors = driver.communicate(timeout=SECONDS)
    assert driver.returncode == 0, errors.decode()
    assert b"Traceback" not in errors
    return errors


def test_killed_workers_change_nothing(source: Path, expected: dict[bytes, object], tmp_path: Path) -> None:
    driver = begin(source, tmp_path / "out", *OWN)
    kill_workers(driver, driver)
    finish(driver)
    assert snapshot(tmp_path / "out") == expected


def test_killed_workers_of_a_running_cluster_change_nothing(
    source: Path, expected: dict[bytes, object], head: Head, tmp_path: Path
) -> None:
    driver = begin(source, tmp_path / "out", "--engine", head.address)
    kill_workers(driver, head.process)
    assert finish(driver) == b""
    assert snapshot(tmp_path / "out") == expected


def test_a_lost_cluster_is_reported(source: Path, head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_CLIENT_RECONNECT_GRACE_PERIOD", "0")  # instead of half a minute
    driver = begin(source, tmp_path / "out", "--engine", head.address)
    until(lambda: list((tmp_path / "out").glob(f"{FOLDER}/*/notes.json")), driver)
    end(head.process)
    _, errors = driver.communicate(timeout=SECONDS)
    assert driver.returncode == 2
    assert errors.decode().splitlines() == ["acncodec: the connection to the cluster was lost; give --resume to continue"]


def test_a_port_of_another_server_is_reported(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INITIAL", "MAX"):
        monkeypatch.setenv(f"RAY_CLIENT_{name}_CONNECTION_TIMEOUT_S", "1")  # instead of half a minute in all
    with socket.create_server(("127.0.0.1", 0)) as server:
        driver = begin(source, tmp_path / "out", "--engine", f"ray://127.0.0.1:{server.getsockname()[1]}")
        _, errors = driver.communicate(timeout=SECONDS)
    assert driver.returncode == 2
    (line,) = errors.decode().splitlines()
    assert "timeout; give its client server's port" in line


def test_an_unreachable_cluster_is_reported(source: Path, tmp_path: Path) -> None:
    refused = acncodec("compress", source, tmp_path / "out", *OPTIONS, "--engine", f"ray://127.0.0.1:{free_port()}")
    assert refused.code == 2
    assert sentence(refused).endswith("cannot be reached: Connection refused")
    assert not (tmp_path / "out").exists()


def test_parts_of_a_killed_driver_are_resumed(source: Path, expected: dict[bytes, object], tmp_path: Path) -> None:
    target = tmp_path / "out"
    driver = begin(source, target, *OWN)
    until(lambda: list(target.glob(f"{FOLDER}/*/results/*.json")), driver)
    end(driver)
    (work,) = (target / FOLDER).iterdir()
    done = [f"part-{int(path.stem):05}.acn" for path in work.glob("results/*.json")]
    parts = {name: (work / name).stat().st_mtime_ns for name in done}
    assert not list(target.glob("*.acn"))
    finish(begin(source, target, *OWN, "--resume"))
    assert snapshot(target) == expected
    assert {name: (target / name).stat().st_mtime_ns for name in parts} == parts
