"""Directory scan: files and empty directories by raw name, what is left out and why, and colliding names."""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acncodec.errors import DamagedError, InputError
from acncodec.images.scan import MAX_DEPTH, MAX_PATH, Collisions, collisions, folded, read_file, safe_path, scan


def test_scan_lists_files_and_what_it_skips(tmp_path: Path) -> None:
    (tmp_path / "b" / "deep" / "er").mkdir(parents=True)
    for name in (b"b/deep/er/x.png", b"b.png", b".hidden", b"b/\xff\xfe\n.png"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    (tmp_path / "link").symlink_to("b.png")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    listing = scan(tmp_path)
    assert listing.files == [b".hidden", b"b.png", b"b/deep/er/x.png", b"b/\xff\xfe\n.png"]
    assert listing.skipped == [(b"b/loop", "symbolic link"), (b"fifo", "special file"), (b"link", "symbolic link")]
    assert listing.empty == []
    assert listing.unreadable == []
    assert [read_file(tmp_path, name) for name in listing.files] == listing.files


def test_scan_lists_empty_directories(tmp_path: Path) -> None:
    for name in ("full/sub", "z", "nested/a/b", "nested/c", "links", ".hidden", os.fsdecode(b"\xff")):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "full/file").touch()
    (tmp_path / "links/link").symlink_to("nowhere")
    assert scan(tmp_path).empty == [b".hidden", b"full/sub", b"links", b"nested/a/b", b"nested/c", b"z", b"\xff"]
    (tmp_path / "alone").mkdir()
    assert scan(tmp_path / "alone").empty == []  # the root itself is always there


@given(st.sets(st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join), max_size=8), st.data())
def test_files_and_empty_directories_imply_all_others(
    tmp_path_factory: pytest.TempPathFactory, directories: set[str], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for name in directories:
        (root / name).mkdir(parents=True, exist_ok=True)
    everything = {str(path.relative_to(root)) for path in root.rglob("*")}
    for name in sorted(everything):
        if data.draw(st.booleans()):
            (root / name / "file").touch()
    listing = scan(root)
    names = [Path(os.fsdecode(name)) for name in listing.empty]
    implied = {parent for name in [*names, *(Path(os.fsdecode(name)) for name in listing.files)] for parent in name.parents}
    assert {str(path) for path in implied | set(names)} == everything | ({"."} if listing.files or names else set())
    assert not implied & set(names)  # none is listed without need


def test_scan_and_read_report_missing_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"no directory .*missing"):
        scan(tmp_path / "missing")
    with pytest.raises(InputError, match="file' is not a directory"):
        scan(tmp_path / "file")
    with pytest.raises(InputError, match="gone"):
        read_file(tmp_path, b"gone\xff")


def refuse(monkeypatch: pytest.MonkeyPatch, refused: Callable[[bytes], bool]) -> None:
    """Let os.scandir fail where `refused` says so; a mode of 0 would not stop root."""
    scandir = os.scandir

    def patched(path: bytes) -> object:
        if refused(path):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", patched)


def test_unreadable_directories_are_listed_and_the_rest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("locked/in", "only/locked", "open"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "open/file").touch()
    refuse(monkeypatch, lambda path: path.endswith(b"locked/"))
    listing = scan(tmp_path)
    reason = "cannot be read: Permission denied"
    assert listing.unreadable == [(b"locked", reason), (b"only/locked", reason)]
    assert listing.files == [b"open/file"]
    assert listing.empty == [b"only"]
    assert listing.skipped == []


