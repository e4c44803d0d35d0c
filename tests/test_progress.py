"""Progress callbacks: they add up to the announced total, once, and advance within long work."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import make_pngs, packed, save_image

from acncodec.block import codec
from acncodec.coding.protocol import GroupTask, SeedExhaustedError, Tally
from acncodec.coding.stacks import Stacks
from acncodec.nets.model import Model
from acncodec.packing.compress import Options, compress
from acncodec.progress import Portion
from acncodec.reading.decompress import check, decompress
from acncodec.reading.parts import Parts

pytestmark = pytest.mark.usefixtures("free_networks")


class Told:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.steps: dict[str, list[float]] = {}

    def __call__(self, stage: str, total: int) -> Callable[[float], None]:
        self.totals[stage] = self.totals.get(stage, 0) + total
        return self.steps.setdefault(stage, []).append

    def check(self, stage: str) -> list[float]:
        """The steps of a stage, which add up to what was announced."""
        steps = self.steps[stage]
        assert min(steps) > 0
        assert sum(steps) == pytest.approx(self.totals[stage], abs=1e-6)
        return steps


@pytest.fixture
def archive(tmp_path: Path, models: list[Model]) -> Path:
    """Images of two kinds in two blocks, a file beside them, and one twice."""
    make_pngs(tmp_path / "images", 9, 6, 70)
    make_pngs(tmp_path / "images", 5, 5, 4, "L")
    (tmp_path / "images" / "note.txt").write_text("words")
    (tmp_path / "images" / "again.png").write_bytes((tmp_path / "images" / "1-6x70" / "3.png").read_bytes())
    return packed(tmp_path / "images", models, block=8)


def test_decoding_advances_within_a_block(
    archive: Path, model_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "SMALL_BLOCK", 0)  # else several are decoded at once, and reports come by time
    for restore in (lambda opened, told: check(opened, progress=told), restored_to(tmp_path / "out")):
        told = Told()
        with Parts(archive, model_files) as opened:
            restore(opened, told)
        assert told.totals == {"decode": 16}
        assert len(told.check("decode")) > 16
        assert max(told.steps["decode"]) <= 1.01


def restored_to(target: Path) -> Callable[[Parts, Told], object]:
    return lambda opened, told: decompress(opened, target, progress=told)


def test_the_total_is_that_of_the_selected_files(archive: Path, model_files: list[Path], tmp_path: Path) -> None:
    told = Told()
    with Parts(archive, model_files) as opened:
        decompress(opened, tmp_path / "some", patterns=("L-5x4", "note.txt"), progress=told)
    assert told.totals == {"decode": 6}
    told.check("decode")


def test_a_second_try_with_a_longer_seed_counts_once(
    tmp_path: Path, models: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pngs(tmp_path / "images", 24, 5, 4, "L")
    alice, tries = codec.alice, []

    def tired(
        stack: Stacks, pixels: np.ndarray, codes: np.ndarray, task: GroupTask, candidates: np.ndarray | None
    ) -> Tally:
        tries.append(len(pixels))
        if len(tries) > 2:
            return alice(stack, pixels, codes, task, candidates)
        task.advance(7 * len(tries))
        raise SeedExhaustedError

    monkeypatch.setattr(codec, "alice", tired)
    told = Told()
    compress(tmp_path / "images", tmp_path / "a.acn", models, Options(), told)
    assert len(tries) == 3
    assert told.totals["encode"] == 24
    assert told.check("encode")[:2] == [7, 7]


def test_progress_never_decreases_nor_exceeds_its_total() -> None:
    told: list[float] = []
    portion = Portion(told.append, 10)
    portion.advance(0.5)
    portion.restart()
    portion.advance(0.25)
    assert told == [5]
    portion.advance(0.5)
    assert told == [5, 2.5]
    portion.advance(0.5)
    portion.finish()
    assert told == [5, 2.5, 2.5]


def test_large_images_report_within_a_row(tmp_path: Path, models: list[Model], model_files: list[Path]) -> None:
    pixels = np.random.default_rng(0).integers(0, 2, (3, 400, 1), np.uint8)
    save_image(tmp_path / "wide" / "a.png", pixels, "1")
    told = Told()
    with Parts(packed(tmp_path / "wide", models), model_files) as opened:
        check(opened, progress=told)
    assert len(told.check("decode")) == 3 * 7 + 1
