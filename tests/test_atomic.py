"""Writing into place: whole or not at all, and never over what may not be overwritten."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acncodec.archive.atomic import DirectoryWriter, write_atomically
from acncodec.errors import DamagedError, OutputError


def tree(root: Path) -> dict[str, bytes]:
    """All files below `root`, hidden ones too, by relative path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


# One file


def test_writes_chunks_and_returns_their_length(tmp_path: Path) -> None:
    assert write_atomically(tmp_path / "a", iter([b"ab", b"", b"cde"]), overwrite=False) == 5
    assert write_atomically(tmp_path / "a", [b"new"], overwrite=True) == 3
    assert write_atomically(tmp_path / ("n" * 255), [], overwrite=False) == 0
    assert tree(tmp_path) == {"a": b"new", "n" * 255: b""}


def test_mode_obeys_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", [b"x"], overwrite=False)
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_existing_file_needs_overwrite_and_no_work_is_done(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def never() -> Iterator[bytes]:
        raise AssertionError
        yield b""

    with pytest.raises(OutputError, match="exists already; give -f to overwrite it"):
        write_atomically(tmp_path / "a", never(), overwrite=False)
    assert tree(tmp_path) == {"a": b"old"}


@pytest.mark.parametrize("links", [True, False])
def test_a_file_made_in_between_is_not_clobbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", no_space)

    def chunks() -> Iterator[bytes]:
        yield b"mine"
        (tmp_path / "a").write_bytes(b"theirs")

    with pytest.raises(OutputError, match="exists already"):
        write_atomically(tmp_path / "a", chunks(), overwrite=False)
    assert tree(tmp_path) == {"a": b"theirs"}


def test_works_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", unsupported)
    write_atomically(tmp_path / "a", [b"x"], overwrite=False)
    assert tree(tmp_path) == {"a": b"x"}


def test_what_is_no_regular_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    for name in ("dir", "link", "pipe"):
        for overwrite in (False, True):
            with pytest.raises(OutputError, match="not a regular file"):
                write_atomically(tmp_path / name, [b"x"], overwrite)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dir", "link", "pipe"]


def test_the_system_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "none" / "a", tmp_path / "file" / "a", tmp_path / ("n" * 256)):
        with pytest.raises(OutputError, match="Cannot write"):
            write_atomically(path, [b"x"], overwrite=False)
    assert tree(tmp_path) == {"file": b""}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_exception_midway_leaves_no_trace(tmp_path: Path, error: type[BaseException], overwrite: bool) -> None:
    if overwrite:
        (tmp_path / "a").write_bytes(b"old")
    before = tree(tmp_path)

    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise error

    with pytest.raises(error):
        write_atomically(tmp_path / "a", chunks(), overwrite)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, no_space)
        with pytest.raises(OutputError, match="No space left"):
            write_atomically(tmp_path / "a", [b"new"], overwrite=True)
    assert tree(tmp_path) == {"a": b"old"}


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
        write_atomically(tmp_path / "a", [b"0123456789"], overwrite=False)
    assert tree(tmp_path) == {"a": b"0123456789"}


KILLED = """
import sys, time
from pathlib import Path
from acncodec.archive.atomic import write_atomically

def chunks():
    yield b"half" * 10000
    print("written", flush=True)
    time.sleep(60)

write_atomically(Path(sys.argv[1]), chunks(), overwrite=True)
"""


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [name for name in tree(tmp_path) if name != "a" and not name.startswith(".")] == []


# Directories


def fill(target: Path, names: list[bytes], overwrite: bool, then: Callable[[], object] = bool) -> None:
    """Write files of content b"new", then do something before the directory is finished."""
    with DirectoryWriter(target, overwrite) as writer:
        for name in names:
            writer.add(name, b"new")
        then()


