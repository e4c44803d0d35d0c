"""Atomic output of a directory: complete or not at all, and nothing overwritten that must not be."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from writes import failing, fill, no_space, tree

from acncodec.archive import atomic
from acncodec.archive.atomic import MAX_DEPTH, DirectoryWriter
from acncodec.errors import DamagedError, OutputError


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
        writer.add(b"a", [b"1"])
        writer.add(b"d/e/f\xff", [b"2"])
        writer.add(b"d/g", [b""])
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
            writer.add(added, [b"new"])
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
    monkeypatch.setattr(atomic, "_refuse_conflicts", lambda *_: None)
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

    def fail(_: DirectoryWriter) -> None:
        raise error

    with pytest.raises(error):
        fill(target, [b"a", b"d/b"], True, fail)
    assert tree(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if filled else [])


def test_a_target_filled_meanwhile_is_not_touched(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def fill_it_too(_: DirectoryWriter) -> None:
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


def test_empty_directories(tmp_path: Path) -> None:
    for overwrite in (False, True):  # into a missing target, then into one that holds something
        with DirectoryWriter(tmp_path / "out", overwrite) as writer:
            writer.add_directory(b"e/mp\xff/ty")
            writer.add(b"d/a", [b"1"])
            writer.add_directory(b"d")  # is there already
            writer.add_directory(b"last")
            writer.add(b"last/b", [b"2"])
        assert sorted(os.fsencode(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")) == [
            *(b"d", b"d/a", b"e", b"e/mp\xff", b"e/mp\xff/ty", b"last", b"last/b")
        ]
    (tmp_path / "out/d/a").unlink()
    (tmp_path / "out/d").rmdir()
    (tmp_path / "out/d").symlink_to("/dev")
    with pytest.raises(OutputError, match="in the way"):
        fill(tmp_path / "out", [], True, lambda writer: writer.add_directory(b"d"))


@pytest.mark.parametrize("name", [b"file", b"file/sub", b"..", b"/a", b"", b"a//b", b"d/" * MAX_DEPTH + b"d/d"])
def test_bad_directories_are_damage(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(DamagedError):
        fill(tmp_path / "out", [b"file"], False, lambda writer: writer.add_directory(name))
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_the_name_of_an_empty_directory_is_damage(tmp_path: Path) -> None:
    def add_both(writer: DirectoryWriter) -> None:
        writer.add_directory(b"a")
        writer.add(b"a", [b""])

    with pytest.raises(DamagedError):
        fill(tmp_path / "out", [], False, add_both)
    assert list(tmp_path.iterdir()) == []


def test_the_deepest_path_is_written_and_removed(tmp_path: Path) -> None:
    name = b"d/" * MAX_DEPTH + b"x"
    with pytest.raises(DamagedError):
        fill(tmp_path / "out", [name], False, lambda writer: writer.add(b"d", [b""]))
    assert list(tmp_path.iterdir()) == []
    fill(tmp_path / "out", [name], overwrite=False)
    fill(tmp_path / "out", [name], overwrite=True)
    assert tree(tmp_path / "out") == {name.decode(): b"new"}
    with pytest.raises(DamagedError):
        fill(tmp_path / "other", [b"d/" + name], overwrite=False)


def test_a_file_of_another_process_is_not_overwritten(tmp_path: Path) -> None:
    def meet(writer: DirectoryWriter) -> None:
        next(tmp_path.iterdir()).joinpath("a").write_bytes(b"theirs")
        writer.add(b"a", [b"mine"])

    with pytest.raises(OutputError, match="File exists"):
        fill(tmp_path / "out", [], True, meet)


# Targets that no rename can replace


@pytest.mark.parametrize("how", ["other mount", "other device", "locked parent", "working directory"])
@pytest.mark.parametrize("filled", [False, True])
def test_a_target_that_cannot_be_replaced_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, filled: bool
) -> None:
    target = tmp_path / "out"
    target.mkdir(mode=0o750)
    if filled:
        (target / "old").write_bytes(b"old")
    inode = target.stat().st_ino
    make_unreplaceable(monkeypatch, target, how)
    with DirectoryWriter(target, overwrite=filled) as writer:
        writer.add(b"a", [b"new"])
        writer.add(b"d/b", [b"new"])
        writer.add_directory(b"e")
        visible = {path.name for path in target.iterdir() if not path.name.startswith(".")}
        assert visible == ({"old"} if filled else set())
    assert tree(tmp_path) == {"out/a": b"new", "out/d/b": b"new"} | ({"out/old": b"old"} if filled else {})
    assert (target / "e").is_dir()
    assert target.stat().st_ino == inode
    assert not [path for path in tmp_path.rglob(".*")]


def make_unreplaceable(monkeypatch: pytest.MonkeyPatch, target: Path, how: str) -> None:
    rename, mkdir, stat = os.rename, os.mkdir, os.stat

    def other_mount(source: Path, place: Path) -> None:
        if Path(place) == target or (Path(place).parent == target and Path(source).parent.parent != target):
            failing(errno.EXDEV)()
        rename(source, place)

    def locked(path: bytes | Path, *rest: int, **options: int) -> None:
        if isinstance(path, Path) and path.parent == target.parent:
            failing(errno.EACCES)()
        mkdir(path, *rest, **options)

    def other_device(path: str | Path, **options: Any) -> os.stat_result:
        found = stat(path, **options)
        if isinstance(path, Path) and path.parent == target.parent and path != target:
            return os.stat_result([*found[:2], found.st_dev + 1, *found[3:]])
        return found

    if how == "other mount":
        monkeypatch.setattr(os, "rename", other_mount)
    if how == "other device":
        monkeypatch.setattr(os, "stat", other_device)
    if how == "locked parent":
        monkeypatch.setattr(os, "mkdir", locked)
    if how == "working directory":
        monkeypatch.chdir(target)


@pytest.mark.parametrize("links", [True, False])
def test_an_unreplaceable_target_filled_meanwhile_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="no longer empty"):
        fill(tmp_path, [b"a"], False, lambda _: (tmp_path / "a").touch())
    (tmp_path / "a").unlink()
    refuse = atomic._refuse_conflicts

    def refuse_then_fill(target: Path, made: dict[bytes, bool]) -> None:
        refuse(target, made)
        (target / "a").write_bytes(b"theirs")

    monkeypatch.setattr(atomic, "_refuse_conflicts", refuse_then_fill)
    if not links:
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    with pytest.raises(OutputError, match="exists already"):
        fill(tmp_path, [b"d/b", b"a"], overwrite=False)
    assert tree(tmp_path)["a"] == b"theirs"
    assert not list(tmp_path.glob(".*"))


def test_a_locked_target_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # a mode of 0 would not stop root
    with pytest.raises(OutputError, match="Permission denied"):
        DirectoryWriter(tmp_path, overwrite=True)


@pytest.mark.parametrize("mode", [0o700, 0o2775, 0o755])
def test_a_directory_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "out"
    target.mkdir()
    target.chmod(mode)
    with DirectoryWriter(target, overwrite=False) as writer:
        writer.add(b"a", [b"new"])
        (temp,) = (path for path in tmp_path.iterdir() if path != target)
        assert temp.stat().st_mode & 0o777 & ~mode == 0  # while it is filled nobody else may look in either
    assert target.stat().st_mode & 0o7777 == mode
    assert tree(target) == {"a": b"new"}


def test_directories_made_for_a_failed_write_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(OutputError, match="No space left"):
        fill(target, [b"d/e/a", b"f/b"], overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]
