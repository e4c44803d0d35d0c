"""Files that change during compression: what is stored is one content that the file had, never a mixture."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import make_pngs, no_progress, unpacked
from PIL import Image

from acncodec.images import scan
from acncodec.nets.model import Model
from acncodec.packing.compress import Options, compress

OLD, NEW, LONGER = b"old " * 300, b"new " * 300, b"longer " * 400
EVENTS = 12  # more than there are from the first file read to the last block


class Meddler:
    """Progress callbacks that run an action once, at the n-th call."""

    def __init__(self, number: int, what: Callable[[], None]) -> None:
        self.left, self.what = number, what

    def __call__(self, stage: str, total: int) -> Callable[[int], None]:
        self.advance(0)
        return self.advance

    def advance(self, _: int) -> None:
        if self.left == 0:
            self.what()
        self.left -= 1


def restored(tmp_path: Path, source: Path, models: list[Model], meddler: Meddler, **options: bool) -> dict[str, bytes]:
    archive = tmp_path / "a.acn"
    compress(source, archive, models, Options(**options), meddler)
    return files(unpacked(archive, []))


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two equal texts, and two equal images that are kept as files, beside some digits."""
    root = tmp_path / "in"
    make_pngs(root, 3, 8, 8)
    for name in ("a.txt", "b.txt"):
        (root / name).write_bytes(OLD)
    deep = Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64))
    for name in ("y.png", "z.png"):
        deep.save(root / name)
    return root


@pytest.mark.parametrize("event", range(EVENTS))
@pytest.mark.parametrize("new", [NEW, LONGER, None])
@pytest.mark.parametrize("changed", ["a.txt", "b.txt", "y.png"])
def test_a_file_changes_at_any_point(tmp_path: Path, source: Path, event: int, new: bytes | None, changed: str) -> None:
    before = files(source)

    def change() -> None:
        if new is None:
            (source / changed).unlink()
        else:
            (source / changed).write_bytes(new)

    found = restored(tmp_path, source, [], Meddler(event, change))
    mine = found.pop(changed, None)
    assert mine in (before.pop(changed), new)
    assert {name: data for name, data in found.items() if name in ("a.txt", "b.txt", "z.png")} == {
        name: data for name, data in before.items() if name in ("a.txt", "b.txt", "z.png")
    }
    assert found.keys() == before.keys()


@pytest.mark.parametrize("exact_files", [False, True])
@pytest.mark.parametrize("event", [0, 4, 6])
def test_a_changing_image_that_is_kept_as_a_file(tmp_path: Path, event: int, exact_files: bool) -> None:
    """Such a picture is stored as its file, which is read again, but its fingerprint is of the pixels."""
    source = tmp_path / "in"
    source.mkdir()
    flat = Image.new("1", (1, 1))
    for name in ("a.png", "b.png"):
        flat.save(source / name)

    def change() -> None:
        (source / "a.png").write_bytes(NEW)

    found = restored(tmp_path, source, [], Meddler(event, change), exact_files=exact_files)
    (tmp_path / "b.png").write_bytes(found["b.png"])
    with Image.open(tmp_path / "b.png") as image:
        assert (image.mode, image.size, image.getpixel((0, 0))) == ("1", (1, 1), 0)
    assert found["a.png"] in (found["b.png"], NEW)


@pytest.mark.parametrize("times", [1, scan.READ_TRIES - 1, 1000])
def test_a_file_that_grows_while_it_is_read(
    tmp_path: Path, source: Path, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, left, real = source / "c.log", times, os.fstat
    log.write_bytes(b"line\n")

    def fstat(descriptor: int) -> os.stat_result:
        nonlocal left
        found = real(descriptor)
        if left and found.st_ino == log.stat().st_ino:
            left -= 1
            opened.write(b"another line\n")
        return found

    with log.open("ab", buffering=0) as opened:
        monkeypatch.setattr(scan.os, "fstat", fstat)
        done = compress(source, tmp_path / "a.acn", [], Options(), no_progress)
        monkeypatch.undo()
    names = [name for name, _ in done.collection.unreadable]
    assert names == ([b"c.log"] if times > scan.READ_TRIES else [])
    kept = files(unpacked(tmp_path / "a.acn", []))
    if not names:
        assert kept["c.log"] == log.read_bytes()
    else:
        assert "keeps changing" in done.collection.unreadable[0][1]
        assert "c.log" not in kept
