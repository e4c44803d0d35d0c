"""Making archives of many parts: round trips from every kind of source, and sources that cannot be taken."""

import os
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from commands import acncodec
from conftest import PARTS, Make, make_pngs, no_progress, restored_parts, snapshot

import acncodec as package
from acncodec.archive import atomic
from acncodec.archive.header import NAMES_FOLDERS
from acncodec.errors import InputError, OutputError
from acncodec.images.scan import Listing
from acncodec.packing.compress import Options
from acncodec.planning import partition
from acncodec.reading.decompress import check
from acncodec.reading.info import describe
from acncodec.reading.parts import MANIFEST, Parts
from acncodec.scale import pipeline, stages
from acncodec.scale import shards as sharding
from acncodec.scale.engines import engine
from acncodec.scale.work import FOLDER, Work


def test_a_directory_comes_back(mixed_source: Path, make_parts: Make, model_files: list[Path]) -> None:
    archive = make_parts(mixed_source)
    assert sorted(path.name for path in archive.iterdir()) == [MANIFEST, *(f"part-{i:05}.acn" for i in range(PARTS))]
    want = snapshot(mixed_source)
    assert snapshot(restored_parts(archive, model_files)) == want
    with Parts(archive, model_files) as parts:
        told = describe(parts, model_files)
        assert (told["parts"], told["files"], told["empty"]) == (PARTS, len([v for v in want.values() if v]), 1)
        assert told["file_bits"] == 8 * sum(path.stat().st_size for path in archive.iterdir())
        assert sum(line["bits"] for line in told["ledger"]) == told["file_bits"]
        assert check(parts, progress=no_progress).files == told["files"]


@pytest.mark.parametrize("parts", [1, 2, 40])
def test_any_number_of_parts(mixed_source: Path, make_parts: Make, model_files: list[Path], parts: int) -> None:
    archive = make_parts(mixed_source, parts=parts)
    assert len(list(archive.glob("part-*"))) == parts
    assert snapshot(restored_parts(archive, model_files)) == snapshot(mixed_source)


def test_a_list_of_paths(mixed_source: Path, make_parts: Make, model_files: list[Path]) -> None:
    want = {name: v for name, v in snapshot(mixed_source).items() if name.startswith(b"L-3x6") and v}
    (mixed_source / "some.txt").write_bytes(b"\n".join([*sorted(want), b"", b"gone.png"]))
    archive = make_parts(mixed_source / "some.txt")
    assert snapshot(restored_parts(archive, model_files)) == want
    (mixed_source / "some.txt").write_text("../outside.png")
    with pytest.raises(InputError, match="not a relative path"):
        make_parts(mixed_source / "some.txt", "other")


def tars(mixed_source: Path, folder: Path) -> dict[bytes, object]:
    """WebDataset shards of a directory's images, and what they should become."""
    folder.mkdir()
    want = {name: v for name, v in snapshot(mixed_source).items() if v}
    files = sorted(want)
    found = {}
    for i in range(2):
        with tarfile.open(folder / f"set-{i:02}.tar", "w") as tar:
            for name in files[i::2]:
                tar.add(mixed_source / os.fsdecode(name), os.fsdecode(name))
                found[b"set-%02d/" % i + name] = want[name]
    return found


def test_tar_files(mixed_source: Path, make_parts: Make, model_files: list[Path], tmp_path: Path) -> None:
    want = tars(mixed_source, tmp_path / "tars")
    for i, pattern in enumerate(("set-{00..01}.tar", "set-*.tar")):
        archive = make_parts(tmp_path / "tars" / pattern, str(i))
        assert snapshot(restored_parts(archive, model_files)) == want
    (tmp_path / "tars" / "set-01.tar").write_bytes(b"no tar file")
    with pytest.raises(InputError, match=r"set-01\.tar.*cannot be read"):
        make_parts(tmp_path / "tars" / "set-{00..01}.tar", "bad")
    with tarfile.open(tmp_path / "tars" / "dot.tar", "w") as tar:
        tar.add(mixed_source, ".", filter=lambda each: None if each.issym() else each)
    archive = make_parts(tmp_path / "tars" / "dot.tar", "dot")
    assert {n: v for n, v in snapshot(restored_parts(archive, model_files)).items() if v} == {
        b"dot/" + n: v for n, v in snapshot(mixed_source).items() if v
    }
    whole = (tmp_path / "tars" / "dot.tar").read_bytes()
    second = whole.index(b"1-4x5/")
    for bad in (whole[: second + 600], whole[:second] + b"x" + whole[second + 1 :], whole[: whole.rindex(b"\0" * 1024)]):
        (tmp_path / "tars" / "dot.tar").write_bytes(bad.rstrip(b"\0") if bad is not whole[:0] else bad)
        with pytest.raises(InputError, match=r"dot\.tar.*cannot be read"):
            make_parts(tmp_path / "tars" / "dot.tar", "bad", overwrite=True)
    with pytest.raises(InputError, match="names no tar file"):
        make_parts(tmp_path / "tars" / "none-*.tar", "none")