def test_an_unreadable_root_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    refuse(monkeypatch, lambda _: True)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        scan(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is locked for root")
def test_modes_lock_directories_and_files(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    (tmp_path / "file").touch(mode=0)
    listing = scan(tmp_path)
    assert listing.unreadable == [(b"locked", "cannot be read: Permission denied")]
    assert listing.files == [b"file"]
    with pytest.raises(InputError, match="Permission denied"):
        read_file(tmp_path, b"file")
    (tmp_path / "locked").chmod(0o700)
    tmp_path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        scan(tmp_path)
    tmp_path.chmod(0o700)


def test_an_entry_of_unknown_kind_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = b"odd"

        def is_symlink(self) -> bool:
            raise OSError(5, "Input/output error")

    class Entries(list[Entry]):
        def __enter__(self) -> "Entries":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", lambda _: Entries([Entry()]))
    assert scan(tmp_path).unreadable == [(b"odd", "cannot be read: Input/output error")]


def test_too_deep_and_too_long_names_are_listed_as_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deepest = tmp_path / "/".join(["d"] * MAX_DEPTH)
    (deepest / "more").mkdir(parents=True)
    (deepest / "file").touch()
    listing = scan(tmp_path)
    assert listing.files == [b"d/" * MAX_DEPTH + b"file"]
    safe_path(listing.files[0])
    assert listing.unreadable == [(b"d/" * MAX_DEPTH + b"more", f"it is nested more than {MAX_DEPTH} directories deep")]
    assert listing.empty == []
    monkeypatch.setattr("acncodec.images.scan.MAX_PATH", 9)
    for name in ("123456789", "1234567890"):
        (tmp_path / "long" / name).mkdir(parents=True)
        (tmp_path / name).touch()
    listing = scan(tmp_path)
    reason = "its path is longer than 9 bytes"
    assert listing.files == [b"123456789"]
    assert listing.unreadable[0] == (b"1234567890", reason)
    assert listing.unreadable[-2:] == [(b"long/123456789", reason), (b"long/1234567890", reason)]
    assert b"long" in listing.empty


@pytest.mark.parametrize(
    "name", [b"a", b"a/b", b".hidden", b"...", b"a\\b", b"C:x", b"\xff\n", b"x" * MAX_PATH, b"CON", b"a. "]
)
def test_safe_paths(name: bytes) -> None:
    safe_path(name)


@pytest.mark.parametrize(
    "name",
    [b"", b"/", b"/a", b"a/", b"a//b", b".", b"..", b"a/../b", b"./a", b"a\0b", b"x" * (MAX_PATH + 1), b"d/" * 256 + b"x"],
)
def test_unsafe_paths(name: bytes) -> None:
    with pytest.raises(DamagedError):
        safe_path(name)


def test_unsafe_paths_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "name", "nt")
    for name in (b"a\\..\\b", b"C:x"):
        with pytest.raises(DamagedError):
            safe_path(name)


E_ACUTE, E_AND_ACUTE = "é".encode(), unicodedata.normalize("NFD", "é").encode()


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], None),
        ([b"a", b"b", b"a.b", b"ab", b"c/a", b"c/b"], None),
        ([b"a", b"a"], None),  # the same path, not another one
        ([b"x", b"a", b"A"], (b"a", b"A")),
        ([b"d/a", b"d/A"], (b"d/a", b"d/A")),
        ([b"D/a", b"d/b"], (b"D/", b"d/")),
        ([b"a", b"a/b"], (b"a", b"a/")),
        ([b"a/b/c", b"a/b"], (b"a/b/", b"a/b")),
        ([b"a", b"a-b", b"a/b"], (b"a", b"a/")),
        ([b"A", b"a/b"], (b"A", b"a/")),
        ([b"a/b", b"A"], (b"a/", b"A")),
        ([b"a", b"ab", b"a b/c"], None),
        ([E_ACUTE, E_AND_ACUTE], (E_ACUTE, E_AND_ACUTE)),
        ([b"e", E_ACUTE], None),
        (["É".encode(), E_AND_ACUTE], ("É".encode(), E_AND_ACUTE)),
        (["straße".encode(), b"STRASSE"], ("straße".encode(), b"STRASSE")),
        (["\u212a".encode(), b"k"], ("\u212a".encode(), b"k")),  # the Kelvin sign
        ([b"\xff", b"\xfe"], None),
        ([b"\xffa", b"\xffA"], (b"\xffa", b"\xffA")),
    ],
)
def test_collisions(names: list[bytes], found: tuple[bytes, bytes] | None) -> None:
    assert collisions(names) == Collisions(*((1, [found]) if found else (0, [])))


def test_collisions_are_counted_and_the_first_are_named() -> None:
    names = [b"%c%d" % (letter, number) for letter in b"aA" for number in range(5)]
    assert collisions(names) == Collisions(5, [(b"a0", b"A0"), (b"a1", b"A1"), (b"a2", b"A2")])
    assert collisions([b"d/a", b"d/b/c", b"D/b/d"]) == Collisions(2, [(b"d/", b"D/"), (b"d/b/", b"D/b/")])
    assert collisions([b"d/x", b"D/x"]) == Collisions(2, [(b"d/", b"D/"), (b"d/x", b"D/x")])


@given(st.lists(st.lists(st.sampled_from(["a", "A", "b", "é", "e\u0301"]), min_size=1, max_size=3), max_size=6))
def test_collisions_agree_with_comparing_all_components(paths: list[list[str]]) -> None:
    places = {"/".join(path[:length]) + "/" * (length < len(path)) for path in paths for length in range(1, len(path) + 1)}
    folds = {unicodedata.normalize("NFC", place.removesuffix("/")).casefold() for place in places}
    found = collisions(["/".join(path).encode() for path in paths])
    assert found.count == len(places) - len(folds)
    for pair in found.examples:
        one, other = (unicodedata.normalize("NFC", each.decode().removesuffix("/")).casefold() for each in pair)
        assert one == other
        assert pair[0] != pair[1]


@given(st.lists(st.binary(max_size=12), max_size=5))
def test_collisions_takes_any_bytes(names: list[bytes]) -> None:
    assert all(first != second for first, second in collisions(names).examples)


def test_every_component_is_folded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing each name with each would take hours."""
    asked: list[bytes] = []
    monkeypatch.setattr("acncodec.images.scan.folded", lambda name: asked.append(name) or folded(name))
    names = [b"class-%d/sub/%07d.png" % (number % 10, number) for number in range(10_000)]
    assert collisions([*names, b"class-3/SUB/x"]) == Collisions(1, [(b"class-3/sub/", b"class-3/SUB/")])
    assert len(asked) == len(names) + 20 + 2
