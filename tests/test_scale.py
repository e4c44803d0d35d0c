"""Archives of many parts: what goes in comes out, whatever the source; and what is begun can be gone on with."""

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import reader
from conftest import make_pngs, no_progress, random_pixels, save_image, snapshot
from reader_parts import Manifest
from test_cli import acncodec, good

import acncodec as package
from acncodec.archive import atomic
from acncodec.archive.header import NAMES_DROP, NAMES_FOLDERS, NAMES_KEEP
from acncodec.archive.manifest import BUCKET_KEYS
from acncodec.codec.compress import Options
from acncodec.codec.decompress import check, decompress
from acncodec.codec.info import describe
from acncodec.codec.parts import MANIFEST, Parts
from acncodec.errors import AcnError, DamagedError, InputError, OutputError
from acncodec.images.scan import Listing
from acncodec.planning import partition
from acncodec.scale import shards as sharding
from acncodec.scale import stages
from acncodec.scale.engines import Local, engine
from acncodec.scale.pipeline import compress_parts
from acncodec.scale.work import FOLDER

PARTS = 3


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Small images of three kinds in folders, a duplicate, two texts, an empty directory and a link."""
    root = tmp_path / "in"
    make_pngs(root, 9, 4, 5)
    make_pngs(root, 7, 3, 6, "L")
    save_image(root / "colour" / "a.png", random_pixels(1, 1, 4, 4, 256, 3)[0], "RGB")
    (root / "again.png").write_bytes(next(root.rglob("1-4x5/3.png")).read_bytes())
    (root / "note.txt").write_text("words")
    (root / "L-3x6" / "note.txt").write_text("other words")
    (root / "empty" / "deeper").mkdir(parents=True)
    (root / "link").symlink_to("note.txt")
    return root


@pytest.fixture
def make(tmp_path: Path, model_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Compress a source into parts, in shards of five files."""
    monkeypatch.setattr(sharding, "SHARD_FILES", 5)

    def made(source: object, name: str = "out", parts: int = PARTS, resume: bool = False, **options: Any) -> Path:
        target = tmp_path / name
        compress_parts(
            str(source),
            target,
            parts=parts,
            models=tuple(map(str, model_files)),
            auto=False,
            options=Options(**options),
            engine=Local(),
            progress=no_progress,
            resume=resume,
        )
        return target

    return made


def restored(archive: Path, models: list[Path], **options: Any) -> Path:
    target = archive.with_name(archive.name + " restored")
    with Parts(archive, models) as parts:
        decompress(parts, target, progress=no_progress, **options)
    return target


def test_a_directory_comes_back(source: Path, make: Callable[..., Path], model_files: list[Path]) -> None:
    archive = make(source)
    assert sorted(path.name for path in archive.iterdir()) == [MANIFEST, *(f"part-{i:05}.acn" for i in range(PARTS))]
    want = snapshot(source)
    assert snapshot(restored(archive, model_files)) == want
    with Parts(archive, model_files) as parts:
        told = describe(parts, model_files)
        assert (told["parts"], told["files"], told["empty"]) == (PARTS, len([v for v in want.values() if v]), 1)
        assert told["file_bits"] == 8 * sum(path.stat().st_size for path in archive.iterdir())
        assert sum(line["bits"] for line in told["ledger"]) == told["file_bits"]
        assert check(parts, progress=no_progress).files == told["files"]


def test_another_reader_agrees(source: Path, make: Callable[..., Path], model_files: list[Path]) -> None:
    for names in (NAMES_KEEP, NAMES_FOLDERS):
        archive = make(source, str(names), names=names)
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


def test_every_part_is_an_archive_by_itself(source: Path, make: Callable[..., Path], model_files: list[Path]) -> None:
    found: dict[bytes, object] = {}
    for part in sorted(make(source).glob("part-*")):
        found |= snapshot(restored(part, model_files))
    assert found == snapshot(source)


