"""Images sampled from models: reproducible by seed, of the right kind, and with the right statistics."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from commands import acncodec, good, sentence
from conftest import KINDS, make_pngs, random_pixels, tiny_model
from PIL import Image

from acncodec import bundled
from acncodec.analysis.evaluation import images_for
from acncodec.analysis.samples import Dice, daydream, reconstruct, sample
from acncodec.analysis.sheets import GAP, GROUND, as_rgb, sheet
from acncodec.errors import InputError


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_the_same_seed_gives_the_same_images(levels: int, colours: int) -> None:
    model, images = tiny_model(levels, calm=True, colours=colours), random_pixels(0, 5, 6, 4, levels, colours)
    for imagine in (
        lambda dice: sample(model, 5, 6, 4, dice),
        lambda dice: reconstruct(model, images, dice),
        lambda dice: np.concatenate(list(islice(daydream(model, images, dice), 3))),
    ):
        first, again, other = imagine(Dice(1)), imagine(Dice(1)), imagine(Dice(2))
        assert first.dtype == np.uint8
        assert first.shape[1:] == (6, 4, colours)
        assert first.max() < levels
        assert (first == again).all()
        assert (first != other).any()


def test_samples_follow_the_frequencies() -> None:
    frequencies = np.array([1.0, 3.0, 0.0, 6.0])
    counts = np.bincount(Dice(0).pop_shared(100_000, frequencies), minlength=4) / 100_000
    assert counts == pytest.approx([0.1, 0.3, 0.0, 0.6], abs=0.01)
    cold = np.bincount(Dice(0, 0.5).pop_shared(100_000, frequencies), minlength=4) / 100_000
    assert cold == pytest.approx([1 / 46, 9 / 46, 0, 36 / 46], abs=0.01)
    rows = np.array([[1.0, 5.0, 2.0], [9.0, 5.0, 2.0]])
    assert Dice(0, 0.0).pop(rows).tolist() == [1, 0]


def test_samples_of_digits_look_like_digits() -> None:
    """As much ink as digits have, and in the middle."""
    images = sample(bundled.find("mnist-1bit"), 60, 28, 28, Dice(0))[..., 0]
    assert 0.08 < images.mean() < 0.2
    assert images[:, 8:20, 8:20].mean() > 4 * np.concatenate([images[:, :4], images[:, -4:]], 1).mean()


def test_a_sheet_shows_every_image_in_its_place() -> None:
    images = random_pixels(0, 5, 3, 4, 256, 3)
    picture = np.asarray(sheet(images, 256, columns=2))
    factor = picture.shape[1] // (2 * (4 + GAP) + GAP)
    small = picture[::factor, ::factor]
    assert small.shape == (3 * (3 + GAP) + GAP, 2 * (4 + GAP) + GAP, 3)
    for i in range(5):
        top, left = GAP + i // 2 * (3 + GAP), GAP + i % 2 * (4 + GAP)
        assert (small[top : top + 3, left : left + 4] == images[i]).all()
    assert (small[0] == GROUND).all()
    assert (as_rgb(np.array([[[[0], [1]]]], np.uint8), 2) == np.array([[0] * 3, [255] * 3])).all()
    assert as_rgb(np.array([[[[10, 20, 30, 0]]]], np.uint8), 256).tolist() == [[[[GROUND] * 3]]]


def test_images_for_a_model_are_of_its_kind_and_of_one_size(tmp_path: Path) -> None:
    make_pngs(tmp_path, 3, 4, 5, "L")
    make_pngs(tmp_path, 2, 6, 5, "L")
    make_pngs(tmp_path, 9, 4, 5, "1")
    assert images_for(tiny_model(256), tmp_path).shape == (3, 4, 5, 1)
    assert images_for(tiny_model(2), tmp_path).shape == (9, 4, 5, 1)
    with pytest.raises(InputError, match="two images"):
        images_for(tiny_model(256, colours=3), tmp_path)


# The commands


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    folder = tmp_path / "digits"
    folder.mkdir()
    for path in sorted((bundled.SAMPLE / "grey").rglob("*.png"))[::10]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_sample_reconstruct_and_daydream(digits: Path, tmp_path: Path) -> None:
    seen = []
    for number, arguments in enumerate(
        (
            ["sample", "mnist-8bit", "--count", 6, "--size", "12x10"],
            ["reconstruct", "mnist-8bit", digits, "--count", 4],
            ["daydream", "mnist-8bit", digits, "--count", 3, "--steps", 2],
        )
    ):
        target = tmp_path / f"{number}.png"
        good(*arguments, "-o", target)
        with Image.open(target) as picture:
            seen.append(picture.size)
        again = acncodec(*arguments, "-o", target)
        assert again.code == 2
        assert "-f" in sentence(again)
    ratios = [(3 * 13 + 1) / (2 * 11 + 1), (2 * 29 + 1) / (4 * 29 + 1), 1.0]
    assert [width / height for width, height in seen] == pytest.approx(ratios, rel=1e-3)


@pytest.mark.parametrize("suffix", ["gif", "webp", "apng"])
def test_an_animated_daydream(suffix: str, digits: Path, tmp_path: Path) -> None:
    target = tmp_path / f"dream.{suffix}"
    good("daydream", "mnist-8bit", digits, "--count", 2, "--steps", 3, "-o", target)
    with Image.open(target) as picture:
        assert picture.n_frames == 4


@pytest.mark.parametrize("size", ["28", "0x28", "28x000", "x", "1000x1000"])
def test_invalid_sizes_are_refused(size: str, tmp_path: Path) -> None:
    done = acncodec("sample", "mnist-8bit", "-o", tmp_path / "a.png", "--size", size)
    assert done.code == 2
    assert "28x28" in done.err


def test_pictures_of_other_kinds_are_refused(tmp_path: Path) -> None:
    done = acncodec("sample", "mnist-8bit", "-o", tmp_path / "a.jpg", "--count", 1, "--size", "4x4")
    assert done.code == 2
    assert ".png" in sentence(done)


def test_evaluate(digits: Path) -> None:
    found = json.loads(good("evaluate", "mnist-8bit", digits, "--json").out)
    assert found["images"] == len(list(digits.iterdir()))
    assert found["kl_tour"] <= found["kl_greedy"] + 1.0
    theory = min(found["ordered"], found["unordered"]) / np.log(2) * found["images"]
    assert theory < found["archive_bits"] < 1.2 * theory + 3000
    text = good("evaluate", "mnist-8bit", digits).out
    assert f"{found['residual']:.3f}" in text
    assert "real archive" in text