@pytest.mark.parametrize("start", ["missing", "empty", "link to empty"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_new_directory_appears_whole(tmp_path: Path, start: str, overwrite: bool) -> None:
    target = tmp_path / "out"
    if start == "empty":
        target.mkdir()
    if start == "link to empty":
        (tmp_path / "real").mkdir()
        target.symlink_to("real")
    with DirectoryWriter(target, overwrite) as writer:
        writer.add(b"a", b"1")
        writer.add(b"d/e/f\xff", b"2")
        writer.add(b"d/g", b"")
        assert not target.exists() or not any(target.iterdir())
    assert tree(target) == {"a": b"1", os.fsdecode(b"d/e/f\xff"): b"2", "d/g": b""}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", [b"", b"/a", b"a/", b"a//b", b"..", b"a/../b", b"./a", b"a\0b"])
def test_unsafe_names_are_damage(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(DamagedError):
        fill(tmp_path / "out", [name], overwrite=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [[b"a", b"a"], [b"a/b", b"a"], [b"a", b"a/b"], [b"a", b"a/b/c"]])
def test_colliding_names_are_damage(tmp_path: Path, names: list[bytes]) -> None:
    with pytest.raises(DamagedError, match="exclude each other"):
        fill(tmp_path / "out", names, overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_unusable_targets_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a").write_bytes(b"old")
    with pytest.raises(OutputError, match="give -f"):
        DirectoryWriter(tmp_path / "full", overwrite=False)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="not a directory"):
            DirectoryWriter(tmp_path / "full/a", overwrite)
    with pytest.raises(OutputError, match="Cannot write"):
        fill(tmp_path / "none/out", [], overwrite=False)
    assert tree(tmp_path) == {"full/a": b"old"}


def test_overwriting_replaces_files_and_keeps_the_others(tmp_path: Path) -> None:
    target, aside = tmp_path / "out", tmp_path / "aside"
    (target / "d").mkdir(parents=True)
    for name in ("a", "d/b", "keep"):
        (target / name).write_bytes(b"old")
    aside.write_bytes(b"not mine")
    (target / "link").symlink_to(aside)
    with DirectoryWriter(target, overwrite=True) as writer:
        for added in (b"a", b"d/b", b"new/er/c", b"link"):
            writer.add(added, b"new")
        assert (target / "a").read_bytes() == b"old"
    assert tree(target) == {"a": b"new", "d/b": b"new", "new/er/c": b"new", "link": b"new", "keep": b"old"}
    assert not (target / "link").is_symlink()
    assert aside.read_bytes() == b"not mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aside", "out"]


@pytest.mark.parametrize("name", [b"link/x", b"link/sub/x", b"file/x", b"file/y/x", b"directory"])
def test_conflicts_leave_the_target_untouched(tmp_path: Path, name: bytes) -> None:
    target = tmp_path / "out"
    (target / "directory").mkdir(parents=True)
    (tmp_path / "elsewhere/sub").mkdir(parents=True)
    (target / "file").write_bytes(b"old")
    (target / "link").symlink_to(tmp_path / "elsewhere")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="in the way"):
        fill(target, [b"aaa/first", b"file2", name], overwrite=True)
    assert tree(tmp_path) == before
    assert not (target / "aaa").exists()


def test_a_link_put_in_place_during_the_merge_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for path in (target, elsewhere):
        path.mkdir()
    (target / "keep").write_bytes(b"old")
    (target / "link").symlink_to(elsewhere)
    monkeypatch.setattr(DirectoryWriter, "_refuse_conflicts", lambda *_: None)
    with pytest.raises(OutputError, match="Cannot write"):
        fill(target, [b"link/x"], overwrite=True)
    assert tree(tmp_path) == {"out/keep": b"old"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("filled", [False, True])
def test_an_exception_removes_the_temporary_directory(tmp_path: Path, error: type[BaseException], filled: bool) -> None:
    target = tmp_path / "out"
    if filled:
        target.mkdir()
        (target / "a").write_bytes(b"old")
    before = tree(tmp_path)

    def fail() -> None:
        raise error

    with pytest.raises(error):
        fill(target, [b"a", b"d/b"], True, fail)
    assert tree(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if filled else [])


def test_a_full_disk_in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", no_space)
    with pytest.raises(OutputError, match="No space left"):
        fill(tmp_path / "out", [b"a"], overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_a_target_filled_in_between_is_not_touched(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def fill_it_too() -> None:
        target.mkdir()
        (target / "a").write_bytes(b"theirs")

    with pytest.raises(OutputError, match="no longer empty"):
        fill(target, [b"a"], False, fill_it_too)
    assert tree(tmp_path) == {"out/a": b"theirs"}


def test_messages_hold_no_control_characters(tmp_path: Path) -> None:
    (tmp_path / "out/\x1b[2J").mkdir(parents=True)
    with pytest.raises(OutputError, match="in the way") as caught:
        fill(tmp_path / "out", [b"\x1b[2J"], overwrite=True)
    assert str(caught.value).isprintable()
