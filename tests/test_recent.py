"""Caches of an open archive: bounded, shared with no other archive, and freed with it."""

import gc
import weakref
from pathlib import Path

import pytest
from conftest import make_pngs, packed

from acncodec.access import open_images
from acncodec.nets.model import Model
from acncodec.reading import reader
from acncodec.reading.reader import Archive
from acncodec.reading.recent import Recent


def test_the_least_recently_used_result_is_dropped() -> None:
    made = []

    def make(number: int) -> str:
        made.append(number)
        return str(number)

    recent: Recent[str] = Recent(2)
    for number in (1, 2, 1, 3, 1, 2):
        assert recent.get(number, lambda number=number: make(number)) == str(number)
    assert made == [1, 2, 3, 2]
    recent.clear()
    recent.get(2, lambda: make(2))
    assert made == [1, 2, 3, 2, 2]


def test_results_are_dropped_by_size() -> None:
    made = []

    def make(number: int) -> str:
        made.append(number)
        return "x" * number

    recent: Recent[str] = Recent(5, len)
    for number in (3, 2, 3, 1, 2, 9, 9, 3):
        recent.get(number, lambda number=number: make(number))
    assert made == [3, 2, 1, 2, 9, 3]  # 1 leaves no room for 2, and 9, too much by itself, for nothing


def test_the_cache_has_the_given_size(
    tmp_path: Path, models: list[Model], model_files: list[Path], free_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pngs(tmp_path / "in", 6, 8, 8, "L")
    path = packed(tmp_path / "in", models, block=2)
    real, decoded = reader.decode_block, []
    monkeypatch.setattr(reader, "decode_block", lambda *arguments: decoded.append(1) or real(*arguments))
    for cache, expected in ((0, 6), (2 * 2 * 64, 6), (3 * 2 * 64, 3)):
        decoded.clear()
        with open_images(path, model_files, cache=cache) as images:
            for _ in range(2):
                for image in images:
                    image.load()
        assert len(decoded) == expected


def test_archives_read_in_turn_keep_their_blocks(
    tmp_path: Path, models: list[Model], model_files: list[Path], free_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    real = reader.decode_block
    monkeypatch.setattr(reader, "decode_block", lambda *arguments: decoded.append(1) or real(*arguments))
    paths = []
    for number in range(3):
        make_pngs(tmp_path / str(number), 4, 6, 6, seed=number)
        paths.append(packed(tmp_path / str(number), models))
    archives = [Archive(path, model_files) for path in paths]
    for content in range(4):
        for archive in archives:
            archive.read(content, lambda more: None)  # each time another function
    assert len(decoded) == 3
    kept = [weakref.ref(archive) for archive in archives]
    samples = weakref.ref(archives[0].samples(0))
    for archive in archives:
        archive.close()
    gc.collect()
    assert samples() is None
    del archive, archives
    gc.collect()
    assert [each() for each in kept] == [None] * 3
