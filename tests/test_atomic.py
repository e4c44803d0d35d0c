"""Atomic output of a file: complete or not at all, and nothing overwritten that must not be."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from writes import failing, fill, no_space, raising, tree

from acncodec.archive.atomic import write_atomically
from acncodec.errors import OutputError


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
def test_a_file_created_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_space)

    def chunks() -> Iterator[bytes]:
        yield b"mine"
        (tmp_path / "a").write_bytes(b"theirs")

    with pytest.raises(OutputError, match="exists already"):
        write_atomically(tmp_path / "a", chunks(), overwrite=False)
    assert tree(tmp_path) == {"a": b"theirs"}


def test_without_overwrite_nothing_is_renamed_where_there_are_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", no_space)  # a rename would clobber what comes between the check and itself
    write_atomically(tmp_path / "a", [b"x"], overwrite=False)
    assert tree(tmp_path) == {"a": b"x"}


def test_works_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    write_atomically(tmp_path / "a", [b"x"], overwrite=False)
    assert tree(tmp_path) == {"a": b"x"}


def test_targets_other_than_regular_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    for name in ("dir", "link", "pipe"):
        for overwrite in (False, True):
            with pytest.raises(OutputError, match="not a regular file"):
                write_atomically(tmp_path / name, [b"x"], overwrite)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dir", "link", "pipe"]


def test_system_errors_are_output_errors(tmp_path: Path) -> None:
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

    with pytest.raises(error):
        write_atomically(tmp_path / "a", raising(error), overwrite)
    assert tree(tmp_path) == before


def test_an_error_on_closing_is_reported_and_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = os.close

    def close_and_fail(descriptor: int) -> None:
        close(descriptor)
        no_space()

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close_and_fail)
        with pytest.raises(OutputError, match="No space left"):
            write_atomically(tmp_path / "a", [b"new"], overwrite=False)
        with pytest.raises(RuntimeError):  # the first error is told, not the second
            write_atomically(tmp_path / "a", raising(RuntimeError), overwrite=False)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES])
def test_directories_that_cannot_be_synced_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fsync = os.fsync

    def fsync_files(descriptor: int) -> None:
        fsync(descriptor) if os.path.isfile(f"/proc/self/fd/{descriptor}") else failing(number)()  # noqa: PTH113

    monkeypatch.setattr(os, "fsync", fsync_files)
    assert write_atomically(tmp_path / "a", [b"new"], overwrite=False) == 3
    fill(tmp_path / "out", [b"d/a"], overwrite=False)
    fill(tmp_path / "out", [b"d/b"], overwrite=True)
    assert tree(tmp_path) == {"a": b"new", "out/d/a": b"new", "out/d/b": b"new"}


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
        write_atomically(tmp_path / "a", [b"0123456789"], overwrite=False)
    assert tree(tmp_path) == {"a": b"0123456789"}
