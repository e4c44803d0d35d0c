"""Blocks decoded ahead in parallel threads: the same results as one after the other."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import files_of, make_pngs, packed

from acncodec.block import codec
from acncodec.coding import pixels, protocol, steps
from acncodec.errors import DamagedError
from acncodec.nets.model import Model
from acncodec.progress import Advance, ignore
from acncodec.reading import ahead as ahead_module
from acncodec.reading import reader
from acncodec.reading.ahead import Ahead
from acncodec.reading.reader import Archive

BLOCK = 12


@pytest.fixture
def archive(tmp_path: Path, models: list[Model], free_networks: None) -> Path:
    """Images in five blocks."""
    make_pngs(tmp_path / "images", 5 * BLOCK - 3, 5, 4, "L")
    return packed(tmp_path / "images", models, block=BLOCK)


@pytest.fixture
def opened(archive: Path, model_files: list[Path]) -> Callable[[], Archive]:
    return lambda: Archive(archive, model_files)


def contents(archive: Archive, count: int, lost: list[bytes] | None = None) -> dict[bytes, bytes]:
    archive._ahead._count = count
    note = None if lost is None else lambda entry, _: lost.append(entry.name)
    return files_of(archive, lost=note)


@pytest.mark.parametrize("compiled", [True, False])
def test_the_same_files_come_back(opened: Callable[[], Archive], compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened() as first:
        assert len(first.header.blocks) == 5
        want = contents(first, 1)
    if not compiled:
        for module in (pixels, protocol, steps):
            monkeypatch.setattr(module, "available", lambda _: False)
    with opened() as second:
        assert contents(second, 3) == want


def test_damage_costs_its_block_alone(opened: Callable[[], Archive], monkeypatch: pytest.MonkeyPatch) -> None:
    decode = reader.decode_block
    with opened() as first:
        want, bad = contents(first, 1), first.block(2)

    def damaged(block: object, *rest: object) -> list[np.ndarray]:
        if block == bad:
            raise DamagedError("this one")
        return decode(block, *rest)

    monkeypatch.setattr(reader, "decode_block", damaged)
    lost: list[bytes] = []
    with opened() as second:
        found = contents(second, 3, lost)
    assert len(lost) == BLOCK
    assert found == {name: data for name, data in want.items() if name not in lost}
    with opened() as third, pytest.raises(DamagedError, match="this one"):
        contents(third, 3)


def test_tasks_run_in_parallel_up_to_the_limit() -> None:
    running, most, lock = 0, 0, threading.Lock()
    three = threading.Barrier(3, timeout=600)

    def task(index: int) -> list[np.ndarray]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        three.wait()  # passed only by three together
        with lock:
            running -= 1
        return [np.array(index)]

    ahead = Ahead(lambda index, advance: lambda: task(index), 3)
    with ahead.of(range(9)):
        assert [int(ahead.take(index, ignore)[0]) for index in range(9)] == list(range(9))
        assert ahead.take(3, ignore) is None
    assert most == 3


def test_a_task_that_cannot_start_is_left_to_the_caller() -> None:
    def begin(index: int, advance: Advance):
        if index == 1:
            raise DamagedError("no block")
        return lambda: [np.array(index)]

    ahead = Ahead(begin, 2)
    with ahead.of(range(3)):
        assert [ahead.take(index, ignore) is None for index in range(3)] == [False, True, False]


def test_a_limit_of_one_starts_no_thread() -> None:
    ahead = Ahead(lambda index, advance: pytest.fail("begun"), 1)
    with ahead.of(range(3)):
        assert ahead.take(0, ignore) is None


def test_the_waiting_caller_reports_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead_module, "REPORT_SECONDS", 0.01)
    told: list[tuple[int, float]] = []
    heard = threading.Event()

    def note(share: float) -> None:
        told.append((threading.get_ident(), share))
        if share:
            heard.set()

    def begin(index: int, advance: Advance) -> Callable[[], list[np.ndarray]]:
        def decode() -> list[np.ndarray]:
            advance(0.25)
            assert index or heard.wait(20)  # which only the taker can make true, before this block is whole
            return [np.array(index)]

        return decode

    ahead = Ahead(begin, 2)
    with ahead.of(range(2)):
        ahead.take(0, note)
    assert {thread for thread, _ in told} == {threading.get_ident()}
    assert sum(share for _, share in told) == 0.25


@pytest.mark.parametrize(("small", "count"), [(BLOCK, 3), (BLOCK - 1, 1)])
def test_small_blocks_are_decoded_by_a_thread_each(
    opened: Callable[[], Archive], small: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "SMALL_BLOCK", small)
    monkeypatch.setattr(reader.torch, "get_num_threads", lambda: 3)
    with opened() as archive:
        assert archive._ahead._count == count
