"""Ray makes the same archive, whatever dies on the way: real processes of a cluster of this machine are killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import snapshot
from test_cli import PROGRAM, good

from acncodec import bundled
from acncodec.scale.work import FOLDER

pytest.importorskip("ray")
if not sys.platform.startswith("linux"):
    pytest.skip("processes are found in /proc", allow_module_level=True)

PARTS = 4
OPTIONS = ("--parts", str(PARTS), "--model", "mnist-8bit", "-q")
SECONDS = 120  # for what takes a few, on a busy machine


@pytest.fixture(scope="module")
def source() -> Path:
    return bundled.SAMPLE / "grey"


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bytes, object]:
    """The archive that one process makes."""
    target = tmp_path_factory.mktemp("ray") / "local"
    good("compress", source, target, *OPTIONS)
    return snapshot(target)


def begin(source: Path, target: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [*PROGRAM, "compress", str(source), str(target), *OPTIONS, "--engine", "ray", "--threads", "2", *more]
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


def workers(driver: subprocess.Popen[bytes], task: str) -> list[int]:
    """Processes of a driver's cluster that are at a task now."""
    found = []
    for pid in descendants(driver.pid):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(f"ray::{task}".encode()):
                found.append(pid)
        except OSError:
            continue
    return found


def finish(driver: subprocess.Popen[bytes]) -> None:
    _, errors = driver.communicate(timeout=SECONDS)
    assert driver.returncode == 0, errors.decode()
    assert b"Traceback" not in errors


def test_killed_workers_change_nothing(source: Path, expected: dict[bytes, object], tmp_path: Path) -> None:
    target = tmp_path / "out"
    driver = begin(source, target)
    killed = set()
    for task in ("codes", "code"):
        until(lambda task=task: [pid for pid in workers(driver, task) if pid not in killed], driver)  # type: ignore[misc]
        for pid in workers(driver, task):
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    finish(driver)
    assert len(killed) >= 2
    assert snapshot(target) == expected


def test_a_killed_driver_leaves_parts_to_go_on_from(source: Path, expected: dict[bytes, object], tmp_path: Path) -> None:
    target = tmp_path / "out"
    driver = begin(source, target)
    until(lambda: list(target.glob(f"{FOLDER}/*/results/*.json")), driver)
    cluster = list(descendants(driver.pid))
    driver.kill()
    driver.communicate(timeout=SECONDS)
    for pid in cluster:  # it ends by itself, but nobody needs to wait for that
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    (work,) = (target / FOLDER).iterdir()
    done = [f"part-{int(path.stem):05}.acn" for path in work.glob("results/*.json")]
    parts = {name: (work / name).stat().st_mtime_ns for name in done}
    assert not list(target.glob("*.acn"))
    finish(begin(source, target, "--resume"))
    assert snapshot(target) == expected
    assert {name: (target / name).stat().st_mtime_ns for name in parts} == parts
