"""Blocks decoded side by side, in threads: as one after the other, only at once."""

import threading
from pathlib import Path

import numpy as np
import pytest

from acncodec import bundled
from acncodec.codec import reader
from acncodec.codec.ahead import Ahead
from acncodec.codec.compress import Options, compress
from acncodec.codec.reader import Archive
from acncodec.coding import pixels, protocol, steps
from acncodec.errors import DamagedError

BLOCK = 12


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in five blocks."""
    root = tmp_path_factory.mktemp("ahead") / "digits"
    root.mkdir()
    for path in sorted((bundled.SAMPLE / "grey").rglob("*.png"))[::4][: 5 * BLOCK - 3]:
        (root / path.name).write_bytes(path.read_bytes())
    target = root.with_suffix(".acn")
    compress(root, target, [bundled.find("mnist-8bit")], Options(block=BLOCK), lambda *_: lambda _: None)
    return target


def contents(archive: Archive, count: int, lost: list[bytes] | None = None) -> dict[bytes, bytes]:
    archive._ahead._count = count
    note = None if lost is None else lambda entry, _: lost.append(entry.name)
    return dict(archive.files(archive.entries, lost=note))


@pytest.mark.parametrize("compiled", [True, False])
def test_the_same_files_come_back(archive: Path, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with Archive(archive) as opened:
        assert len(opened.header.blocks) == 5
        want = contents(opened, 1)
    if not compiled:
        for module in (pixels, protocol, steps):
            monkeypatch.setattr(module, "available", lambda _: False)
    with Archive(archive) as opened:
        assert contents(opened, 3) == want


def test_damage_costs_its_block_alone(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = reader.decode_block
    with Archive(archive) as opened:
        want, bad = contents(opened, 1), opened.block(2)

    def damaged(block: object, *rest: object) -> list[np.ndarray]:
        if block == bad:
            raise DamagedError("this one")
        return decode(block, *rest)

    monkeypatch.setattr(reader, "decode_block", damaged)
    lost: list[bytes] = []
    with Archive(archive) as opened:
        found = contents(opened, 3, lost)
    assert len(lost) == BLOCK
    assert found == {name: data for name, data in want.items() if name not in lost}
    with Archive(archive) as opened, pytest.raises(DamagedError, match="this one"):
        contents(opened, 3)


def test_several_run_at_once_and_no_more() -> None:
    running, most, lock = 0, 0, threading.Lock()
    three = threading.Barrier(3, timeout=20)

    def task(index: int) -> list[np.ndarray]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        three.wait()  # passed only by three together
        with lock:
            running -= 1
        return [np.array(index)]

    ahead = Ahead(lambda index: lambda: task(index), 3)
    with ahead.of(range(9)):
        assert [int(ahead.take(index)[0]) for index in range(9)] == list(range(9))
        assert ahead.take(3) is None
    assert most == 3


def test_what_cannot_be_begun_is_left_to_its_taker() -> None:
    def begin(index: int):
        if index == 1:
            raise DamagedError("no block")
        return lambda: [np.array(index)]

    ahead = Ahead(begin, 2)
    with ahead.of(range(3)):
        assert [ahead.take(index) is None for index in range(3)] == [False, True, False]


def test_one_at_a_time_takes_no_thread() -> None:
    ahead = Ahead(lambda index: pytest.fail("begun"), 1)
    with ahead.of(range(3)):
        assert ahead.take(0) is None
