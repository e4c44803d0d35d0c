"""Restoring a directory on file systems that take two names for one."""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from writes import fill, tree

from acncodec.errors import OutputError


def fold_names(monkeypatch: pytest.MonkeyPatch, fold: Callable[[str], str], below: str = "/") -> None:
    """Let the system see `fold` of every path that begins with `below`, as a file system would that folds names."""

    def folding(call: Callable[..., object]) -> Callable[..., object]:
        def folded(path: object, *rest: object, **options: object) -> object:
            if isinstance(path, int):
                return call(path, *rest, **options)
            arguments = [path, *rest] if call in TWO_PATHS else [path]
            return call(*map(one, arguments, [options] * 2), *([] if call in TWO_PATHS else rest), **options)

        def one(path: object, options: dict[str, object]) -> str:
            text = os.fsdecode(path)  # type: ignore[arg-type]
            relative = options.get("dir_fd") or options.get("dst_dir_fd")
            return fold(text) if text.startswith(below) or (relative and not text.startswith("/")) else text

        return folded

    TWO_PATHS = (os.link, os.rename, os.replace)
    for name in ("open", "mkdir", "stat", "lstat", "link", "rename", "replace"):
        monkeypatch.setattr(os, name, folding(getattr(os, name)))


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


MERGING = [
    (str.lower, ["read", "READ"]),
    (str.lower, ["dir/a", "DIR/b"]),
    (str.lower, ["dir/sub/a", "dir/SUB"]),
    (str.lower, ["dir", "DIR/b"]),
    (decomposed, ["\u00e9", "e\u0301"]),
]


@pytest.mark.parametrize("start", ["missing", "empty", "full"])
@pytest.mark.parametrize(("fold", "names"), MERGING)
def test_names_that_coincide_on_the_file_system_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: Callable[[str], str], names: list[str], start: str
) -> None:
    target = tmp_path / "out"
    if start != "missing":
        target.mkdir()
    if start == "full":
        (target / "old").write_bytes(b"old")
    before = tree(tmp_path)
    with monkeypatch.context() as patch:
        fold_names(patch, fold)
        with pytest.raises(OutputError, match="for the same name; extract one of them with 'acncodec extract'") as caught:
            fill(target, [b"first", *(name.encode() for name in names)], overwrite=True)
    parts = [name.split("/") for name in names]
    differ = next(i for i in range(3) if parts[0][i] != parts[1][i])
    both = ["/".join(part[: differ + 1]) for part in parts]
    assert f"{both[0]} and {both[1]}" in str(caught.value)
    assert tree(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ([] if start == "missing" else ["out"])


@pytest.mark.parametrize(("fold", "names"), MERGING)
def test_the_same_names_are_distinct_on_other_file_systems(
    tmp_path: Path, fold: Callable[[str], str], names: list[str]
) -> None:
    fill(tmp_path / "out", [name.encode() for name in names], overwrite=False)
    assert tree(tmp_path / "out") == dict.fromkeys(names, b"new")


@pytest.mark.parametrize("names", [["read", "READ"], ["dir/a", "DIR/b"], ["dir/sub/a", "dir/SUB/b"]])
def test_a_target_that_folds_names_where_its_neighbours_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    with monkeypatch.context() as patch:
        fold_names(patch, str.lower, str(target) + "/")
        with pytest.raises(OutputError, match="for the same name"):
            fill(target, [name.encode() for name in names], overwrite=True)
    # Directories show before the first file is moved; of two files the first stays, and the second never replaces it.
    assert tree(target) == {"old": b"old"} | ({"read": b"new"} if names[0] == "read" else {})
    assert sorted(path.name for path in target.iterdir()) == sorted(tree(target))
