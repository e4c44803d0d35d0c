"""Stale temporary files of killed runs are removed by the next run for the same target, and nothing else is."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from acncodec.archive import partial
from acncodec.archive.atomic import DirectoryWriter, write_atomically
from acncodec.archive.partial import create_directory, create_file, release, remove_left_over

DEAD = ".out.0123456789abcdef.partial"


def killed(script: str, *arguments: Path) -> None:
    """Run a script that waits for ever, until it says so, and kill it."""
    child = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"now\n"
    child.send_signal(signal.SIGKILL)
    child.wait()


FILE = """
import sys, time
from pathlib import Path
from acncodec.archive.atomic import write_atomically
def chunks():
    yield b"half"
    print("now", flush=True)
    time.sleep(600)
write_atomically(Path(sys.argv[1]), chunks(), overwrite=False)
"""
DIRECTORY = """
import sys, time
from pathlib import Path
from acncodec.archive.atomic import DirectoryWriter
with DirectoryWriter(Path(sys.argv[1]), overwrite=False) as writer:
    writer.add(b"d/e", [b"half"])
    print("now", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("script", [FILE, DIRECTORY])
def test_files_of_killed_runs_are_removed(script: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    killed(script, target)
    assert len(list(tmp_path.iterdir())) == 1
    remove_left_over(tmp_path / "other")
    assert len(list(tmp_path.iterdir())) == 1
    remove_left_over(target)
    assert list(tmp_path.iterdir()) == []


def test_files_being_written_stay(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def check(path: Path) -> None:
        remove_left_over(target)
        assert path.read_bytes() == b"all"

    write_atomically(target, [b"all"], overwrite=False, inspect=check)
    with DirectoryWriter(tmp_path / "out d", overwrite=False) as writer:
        writer.add(b"a", [b"1"])
        remove_left_over(tmp_path / "out d")
    assert {path.name for path in tmp_path.rglob("*")} == {"out", "out d", "a"}


def test_only_temporary_names_are_removed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    names = [
        ".out.partial",
        ".out.0123456789abcdeg.partial",
        ".out.0123456789abcdef.partial.txt",
        ".outs.0123456789abcdef.partial",
    ]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / DEAD).symlink_to(tmp_path / ".out.partial")
    (tmp_path / "out" / DEAD).mkdir()
    (tmp_path / "out" / DEAD / "file").touch()
    remove_left_over(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out", DEAD, *names}
    assert list((tmp_path / "out").iterdir()) == []


def test_files_of_other_users_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / DEAD).touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 12345)
        remove_left_over(tmp_path / "out")
    assert (tmp_path / DEAD).exists()


def test_without_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    path, *descriptors = create_file(tmp_path / "out")
    remove_left_over(tmp_path / "out")
    assert path.exists()
    for descriptor in descriptors:
        release(descriptor)


def test_a_temporary_file_removed_at_once_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, taken = partial._lock, []

    def stolen(path: Path, descriptor: int) -> bool:
        if len(taken) < 3:
            taken.append(path)
            path.rmdir() if path.is_dir() else path.unlink()
        return lock(path, descriptor)

    monkeypatch.setattr(partial, "_lock", stolen)
    path, *descriptors = create_file(tmp_path / "out")
    found, lock_of_directory = create_directory(tmp_path / "out", tmp_path, 0o777)
    assert sorted(tmp_path.iterdir()) == sorted([path, found])
    for descriptor in (*descriptors, lock_of_directory):
        release(descriptor)
    assert len(taken) == 3