def test_files_are_found_by_name(
    source: Path, make: Callable[..., Path], model_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make(source)
    want = snapshot(source)
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
def test_numbered_names_stay_unique(source: Path, make: Callable[..., Path], model_files: list[Path], names: int) -> None:
    (source / "1--07.txt").write_text("looks like a numbered image of a part")
    want = snapshot(source)
    found = snapshot(restored(make(source, names=names), model_files))
    images = sorted(repr(v) for n, v in want.items() if n.endswith(b".png"))
    assert sorted(repr(v) for n, v in found.items() if n.endswith(b".png")) == images
    assert {n: v for n, v in found.items() if n.endswith(b".txt")} == {n: v for n, v in want.items() if n.endswith(b".txt")}
    assert all(b"---" in n for n in found if n.endswith(b".png"))
    if names == NAMES_FOLDERS:
        assert sum(n.startswith(b"L-3x6/") and n.endswith(b".png") for n in found) == 7


@pytest.mark.parametrize("parts", [1, 2, 40])
def test_any_number_of_parts(source: Path, make: Callable[..., Path], model_files: list[Path], parts: int) -> None:
    archive = make(source, parts=parts)
    assert len(list(archive.glob("part-*"))) == parts
    assert snapshot(restored(archive, model_files)) == snapshot(source)


def test_a_list_of_paths(source: Path, make: Callable[..., Path], model_files: list[Path]) -> None:
    want = {name: v for name, v in snapshot(source).items() if name.startswith(b"L-3x6") and v}
    (source / "some.txt").write_bytes(b"\n".join([*sorted(want), b"", b"gone.png"]))
    archive = make(source / "some.txt")
    assert snapshot(restored(archive, model_files)) == want
    (source / "some.txt").write_text("../outside.png")
    with pytest.raises(InputError, match="not a relative path"):
        make(source / "some.txt", "other")


def tars(source: Path, folder: Path) -> dict[bytes, object]:
    """WebDataset shards of a directory's images, and what they should become."""
    folder.mkdir()
    want = {name: v for name, v in snapshot(source).items() if v}
    files = sorted(want)
    found = {}
    for i in range(2):
        with tarfile.open(folder / f"set-{i:02}.tar", "w") as tar:
            for name in files[i::2]:
                tar.add(source / os.fsdecode(name), os.fsdecode(name))
                found[b"set-%02d/" % i + name] = want[name]
    return found


def test_tar_files(source: Path, make: Callable[..., Path], model_files: list[Path], tmp_path: Path) -> None:
    want = tars(source, tmp_path / "tars")
    for i, pattern in enumerate(("set-{00..01}.tar", "set-*.tar")):
        archive = make(tmp_path / "tars" / pattern, str(i))
        assert snapshot(restored(archive, model_files)) == want
    (tmp_path / "tars" / "set-01.tar").write_bytes(b"no tar file")
    with pytest.raises(InputError, match=r"set-01\.tar.*cannot be read"):
        make(tmp_path / "tars" / "set-{00..01}.tar", "bad")
    with pytest.raises(InputError, match="names no tar file"):
        make(tmp_path / "tars" / "none-*.tar", "none")


def test_sources_of_fsspec(source: Path, make: Callable[..., Path], model_files: list[Path], tmp_path: Path) -> None:
    want = {name: v for name, v in snapshot(source).items() if v and name.endswith(b".png")}
    memory = fsspec.filesystem("memory")
    for name in want:
        memory.pipe(f"/pictures/{os.fsdecode(name)}", (source / os.fsdecode(name)).read_bytes())
    try:
        assert snapshot(restored(make("memory://pictures"), model_files)) == want
    finally:
        memory.rm("/pictures", recursive=True)
    with pytest.raises(InputError, match="no files below"):
        make("memory://pictures", "none")
    tarred = tars(source, tmp_path / "tars")
    for path in (tmp_path / "tars").iterdir():
        memory.pipe(f"/tars/{path.name}", path.read_bytes())
    assert snapshot(restored(make("memory://tars/set-*.tar", "tar"), model_files)) == tarred


def test_two_files_of_one_name_are_refused(make: Callable[..., Path], tmp_path: Path) -> None:
    make_pngs(tmp_path / "in", 9, 4, 5)
    names = [f"1-4x5/{i}.png" for i in range(9)]
    (tmp_path / "in" / "twice.txt").write_text("\n".join([*names, *names]))
    with pytest.raises(InputError, match="name"):
        make(tmp_path / "in" / "twice.txt")


def test_a_file_that_vanishes_is_told_and_no_more(
    source: Path, make: Callable[..., Path], model_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    want = snapshot(source)
    real = stages.fit

    def fit(*arguments: Any) -> None:
        (source / "L-3x6" / "2.png").unlink()
        real(*arguments)

    monkeypatch.setattr(stages, "fit", fit)
    archive = make(source)
    del want[b"L-3x6/2.png"]
    assert snapshot(restored(archive, model_files)) == want


class Stop(Exception):
    """The process dies here."""


@pytest.mark.parametrize("stage", ["codes", "fit", "exchange", "code"])
def test_work_that_was_cut_short_goes_on(
    source: Path, make: Callable[..., Path], stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = snapshot(make(source, "whole"))
    calls: list[int] = []
    real = getattr(stages, stage)

    def dies(*arguments: Any) -> None:
        if len(calls) == (0 if stage == "fit" else 1):
            raise Stop
        calls.append(1)
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(stages, stage, dies)
        with pytest.raises(Stop):
            make(source)
    assert [path.name for path in (source.parent / "out").iterdir()] == [FOLDER]
    with pytest.raises(OutputError, match="--resume"):
        make(source)
    with pytest.raises(InputError, match="other options"):
        make(source, parts=PARTS + 1, resume=True)
    again: list[int] = []

    def counted(*arguments: Any) -> None:
        again.append(1)
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(stages, stage, counted)
        archive = make(source, resume=True)
    assert snapshot(archive) == whole
    total = {"codes": 4, "exchange": 4, "code": PARTS, "fit": 1}[stage]
    assert len(again) + len(calls) == total


def test_a_full_disk_loses_nothing(source: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = snapshot(make(source, "whole"))
    real, left = atomic._write_all, [4_000]

    def full(descriptor: int, data: bytes) -> None:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_write_all", full)
        with pytest.raises(OutputError, match="No space left"):
            make(source)
    assert [path.name for path in (source.parent / "out").iterdir()] == [FOLDER]
    assert snapshot(make(source, resume=True)) == whole


def test_what_stands_there_is_kept(source: Path, make: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    for resume in (False, True):
        with pytest.raises(OutputError, match="not empty"):
            make(source, resume=resume)
    make(source, overwrite=True, parts=4)
    assert (tmp_path / "out" / "mine").read_text() == "mine"
    make(source, overwrite=True, parts=2)
    assert len(list((tmp_path / "out").glob("part-*"))) == 2
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        make(source, "file", overwrite=True)


def test_damage_to_a_part_is_found_and_costs_its_files_only(
    source: Path, make: Callable[..., Path], model_files: list[Path], tmp_path: Path
) -> None:
    archive = make(source)
    want = snapshot(source)
    part = archive / "part-00001.acn"
    with Parts(archive) as parts, parts.open(1) as opened:
        inside = {entry.name for entry in opened.entries}
    data = part.read_bytes()
    part.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    for do in (lambda p: check(p, progress=no_progress), lambda p: decompress(p, tmp_path / "x", progress=no_progress)):
        with Parts(archive, model_files) as parts, pytest.raises(DamagedError, match="part-00001"):
            do(parts)
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


def test_programs_see_all_images_and_shares_of_them(
    source: Path, make: Callable[..., Path], model_files: list[Path]
) -> None:
    archive = make(source, block=2)
    want = {os.fsdecode(n): v for n, v in snapshot(source).items() if n.endswith(b".png")}
    with package.open(archive, model_files) as images:
        assert len(images) == len(images.names) == len(want)
        assert set(images.names) == set(want)
        shown = {name: np.asarray(image).tobytes() for name, image in zip(images.names, images, strict=True)}
        assert images[-1].size == images[len(images) - 1].size
        with pytest.raises(IndexError):
            images[len(images)]
        for count in (1, 2, 3, 50):
            shares = [[np.asarray(image).tobytes() for image in images.share(i, count)] for i in range(count)]
            assert sorted(each for share in shares for each in share) == sorted(shown.values())
    dataset = package.AcnDataset(archive, transform=np.asarray, models=model_files)
    assert len(dataset) == len(want)
    assert sorted(image.tobytes() for image in dataset.stream()) == sorted(shown.values())


def test_the_names_of_many_images_fill_many_buckets(
    make: Callable[..., Path], model_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BUCKET_KEYS > 100
    monkeypatch.setattr("acncodec.archive.manifest.BUCKET_KEYS", 10)
    make_pngs(tmp_path / "in", 60, 2, 2)
    archive = make(tmp_path / "in")
    with Parts(archive, model_files) as parts:
        assert parts.manifest is not None
        assert parts.manifest.buckets == 6
        assert None not in {parts.where(b"1-2x2/%d.png" % i) for i in range(60)}


def test_parts_are_of_similar_images_and_of_similar_size() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 40, (8, 16))
    sizes = (100, 100, 100, 100, 400, 400, 400, 400)  # clusters twice as large as a part must be shared out
    codes = np.concatenate([np.rint(rng.normal(c, 3, (n, 16))) for c, n in zip(centres, sizes, strict=True)])
    found = partition.fit(codes, 8)
    parts = found.assign(codes)
    load = np.bincount(parts, minlength=8)
    assert load.max() <= 1.25 * len(codes) / 8
    within = sum(np.square(codes[parts == i] - codes[parts == i].mean(0)).sum() for i in range(8))
    random = rng.permutation(parts)
    apart = sum(np.square(codes[random == i] - codes[random == i].mean(0)).sum() for i in range(8))
    assert within < 0.6 * apart
    assert (partition.fit(codes, 8).assign(codes) == parts).all()


def test_many_parts_are_found_in_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "MAX_FAN", 4)
    rng = np.random.default_rng(1)
    codes = np.rint(rng.normal(0, 20, (8000, 6)))
    found = partition.fit(codes, 23)
    assert (found.parts, len(found.below)) == (23, 4)
    assert found.below[0].below  # three levels
    parts = found.assign(codes)
    load = np.bincount(parts, minlength=23)
    assert load.min() > 0
    assert load.max() <= 1.6 * len(codes) / 23
    apart = np.square(codes - codes.mean(0)).sum()
    within = sum(np.square(codes[parts == i] - codes[parts == i].mean(0)).sum() for i in range(23))
    assert within < 0.7 * apart
    again = partition.Partition.of(found.arrays())
    assert (again.assign(codes) == parts).all()


def test_the_walk_lists_what_a_scan_does(source: Path) -> None:
    notes = Listing()
    found = [name for shard in sharding.shards(str(source), notes) for name in shard["names"]]
    assert sorted(map(os.fsencode, found)) == sorted(n for n, v in snapshot(source).items() if v)
    assert notes.empty == [b"empty/deeper"]
    assert notes.skipped == [(b"link", "symbolic link")]


def test_what_makes_no_sense_is_said(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="engine"), engine("cluster"):
        pass
    for arguments, words in (
        ((source, tmp_path / "a", "--resume"), "--parts"),
        ((source, "-", "--parts", "2"), "--parts"),
        ((source, tmp_path / "a", "--parts", "2", "--adapt", "1"), "one file"),
        ((tmp_path / "none", tmp_path / "a", "--parts", "2"), "no directory"),
    ):
        refused = acncodec("compress", *arguments)
        assert refused.code == 2
        assert words in refused.err.splitlines()[-1]
    with pytest.raises(InputError, match="directory, a list"):
        package.compress([np.zeros((2, 2), np.uint8)], tmp_path / "a", parts=2)


def test_commands_take_both_kinds(source: Path, tmp_path: Path, model_files: list[Path]) -> None:
    options = [part for path in model_files for part in ("--model", path)]
    made = json.loads(good("compress", source, tmp_path / "a", "--parts", "2", "--json", *options).out)
    assert (made["parts"], made["names"]) == (2, "keep")
    assert json.loads(good("info", tmp_path / "a", "--json", *options).out) == made
    listed = good("list", tmp_path / "a" / MANIFEST).out.splitlines()
    assert sorted(listed) == sorted(os.fsdecode(n) for n, v in snapshot(source).items() if v)
    assert json.loads(good("test", tmp_path / "a", "--json", *options).out)["files"] == len(listed)
    good("decompress", tmp_path / "a", tmp_path / "b", *options)
    assert snapshot(tmp_path / "b") == snapshot(source)
    assert "in 2 parts" in good("info", tmp_path / "a", *options).out