def test_sources_of_fsspec(mixed_source: Path, make_parts: Make, model_files: list[Path], tmp_path: Path) -> None:
    want = {name: v for name, v in snapshot(mixed_source).items() if v and name.endswith(b".png")}
    memory = fsspec.filesystem("memory")
    for name in want:
        memory.pipe(f"/pictures/{os.fsdecode(name)}", (mixed_source / os.fsdecode(name)).read_bytes())
    try:
        assert snapshot(restored_parts(make_parts("memory://pictures"), model_files)) == want
    finally:
        memory.rm("/pictures", recursive=True)
    with pytest.raises(InputError, match="no files below"):
        make_parts("memory://pictures", "none")
    tarred = tars(mixed_source, tmp_path / "tars")
    for path in (tmp_path / "tars").iterdir():
        memory.pipe(f"/tars/{path.name}", path.read_bytes())
    assert snapshot(restored_parts(make_parts("memory://tars/set-*.tar", "tar"), model_files)) == tarred


def test_two_files_of_one_name_are_refused(make_parts: Make, tmp_path: Path) -> None:
    make_pngs(tmp_path / "in", 9, 4, 5)
    names = [f"1-4x5/{i}.png" for i in range(9)]
    (tmp_path / "in" / "twice.txt").write_text("\n".join([*names, *names]))
    with pytest.raises(InputError, match="name"):
        make_parts(tmp_path / "in" / "twice.txt")


