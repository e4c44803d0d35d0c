"""Crash safety of output: killed or out of space at any system call, the target is as before or complete.

Each case is a forked child that counts the system calls which change the disk, and fails or dies at one of them.
"""

import errno
import os
import re
import resource
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from acncodec.archive.atomic import DirectoryWriter, write_atomically
from acncodec.errors import OutputError

# All that lies in a directory by relative path; a directory has no bytes.
Tree = dict[str, bytes | None]

ANY_CALL = ("open", "write", "fsync", "close", "link", "rename", "replace", "mkdir", "chmod", "unlink", "rmdir")
NEEDS_ROOM = ("open", "write", "fsync", "close", "link", "rename", "replace", "mkdir")
PARTIAL = re.compile(r"\.out\.[0-9a-f]{16}\.partial(/.*)?")
MAX_CALLS = 300  # several times what any case takes
# How a child ends, if it is not killed.
DONE, DONE_ALTHOUGH_STRUCK, REFUSED, BROKEN = range(4)

CHUNKS = [b"new" * 3, b"", b"end"]
FILES = {"a": b"new", "d/b": b"new" * 5, "d/e/c": b"", "f/g": b"newer"}
WRITTEN: Tree = {"": None, "d": None, "d/e": None, "f": None, "empty": None, "empty/er": None, **FILES}
OTHERS: Tree = {"": None, "a": b"old", "keep": b"kept", "d": None, "d/b": b"older", "d/keep": b"kept"}


def new_file(target: Path) -> None:
    write_atomically(target, CHUNKS, overwrite=False)


def new_file_without_links(target: Path) -> None:
    def unsupported(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    os.link = unsupported
    write_atomically(target, CHUNKS, overwrite=False)


def file_over_file(target: Path) -> None:
    write_atomically(target, CHUNKS, overwrite=True)


def directory(target: Path) -> None:
    with DirectoryWriter(target, overwrite=bool(target.exists() and [*target.iterdir()])) as writer:
        for name, data in FILES.items():
            writer.add(name.encode(), [data])
        writer.add_directory(b"empty/er")


def working_directory(target: Path) -> None:
    os.chdir(target)
    directory(Path())


def out(below: Tree) -> Tree:
    """`below` as what lies in the directory 'out'."""
    return {f"out/{name}".rstrip("/"): data for name, data in below.items()}


@dataclass
class Case:
    work: Callable[[Path], None]
    old: Tree
    new: Tree
    whole: bool = True  # all or nothing; else each file by itself


CASES = {
    "new file": Case(new_file, {}, {"out": b"".join(CHUNKS)}),
    "new file without links": Case(new_file_without_links, {}, {"out": b"".join(CHUNKS)}),
    "file over file": Case(file_over_file, {"out": b"old"}, {"out": b"".join(CHUNKS)}),
    "new directory": Case(directory, {}, out(WRITTEN)),
    "empty directory": Case(directory, out({"": None}), out(WRITTEN)),
    "working directory": Case(working_directory, out({"": None}), out(WRITTEN), whole=False),
    "directory over directory": Case(directory, out(OTHERS), out(OTHERS | WRITTEN), whole=False),
}


class Fault:
    """Replaces the call number `at` of those in `names`, and if `lasting` all after it, by `strike`."""

    def __init__(self, names: tuple[str, ...], at: int, lasting: bool, strike: Callable[[], None]) -> None:
        self.left, self.lasting, self.strike = at, lasting, strike
        self.read_only: set[int] = set()
        for name in names:
            setattr(os, name, self.counted(name, getattr(os, name)))

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def patched(*args: Any, **options: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                descriptor = call(*args, **options)
                self.read_only.add(descriptor)
                return descriptor
            if name == "close" and args[0] in self.read_only:
                self.read_only.remove(args[0])
                return call(*args)
            self.left -= 1
            if self.left == 0 or (self.left < 0 and self.lasting):
                if name == "write":
                    call(args[0], args[1][: len(args[1]) // 2])  # what still fits
                if name == "close":
                    call(*args)  # it is closed even if it fails
                self.strike()
            return call(*args, **options)

        return patched


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def no_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def child(work: Callable[[Path], None], target: Path, prepare: Callable[[], Fault | None]) -> int:
    """Run `work` in a child process; how it ended: one of the constants above, or -SIGKILL."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    ended = BROKEN
    try:
        fault = prepare()
        work(target)
        ended = DONE if fault is None or fault.left > 0 else DONE_ALTHOUGH_STRUCK
    except OutputError:
        ended = REFUSED
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(ended)


def plant(root: Path, what: Tree) -> None:
    root.mkdir()
    for name, data in what.items():
        if data is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(data)


def tree(root: Path) -> Tree:
    return {str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in root.rglob("*")}


def each_strike(
    case: Case, root: Path, names: tuple[str, ...], lasting: bool, strike: Callable[[], None]
) -> list[tuple[int, Tree]]:
    """For each call in turn: how the child ended and what it left behind."""
    results: list[tuple[int, Tree]] = []
    for at in count(1):
        place = root / str(at)
        plant(place, case.old)
        ended = child(case.work, place / "out", lambda at=at: Fault(names, at, lasting, strike))  # type: ignore[misc]
        if ended == DONE:
            assert tree(place) == case.new
            return results
        assert ended != BROKEN
        assert at < MAX_CALLS
        results.append((ended, tree(place)))
    raise AssertionError


def check(case: Case, found: Tree) -> None:
    """That the target is as before or complete; if it is filled file by file, that each file is."""
    if case.whole:
        assert found in (case.old, case.new)
    else:
        assert case.old.keys() <= found.keys() <= case.new.keys()
        for name, data in found.items():
            assert data == case.new[name] or (name in case.old and data == case.old[name])


@pytest.mark.parametrize("name", CASES)
def test_killed_at_any_call(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    results = each_strike(case, tmp_path, ANY_CALL, False, kill)
    visible = []
    for ended, found in results:
        assert ended == -signal.SIGKILL
        visible.append({path: data for path, data in found.items() if not PARTIAL.fullmatch(path)})
        check(case, visible[-1])
    # Faults hit early and late calls, and temporary names existed.
    assert visible[0] == case.old
    assert visible[-1] == case.new
    assert any(len(found) > len(seen) for (_, found), seen in zip(results, visible, strict=True))


@pytest.mark.parametrize("lasting", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_out_of_space_at_any_call(tmp_path: Path, name: str, lasting: bool) -> None:
    case = CASES[name]
    results = each_strike(case, tmp_path, NEEDS_ROOM, lasting, no_space)
    for ended, found in results:
        assert ended in (REFUSED, DONE_ALTHOUGH_STRUCK)
        check(case, found)
        if ended == DONE_ALTHOUGH_STRUCK:
            assert found == case.new
    assert sum(found == case.old for _, found in results) >= 4  # opening, two writes, closing


@pytest.mark.parametrize("name", CASES)
def test_the_system_stops_files_at_any_size(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    largest = max(len(data) for path, data in case.new.items() if data is not None and data != b"kept")

    def limit(size: int) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the write fails instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    for size in range(largest + 2):
        place = tmp_path / str(size)
        plant(place, case.old)
        ended = child(case.work, place / "out", lambda size=size: limit(size))  # type: ignore[misc]
        assert ended == (DONE if size >= largest else REFUSED)
        assert tree(place) == (case.new if size >= largest else case.old)
