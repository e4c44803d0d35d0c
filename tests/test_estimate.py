"""Estimated times: what is added up for which work, when they are told, and that archives do not depend on them."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from commands import good
from conftest import make_pngs, packed

from acncodec import bundled
from acncodec.analysis.speeds import model_speeds
from acncodec.archive.classes import METHOD_CODED, METHOD_FILE, Class
from acncodec.block import codec, estimate
from acncodec.block.elements import Group
from acncodec.block.estimate import Estimate, GroupWork
from acncodec.cli import report
from acncodec.coding.speed import StepTime
from acncodec.errors import DamagedError
from acncodec.images.picture import Picture, read_picture
from acncodec.nets.model import Model
from acncodec.packing.compress import Options, compress
from acncodec.planning.schedule import Schedule
from acncodec.progress import unwatched
from acncodec.reading.decompress import check
from acncodec.reading.parts import Parts
from acncodec.reading.reader import Archive


def step(lanes: int, pixels: int) -> StepTime:
    """Seconds of a step on an imagined machine."""
    return StepTime(pixels * (2 + 3 * lanes), 5 + 7 * lanes, pixels * (11 + 13 * lanes), 17 + 19 * lanes)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The imagined machine in the place of this one, and no work that is too short for an estimate."""
    monkeypatch.setattr(estimate, "time_step", lambda model, lanes, height, width: step(lanes, height * width))
    monkeypatch.setattr(estimate, "LONG_OPERATIONS", 0)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """24 sample digits."""
    root = tmp_path / "digits"
    root.mkdir()
    for path in sorted((bundled.SAMPLE / "bilevel").rglob("*.png"))[:24]:
        (root / path.name).write_bytes(path.read_bytes())
    return root


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("side_by_side", [1, 2])
def test_seconds_are_those_of_all_steps(models: list[Model], side_by_side: int) -> None:
    work = [
        GroupWork(Group(0, 28, 28), 1000, 32),
        GroupWork(Group(0, 9, 28), 70, 1),
        GroupWork(Group(1, 40, 30), 5000, 128),  # steps wider than those that are timed
    ]
    steps = [(each, size) for each in work for size in Schedule(each.count, each.lanes).sizes]
    times = [step(size, each.group.height * each.group.width) for each, size in steps]
    found = estimate.coding_seconds(work, [models[0], models[0]], side_by_side)
    assert found.encode == pytest.approx(sum(t.encode_pixels + t.encode_latents for t in times))
    assert found.decode == pytest.approx(sum(t.decode_pixels + t.decode_latents for t in times) / side_by_side)