def tar_of(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    return path


def test_a_file_and_a_directory_of_one_name_are_refused(make_parts: Make, tmp_path: Path) -> None:
    source = tar_of(tmp_path / "s.tar", "a/b.txt", *(f"n{i}" for i in range(20)), "a")
    for parts in (1, PARTS):
        with pytest.raises(InputError, match="'s/a' is the name of a file and of a directory"):
            make_parts(source, str(parts), parts=parts)


def test_clashes_of_folders_that_are_kept_alone(mixed_source: Path, make_parts: Make, tmp_path: Path) -> None:
    images = sorted(mixed_source.glob("L-*/*.png"))
    for folder in ("A", "a"):
        (tmp_path / "s" / folder).mkdir(parents=True)
        for image in images:
            (tmp_path / "s" / folder / image.name).write_bytes(image.read_bytes())
    told = acncodec("compress", tmp_path / "s", tmp_path / "out", "--parts", "2", "--names", "folders")
    assert told.code == 0
    assert "1 path differs from another only in case or Unicode form, which some file systems ignore" in told.err
    assert ": 'A' and 'a'\n" in told.err
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.add(tmp_path / "s" / "a", "a")
        tar.addfile(tarfile.TarInfo("a"))
    with pytest.raises(InputError, match="'s/a' is the name of a file and of a directory"):
        make_parts(tmp_path / "s.tar", "other", names=NAMES_FOLDERS)


def test_names_that_coincide_on_other_systems_are_reported(tmp_path: Path) -> None:
    """In whatever part they are: here one in each."""
    for name in ("a", "A"):
        tar_of(tmp_path / f"{name}.tar", "b/c/x", f"b/{name}.txt", "y")
    made = acncodec("compress", tmp_path / "*.tar", tmp_path / "out", "--parts", "2")
    assert made.code == 0
    assert "6 paths differ from others only in case or Unicode form" in made.err
    assert "'A/' and 'a/', 'A/b/' and 'a/b/', 'A/b/A.txt' and 'a/b/a.txt', ...\n" in made.err
    assert "Unicode" not in acncodec("compress", tar_of(tmp_path / "s.tar", "a", "b/c"), tmp_path / "b", "--parts", "2").err


def test_equal_images_are_spread_over_parts(mixed_source: Path, make_parts: Make) -> None:
    """However many of them there are: a part that held them all could be too large for memory."""
    image = sorted(mixed_source.glob("L-*/*.png"))[0].read_bytes()
    for i in range(200):
        (mixed_source / f"same-{i}.png").write_bytes(image)
    with Parts(make_parts(mixed_source)) as parts:
        assert parts.manifest
        assert max(part.files for part in parts.manifest.parts) < 100


def test_large_shards_are_exchanged_in_portions(
    mixed_source: Path, make_parts: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = snapshot(make_parts(mixed_source, "whole"))
    monkeypatch.setattr(stages, "HAND_BYTES", 500)
    assert snapshot(make_parts(mixed_source, "by hand")) == whole


def test_parts_are_fitted_on_images_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the period of their order: were it every tenth image, it would be of one kind only."""
    monkeypatch.setattr(partition, "SAMPLE_A_PART", 16)
    work = Work(tmp_path)
    work.begin({}, resume=False)
    codes = np.random.default_rng(0).normal(0, 1, (480, stages.APART_AXES))
    codes[np.arange(480) % 10 > 0] += 100
    job = stages.Job(work, PARTS, Options(), (), False, (), False, "cpu")
    stages.keep_codes(job, 0, 1, codes.astype(np.float32), np.arange(480))
    stages.fit(job, 1)
    found = partition.Partition.of(work.arrays("partition.npz")).assign(codes)
    assert np.bincount(found, minlength=PARTS).max() < 1.6 * 480 / PARTS


def test_a_damaged_shard_is_reported(mixed_source: Path, make_parts: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever: the table that says what is whose, too."""
    monkeypatch.setattr(stages, "HAND_BYTES", 500)
    monkeypatch.setattr(Work, "end", lambda self: None)
    make_parts(mixed_source, "whole")
    (place,) = (mixed_source.parent / "whole" / FOLDER).iterdir()
    work = Work(place.parent.parent)
    work.folder = place
    path = work.path("exchange/000001.files")
    good = path.read_bytes()
    whole = [list(stages._gathered(work, 1, part, PARTS)) for part in range(PARTS)]
    rng = np.random.default_rng(0)
    for at in (*range(3 * stages.SLICE.size), *rng.integers(len(good), size=100).tolist()):
        for changed in (
            good[:at] + b"\x00" + good[at + 1 :],
            good[:at] + bytes([good[at] ^ 64]) + good[at + 1 :],
            good[:at],
        ):
            path.write_bytes(changed)
            for part in range(PARTS):
                try:
                    found = list(stages._gathered(work, 1, part, PARTS))
                except InputError:
                    continue
                assert found == whole[part]


def test_reports_of_tasks_agree_with_reading_all_parts(
    mixed_source: Path, make_parts: Make, model_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    real = pipeline.join
    monkeypatch.setattr(pipeline, "join", lambda *given: told.append(real(*given)) or told[-1])
    with Parts(make_parts(mixed_source)) as opened:
        assert told == [describe(opened, model_files)]


def test_machines_with_other_models_are_reported(
    mixed_source: Path, make_parts: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = stages.models_of
    real = stages.codes

    def elsewhere(*task: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(stages, "models_of", lambda *wanted: known(*wanted)[1:])
            real(*task)

    monkeypatch.setattr(stages, "codes", elsewhere)
    with pytest.raises(InputError, match="not all machines of the cluster have the same models"):
        make_parts(mixed_source)


def test_a_vanished_file_is_left_out(
    mixed_source: Path, make_parts: Make, model_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    want = snapshot(mixed_source)
    real = stages.fit

    def fit(*arguments: Any) -> None:
        (mixed_source / "L-3x6" / "2.png").unlink()
        real(*arguments)

    monkeypatch.setattr(stages, "fit", fit)
    archive = make_parts(mixed_source)
    del want[b"L-3x6/2.png"]
    assert snapshot(restored_parts(archive, model_files)) == want


def test_a_file_that_keeps_changing_is_left_out(
    mixed_source: Path, make_parts: Make, model_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    want = snapshot(mixed_source)
    real, changing = os.fstat, (mixed_source / "note.txt").stat().st_ino

    def fstat(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        if found.st_ino == changing:
            (mixed_source / "note.txt").write_text("w" * (found.st_size + 1))
        return found

    with monkeypatch.context() as patch:
        patch.setattr("acncodec.images.scan.os.fstat", fstat)
        archive = make_parts(mixed_source)
    del want[b"note.txt"]
    assert snapshot(restored_parts(archive, model_files)) == want


def test_a_source_may_be_empty(make_parts: Make, model_files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "in" / "nothing").mkdir(parents=True)
    assert snapshot(restored_parts(make_parts(tmp_path / "in"), model_files)) == snapshot(tmp_path / "in")


def test_a_mistyped_source_leaves_nothing_behind(mixed_source: Path, make_parts: Make) -> None:
    with pytest.raises(InputError, match="no directory"):
        make_parts(mixed_source / "none")
    make_parts(mixed_source)


def test_a_full_disk_loses_nothing(mixed_source: Path, make_parts: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = snapshot(make_parts(mixed_source, "whole"))
    real, left = atomic._write_all, [4_000]

    def full(descriptor: int, data: bytes) -> None:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_write_all", full)
        with pytest.raises(OutputError, match="No space left"):
            make_parts(mixed_source)
    assert [path.name for path in (mixed_source.parent / "out").iterdir()] == [FOLDER]
    assert snapshot(make_parts(mixed_source, resume=True)) == whole


def test_an_existing_target_is_kept(mixed_source: Path, make_parts: Make, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    for resume in (False, True):
        with pytest.raises(OutputError, match="not empty"):
            make_parts(mixed_source, resume=resume)
    make_parts(mixed_source, overwrite=True, parts=4)
    assert (tmp_path / "out" / "mine").read_text() == "mine"
    (tmp_path / "out" / "part-mine.acn").write_text("mine")
    make_parts(mixed_source, overwrite=True, parts=2)
    assert len(list((tmp_path / "out").glob("part-0*"))) == 2
    assert (tmp_path / "out" / "part-mine.acn").read_text() == "mine"
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        make_parts(mixed_source, "file", overwrite=True)


def test_the_walk_lists_what_a_scan_does(mixed_source: Path) -> None:
    notes = Listing()
    found = [name for shard in sharding.shards(str(mixed_source), mixed_source / "out", notes) for name in shard["names"]]
    assert sorted(map(os.fsencode, found)) == sorted(n for n, v in snapshot(mixed_source).items() if v)
    assert notes.empty == [b"empty/deeper"]
    assert notes.skipped == [(b"link", "symbolic link")]


def test_an_archive_within_its_source_is_left_out(mixed_source: Path, make_parts: Make, model_files: list[Path]) -> None:
    want = snapshot(mixed_source)
    archive = make_parts(mixed_source, f"{mixed_source.name}/out")
    assert snapshot(restored_parts(archive, model_files)) == want


def test_an_archive_within_its_source_by_url_is_left_out(mixed_source: Path, make_parts: Make) -> None:
    want = snapshot(make_parts(mixed_source.as_uri(), "in/first"))
    assert snapshot(make_parts(mixed_source.as_uri(), "in/first", overwrite=True)) == want


def test_invalid_arguments_are_reported(mixed_source: Path, tmp_path: Path) -> None:
    for name in ("cluster", "ray://", "ray://host", "ray://:1", "ray://host:port"):
        with pytest.raises(InputError, match="engine must be"), engine(name):
            pass
    for arguments, words in (
        ((mixed_source, tmp_path / "a", "--resume"), "--parts"),
        ((mixed_source, "-", "--parts", "2"), "--parts"),
        ((mixed_source, tmp_path / "a", "--parts", "2", "--adapt", "1"), "one file"),
        ((mixed_source, tmp_path / "a", "--parts", "2", "--engine", "ray://host:1", "--threads", "2"), "--threads"),
        ((tmp_path / "none", tmp_path / "a", "--parts", "2"), "no directory"),
    ):
        refused = acncodec("compress", *arguments)
        assert refused.code == 2
        assert words in refused.err.splitlines()[-1]
    with pytest.raises(InputError, match="directory, a list"):
        package.compress([np.zeros((2, 2), np.uint8)], tmp_path / "a", parts=2)
