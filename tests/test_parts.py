"""Archives of many parts are read as one archive: by commands, from Python, by name, and with a damaged part."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import reader
import torch.distributed
from commands import good
from conftest import Make, make_pngs, no_progress, restored_parts, snapshot
from PIL import Image
from reader_parts import Manifest
from torch.utils.data import DataLoader

import acncodec as package
from acncodec.archive.header import NAMES_DROP, NAMES_FOLDERS, NAMES_KEEP
from acncodec.archive.manifest import BUCKET_KEYS
from acncodec.errors import AcnError, DamagedError, InputError
from acncodec.reading.decompress import check, decompress
from acncodec.reading.parts import MANIFEST, Parts


def test_the_second_reader_agrees(mixed_source: Path, make_parts: Make, model_files: list[Path]) -> None:
    for names in (NAMES_KEEP, NAMES_FOLDERS):
        archive = make_parts(mixed_source, str(names), names=names)
        manifest = Manifest(archive)
        with Parts(archive, model_files) as parts:
            for number, (name, *_) in enumerate(manifest.parts):
                found = reader.Archive((archive / name).read_bytes(), [path.read_bytes() for path in model_files])
                with parts.open(number) as part:
                    entries = {entry.name for entry in part.entries}
                    named = set(part.directory.named)
                prefix = os.fsencode(manifest.prefix(number))
                assert entries == {
                    each if each in named else b"/".join([*each.split(b"/")[:-1], prefix + each.split(b"/")[-1]])
                    for each in found.files
                }
                assert {manifest.part_of(each) for each in named} <= {number}


def test_every_part_is_an_archive_by_itself(mixed_source: Path, make_parts: Make, model_files: list[Path]) -> None:
    found: dict[bytes, object] = {}
    for part in sorted(make_parts(mixed_source).glob("part-*")):
        found |= snapshot(restored_parts(part, model_files))
    assert found == snapshot(mixed_source)


def test_files_are_found_by_name(
    mixed_source: Path,
    make_parts: Make,
    model_files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = make_parts(mixed_source)
    want = snapshot(mixed_source)
    files = [name for name, content in want.items() if content]
    with Parts(archive, model_files) as parts:
        for name in files:
            number = parts.where(name)
            assert number is not None
            with parts.open(number) as part:
                assert name in [entry.name for entry in part.entries]
        assert parts.where(b"none.png") is None
        opened: list[int] = []
        real = Parts.open
        monkeypatch.setattr(Parts, "open", lambda self, number: opened.append(number) or real(self, number))
        decompress(parts, tmp_path / "one", patterns=("L-3x6/2.png",), progress=no_progress)
        assert len(set(opened)) == 1
        for i, patterns in enumerate((("L-3x6",), ("*.txt",), ("again.png", "colour/a.png"))):
            decompress(parts, tmp_path / str(i), patterns=patterns, progress=no_progress)
    assert snapshot(tmp_path / "one") == {b"L-3x6/2.png": want[b"L-3x6/2.png"]}
    assert set(snapshot(tmp_path / "0")) == {name for name in files if name.startswith(b"L-3x6/")}
    assert set(snapshot(tmp_path / "1")) == {b"note.txt", b"L-3x6/note.txt"}
    assert set(snapshot(tmp_path / "2")) == {b"again.png", b"colour/a.png"}
    with Parts(archive, model_files) as parts, pytest.raises(InputError, match="nothing in the archive"):
        decompress(parts, tmp_path / "x", patterns=("none.png",), progress=no_progress)


@pytest.mark.parametrize("names", [NAMES_DROP, NAMES_FOLDERS])
def test_numbered_names_stay_unique(mixed_source: Path, make_parts: Make, model_files: list[Path], names: int) -> None:
    (mixed_source / "1--07.txt").write_text("looks like a numbered image of a part")
    (mixed_source / "0---0.png").mkdir()
    (mixed_source / "0---0.png" / "note.txt").write_text("in a folder that looks like one, too")
    want = snapshot(mixed_source)
    found = snapshot(restored_parts(make_parts(mixed_source, names=names), model_files))
    images = sorted(repr(v) for n, v in want.items() if n.endswith(b".png"))
    assert sorted(repr(v) for n, v in found.items() if n.endswith(b".png")) == images
    assert {n: v for n, v in found.items() if n.endswith(b".txt")} == {n: v for n, v in want.items() if n.endswith(b".txt")}
    assert all(b"----" in n for n in found if n.endswith(b".png"))
    if names == NAMES_FOLDERS:
        assert sum(n.startswith(b"L-3x6/") and n.endswith(b".png") for n in found) == 7


def test_damage_to_a_part_is_found_and_loses_only_its_files(
    mixed_source: Path, make_parts: Make, model_files: list[Path], tmp_path: Path
) -> None:
    archive = make_parts(mixed_source)
    want = snapshot(mixed_source)
    part = archive / "part-00001.acn"
    with Parts(archive) as parts, parts.open(1) as opened:
        inside = {entry.name for entry in opened.entries}
    data = part.read_bytes()
    part.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    for do in (lambda p: check(p, progress=no_progress), lambda p: decompress(p, tmp_path / "x", progress=no_progress)):
        with Parts(archive, model_files) as parts, pytest.raises(DamagedError, match="part-00001"):
            do(parts)
    with Parts(archive) as parts, parts.open(1) as opened:
        names = opened.container.tags.index("NAME")
        start = data.index(opened.container.read(names))
    part.write_bytes(data[:start] + bytes([data[start] ^ 1]) + data[start + 1 :])
    with Parts(archive, model_files, tolerant=True) as parts:
        assert [name for name, _ in check(parts, keep_going=True, progress=no_progress).lost] == [b"part-00001.acn"]
    part.unlink()
    with Parts(archive, model_files) as parts, pytest.raises(InputError, match="part-00001"):
        check(parts, progress=no_progress)
    with Parts(archive, model_files, tolerant=True) as parts:
        outcome = decompress(parts, tmp_path / "rest", keep_going=True, progress=no_progress)
    assert [name for name, _ in outcome.lost] == [b"part-00001.acn"]
    assert {n: v for n, v in snapshot(tmp_path / "rest").items() if v} == {
        n: v for n, v in want.items() if v and n not in inside
    }
    part.write_bytes((archive / "part-00000.acn").read_bytes())
    with Parts(archive, model_files) as parts, pytest.raises(DamagedError, match="not the part"):
        parts.open(1)
    manifest = (archive / MANIFEST).read_bytes()
    for at in range(0, len(manifest), 7):
        (archive / MANIFEST).write_bytes(manifest[:at] + bytes([manifest[at] ^ 1]) + manifest[at + 1 :])
        with pytest.raises(AcnError):
            check_all(archive, list(want))


def check_all(archive: Path, names: list[bytes]) -> None:
    with Parts(archive) as parts:
        for name in names:
            parts.where(name)


def test_datasets_and_their_shards_cover_all_images(mixed_source: Path, make_parts: Make, model_files: list[Path]) -> None:
    archive = make_parts(mixed_source, block=2)
    want = {os.fsdecode(n): v for n, v in snapshot(mixed_source).items() if n.endswith(b".png")}
    with package.open(archive, model_files) as images:
        assert len(images) == len(images.names) == len(want)
        assert set(images.names) == set(want)
        shown = {name: np.asarray(image).tobytes() for name, image in zip(images.names, images, strict=True)}
        assert images[-1].size == images[len(images) - 1].size
        with pytest.raises(IndexError):
            images[len(images)]
        for count in (1, 2, 3, 50):
            assert len([images[0] for block in range(len(images.blocks)) for _ in images.block(block)]) == len(want)
            each = [[np.asarray(image).tobytes() for _, image in images.block(i)] for i in range(len(images.blocks))]
            assert [len(part) for part in each] == [images.count(i) for i in range(len(images.blocks))]
            shares = [list(itertools.chain(*each[i::count])) for i in range(count)]
            assert sorted(each for share in shares for each in share) == sorted(shown.values())
    dataset = package.AcnDataset(archive, transform=np.asarray, models=model_files)
    assert len(dataset) == len(want)
    assert sorted(image.tobytes() for image in dataset.stream()) == sorted(shown.values())


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_stream_is_sharded_among_ranks_and_workers(
    mixed_source: Path, make_parts: Make, model_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = package.AcnDataset(make_parts(mixed_source, block=2), transform=as_bytes, models=model_files)
    want = sorted(dataset[i] for i in range(len(dataset)))
    found = []
    for rank in range(2):
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
        share = list(DataLoader(dataset.stream(), batch_size=None, num_workers=2))
        assert 0 < len(share) < len(want)
        found += share
    assert sorted(found) == want


def as_bytes(image: Image.Image) -> bytes:
    return image.mode.encode() + image.tobytes()


def test_the_names_of_many_images_fill_many_buckets(
    make_parts: Make, model_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BUCKET_KEYS > 100
    monkeypatch.setattr("acncodec.archive.manifest.BUCKET_KEYS", 10)
    make_pngs(tmp_path / "in", 60, 2, 2)
    archive = make_parts(tmp_path / "in")
    with Parts(archive, model_files) as parts:
        assert parts.manifest is not None
        assert parts.manifest.buckets == 6
        assert None not in {parts.where(b"1-2x2/%d.png" % i) for i in range(60)}


def test_commands_take_both_kinds(mixed_source: Path, tmp_path: Path, model_files: list[Path]) -> None:
    options = [part for path in model_files for part in ("--model", path)]
    made = json.loads(good("compress", mixed_source, tmp_path / "a", "--parts", "2", "--json", *options).out)
    assert (made["parts"], made["names"]) == (2, "keep")
    info = json.loads(good("info", tmp_path / "a", "--json", *options).out)
    assert {key: value for key, value in made.items() if key in info} == info
    assert {made[key] for key in made.keys() - info.keys()} == {None}  # times of many parts are not known
    listed = good("list", tmp_path / "a" / MANIFEST).out.splitlines()
    assert sorted(listed) == sorted(os.fsdecode(n) for n, v in snapshot(mixed_source).items() if v)
    assert json.loads(good("test", tmp_path / "a", "--json", *options).out)["files"] == len(listed)
    good("decompress", tmp_path / "a", tmp_path / "b", *options)
    assert snapshot(tmp_path / "b") == snapshot(mixed_source)
    assert "in 2 parts" in good("info", tmp_path / "a", *options).out
