"""Partial decoding: single files out of their blocks, and recovery from damaged or truncated archives."""

from collections import Counter
from pathlib import Path

import pytest
from conftest import make_pngs, no_progress, packed, snapshot

from acncodec.archive import header as head
from acncodec.errors import DamagedError, InputError
from acncodec.nets.model import Model
from acncodec.reading import reader
from acncodec.reading.decompress import Outcome, check, decompress, select
from acncodec.reading.parts import Parts
from acncodec.reading.reader import Archive

KEEP, DROP, FOLDERS = head.NAMES_KEEP, head.NAMES_DROP, head.NAMES_FOLDERS
BLOCK = 4


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """11 pictures of two kinds, which make three blocks, and two other files."""
    root = tmp_path / "images"
    make_pngs(root, 6, 4, 5, "1")
    make_pngs(root, 5, 5, 4, "L")
    (root / "a.txt").write_bytes(b"words " * 9)
    (root / "z.txt").write_bytes(b"more")
    return root


def damage(archive: Path, tag: str, number: int) -> None:
    """Change a byte in the middle of the number-th section of this tag."""
    with Archive(archive) as opened:
        tags, sizes, overhead = opened.container.tags, opened.container.sizes, opened.container.overhead
    index = [i for i, each in enumerate(tags) if each == tag][number]
    start = overhead["header"] + 4 + sum(size + 4 for size in sizes[:index])
    data = bytearray(archive.read_bytes())
    data[start + sizes[index] // 2] ^= 1
    archive.write_bytes(data)


def recover(archive: Path, target: Path, files: list[Path]) -> Outcome:
    with Parts(archive, files, tolerant=True) as opened:
        return decompress(opened, target, keep_going=True, progress=no_progress)


@pytest.mark.parametrize("block", range(3))
def test_a_damaged_block_loses_only_its_images(
    block: int, images: Path, models: list[Model], model_files: list[Path], free_networks: None, tmp_path: Path
) -> None:
    archive = packed(images, models, block=BLOCK)
    before = snapshot(images)
    pictures = sorted(name for name in before if name.endswith(b".png"))
    damage(archive, "BLCK", block)
    with Parts(archive, model_files) as opened, pytest.raises(DamagedError, match="BLCK"):
        check(opened, progress=no_progress)
    outcome = recover(archive, tmp_path / "out", model_files)
    lost = pictures[block * BLOCK : (block + 1) * BLOCK]
    assert sorted(name for name, _ in outcome.lost) == lost
    assert all("BLCK" in reason for _, reason in outcome.lost)
    assert snapshot(tmp_path / "out") == {name: content for name, content in before.items() if name not in lost}
    assert outcome.files == len(before) - len(lost)


@pytest.mark.parametrize("names", [DROP, FOLDERS])
def test_a_damaged_block_without_names_loses_only_its_images(
    names: int, images: Path, models: list[Model], model_files: list[Path], free_networks: None, tmp_path: Path
) -> None:
    archive = packed(images, models, block=BLOCK, names=names)
    damage(archive, "BLCK", 1)
    outcome = recover(archive, tmp_path / "out", model_files)
    assert len(outcome.lost) == BLOCK
    found, before = snapshot(tmp_path / "out"), snapshot(images)
    assert Counter(map(repr, found.values())) < Counter(map(repr, before.values()))
    assert len(found) == len(before) - BLOCK == outcome.files
    assert all(name.endswith(b".lost") for name, _ in outcome.lost)


def test_damaged_stored_files_are_lost_alone(
    images: Path, models: list[Model], model_files: list[Path], free_networks: None, tmp_path: Path
) -> None:
    archive = packed(images, models, block=BLOCK)
    damage(archive, "FILE", 0)
    outcome = recover(archive, tmp_path / "out", model_files)
    assert sorted(name for name, _ in outcome.lost) == [b"a.txt", b"z.txt"]
    assert outcome.files == 11


def test_a_truncated_archive_is_restored_up_to_its_end(
    images: Path, models: list[Model], model_files: list[Path], free_networks: None, tmp_path: Path
) -> None:
    archive = packed(images, models, block=BLOCK)
    with Archive(archive) as opened:
        last = sum(
            size + 4 for tag, size in zip(opened.container.tags, opened.container.sizes, strict=True) if tag == "FILE"
        )
        one = opened.container.sizes[[i for i, tag in enumerate(opened.container.tags) if tag == "BLCK"][-1]]
    archive.write_bytes(archive.read_bytes()[: -last - one // 2])
    with pytest.raises(DamagedError, match="truncated"):
        Archive(archive)
    outcome = recover(archive, tmp_path / "out", model_files)
    assert outcome.files == 2 * BLOCK
    assert len(outcome.lost) == 11 - 2 * BLOCK + 2


def test_only_requested_blocks_are_decoded(
    images: Path,
    models: list[Model],
    model_files: list[Path],
    free_networks: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = packed(images, models, block=BLOCK)
    decoded = []
    original = reader.decode_block
    monkeypatch.setattr(reader, "decode_block", lambda block, *rest: decoded.append(block) or original(block, *rest))
    before = snapshot(images)
    with Parts(archive, model_files) as parts, parts.open(0) as opened:
        wanted = opened.entries[1:3]
        outcome = decompress(parts, tmp_path / "out", patterns=tuple(e.name.decode() for e in wanted), progress=no_progress)
    assert outcome.files == 2
    assert len(decoded) == 1
    assert snapshot(tmp_path / "out") == {entry.name: before[entry.name] for entry in wanted}


def test_selection(images: Path, models: list[Model], free_networks: None) -> None:
    """A path of the archive is no glob, whatever characters it has."""
    for name in ("[az].txt", "[az]/in.txt", "*"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes(name.encode())
    (images / "a?" / "empty").mkdir(parents=True)
    folder = [b"1-4x5/%d.png" % i for i in range(6)]
    with Parts(packed(images, models)) as archive:
        everything = [entry.name for entry in archive.open(0).entries]
        for pattern, names in {
            "a.txt": [b"a.txt"],
            "1-4x5": folder,
            ".//1-4x5/": folder,
            "[1]-*": folder,
            "*.txt": [b"[az].txt", b"[az]/in.txt", b"a.txt", b"z.txt"],
            "[az].txt": [b"[az].txt"],
            "[az]": [b"[az]/in.txt"],
            "*": [b"*"],
            "a?": [],
            ".": everything,
        }.items():
            found = select(archive, (pattern,))
            assert sorted(found.entries[0]) == names, pattern
            assert found.empty == ({b"a?/empty"} if pattern in ("a?", ".") else set()), pattern
        assert sorted(select(archive, ("a.txt", "z*")).entries[0]) == [b"a.txt", b"z.txt"]
        with pytest.raises(InputError, match=r"matches 'b\\x1b'"):
            select(archive, ("a.txt", "b\x1b"))
