"""What an open archive keeps is its own: other archives take nothing of it, and it goes with the archive."""

import gc
import weakref
from pathlib import Path

import pytest
from conftest import make_pngs, packed

from acncodec.codec import reader
from acncodec.codec.reader import Archive
from acncodec.codec.recent import Recent
from acncodec.nets.model import Model


def test_the_result_used_longest_ago_makes_room() -> None:
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