def test_first_steps_of_a_size_take_longer(models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()

    def first_slowly(model: Model, lanes: int, height: int, width: int) -> StepTime:
        more = 0 if lanes in seen else 100
        seen.add(lanes)
        return StepTime(more, 0, 3 * more, 0)

    monkeypatch.setattr(estimate, "time_step", first_slowly)
    found = estimate.coding_seconds([GroupWork(Group(0, 8, 8), 15, 4)], [models[0]])
    widths = len(set(Schedule(15, 4).sizes))
    assert (found.encode, found.decode) == (100 * widths, 300 * widths)


def test_short_work_is_told_by_its_operations(models: list[Model]) -> None:
    pixel = estimate.pixel_operations(models[0])
    enough = -(-estimate.LONG_OPERATIONS // (64 * pixel))
    for count, long in ((enough, True), (enough - 1, False)):
        assert estimate.is_long([GroupWork(Group(0, 8, 8), count, 1)], models) == long
    assert estimate.is_long([GroupWork(Group(0, 8, 8), enough // 2, 1)], models, share=3)


def test_kicks_take_time_by_the_batch(models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def short_path(codes: np.ndarray, effort: estimate.Effort) -> None:
        clock[0] += 64 + 2 * effort.batches

    monkeypatch.setattr(estimate, "short_path", short_path)
    monkeypatch.setattr(estimate, "time_prices", lambda model, codes: 64.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    assert estimate.planning_seconds([256, 512], models[0], 5) == 3 * (64 + 3 * 64)
    assert estimate.planning_seconds([64, 256], models[0], 6) == 5 / 4 * (64 + 3 * 64) + 2 * (64 + 100)


def test_files_are_timed_by_their_class(digits: Path) -> None:
    picture = read_picture(next(digits.iterdir()).read_bytes())
    assert picture is not None
    coded, stored = Class(METHOD_CODED, 28, 28, picture.form, ()), Class(METHOD_FILE, 0, 0, b"", ())
    assert estimate.writing_seconds([(coded, 1000), (stored, 5)]) > 0
    assert estimate.writing_seconds([(stored, 5)]) == 0
    with pytest.raises(DamagedError):
        estimate.writing_seconds([(Class(METHOD_CODED, 28, 28, b"no form", ()), 3)])


@pytest.mark.usefixtures("machine", "free_networks")
@pytest.mark.parametrize("block", [None, 5])
def test_both_ends_estimate_the_same(
    tmp_path: Path, models: list[Model], model_files: list[Path], block: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "SMALL_BLOCK", 0)
    monkeypatch.setattr(estimate, "_writing", lambda content_class: 0.0)
    make_pngs(tmp_path / "in", 100, 6, 5, "L")
    told: list[Estimate] = []
    compress(tmp_path / "in", tmp_path / "a", models, Options(block=block), unwatched, estimated=told.append)
    with Parts(tmp_path / "a", model_files) as parts:
        check(parts, progress=unwatched, estimated=told.append)
    before, after = told
    assert before.encode_seconds is not None
    assert after.encode_seconds is None
    assert before.images == after.images == 100
    assert before.models == after.models
    # Lanes are as for conditional latents before, and as they are after.
    assert after.decode_seconds == pytest.approx(before.decode_seconds, rel=0.35)


@pytest.mark.usefixtures("machine", "free_networks")
def test_an_estimate_changes_no_byte(tmp_path: Path, models: list[Model]) -> None:
    make_pngs(tmp_path / "in", 12, 6, 5, "L")
    for name, estimated in (("a", None), ("b", lambda found: None)):
        compress(tmp_path / "in", tmp_path / name, models, Options(), unwatched, estimated=estimated)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.usefixtures("machine", "free_networks")
def test_damage_is_no_concern_of_an_estimate(
    tmp_path: Path, models: list[Model], model_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pngs(tmp_path / "in", 12, 6, 5, "L")
    archive = packed(tmp_path / "in", models)

    def damaged(self: Archive, index: int) -> None:
        raise DamagedError("damaged")

    monkeypatch.setattr(Archive, "outline", damaged)
    told: list[Estimate] = []
    with Parts(archive, model_files) as parts:
        assert check(parts, progress=unwatched, estimated=told.append).files == 12
    assert not told


@pytest.mark.usefixtures("machine")
def test_commands_tell_long_times_before_and_in_json(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "a.acn"
    made = good("compress", digits, archive, "--model", "mnist-1bit", "--json")
    first = made.err.splitlines()[0]
    assert first.startswith("acncodec: 24 images to code with mnist-1bit: about ")
    assert first.endswith(", and so will the check")
    times = json.loads(made.out)
    assert min(times[f"{before}{what}_seconds"] for before in ("", "estimated_") for what in ("encode", "decode")) > 0
    unchecked = good("compress", digits, archive, "-f", "--model", "mnist-1bit", "--no-verify").err
    assert "check" not in unchecked
    assert unchecked.count("restoring will take about ") == 2  # before and after
    for command in (["test", archive], ["decompress", archive, tmp_path / "out"]):
        done = good(*command, "--json")
        assert done.err.startswith("acncodec: 24 images to decode: about ")
        assert json.loads(done.out)["estimated_seconds"] > 0
    monkeypatch.setattr(report, "LONG_SECONDS", 1e12)
    assert "to decode" not in good("test", archive).err


def test_nothing_is_timed_for_short_work_nor_under_quiet(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(estimate, "time_step")
    good("compress", digits, tmp_path / "a.acn", "--model", "mnist-1bit")
    assert json.loads(good("test", tmp_path / "a.acn", "--json").out)["estimated_seconds"] is None
    monkeypatch.setattr(estimate, "LONG_OPERATIONS", 0)
    good("test", tmp_path / "a.acn", "-q")
    good("compress", digits, tmp_path / "a.acn", "-f", "-q", "--model", "mnist-1bit")


@pytest.mark.usefixtures("machine")
def test_models_side_by_side() -> None:
    form = read_picture(next((bundled.SAMPLE / "grey").rglob("*.png")).read_bytes())
    assert form is not None
    random = np.random.default_rng(0)
    large = [Picture(form.form, random.integers(0, 256, (30, 20, 1), np.uint8)) for _ in range(3)]
    small = [Picture(form.form, random.integers(0, 256, (4, 4, 1), np.uint8)) for _ in range(5)]
    names = ("mnist-1bit", "mnist-8bit", "photo-grey", "photo-rgb")
    found = model_speeds([*small, *large], [bundled.find(name) for name in names])
    assert {each.model for each in found} == {"mnist-8bit", "photo-grey"}
    assert [each.bits_per_pixel for each in found] == sorted(each.bits_per_pixel for each in found)
    assert {(each.images, each.pixels) for each in found} == {(3, 3 * 600)}
    row = found[0].row()
    assert row["decode_ns_per_pixel"] == pytest.approx(1e9 * found[0].decode_seconds / 1800)
    assert model_speeds([], []) == []
