"""`acncodec bench`: what each figure counts, and codecs that refuse some of the images."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import good
from PIL import Image

from acncodec import bundled


def photograph(height: int, width: int) -> np.ndarray:
    """Smooth colours with some noise: uint8 [height, width, 3]."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    planes = [128 + 60 * np.sin(x / 9 + c) + 40 * np.cos(y / 7) for c in range(3)]
    return (np.stack(planes, -1) + random.normal(0, 9, (height, width, 3))).clip(0, 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.usefixtures("free_networks")
def test_figures_are_of_images_not_of_tiles(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    Image.fromarray(photograph(160, 160)).save(root / "one.png")
    report = tmp_path / "report.html"
    found = json.loads(good("bench", root, "--json", "--model", "photo-rgb", "--report", report).out)
    assert found["images"] == 1
    rows = {row["name"]: row for row in found["table"]}
    dropped = rows["acncodec, names dropped (set)"]["bits_per_image"]
    assert found["order"]["unordered_bits_per_image"] == pytest.approx(dropped, rel=0.03)
    assert "25 tiles of 32x32" in report.read_text()


@pytest.mark.usefixtures("free_networks")
def test_a_single_image_has_an_order(tmp_path: Path) -> None:
    root = tmp_path / "digits"
    root.mkdir()
    path = sorted((bundled.SAMPLE / "bilevel").rglob("*.png"))[0]
    (root / "one.png").write_bytes(path.read_bytes())
    found = json.loads(good("bench", root, "--json", "--model", "mnist-1bit").out)
    assert found["images"] == 1
    assert found["order"]["bound_bits_per_image"] == 0


def test_duplicates_count_with_their_own_bytes(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(1600, dtype=np.uint8).reshape(40, 40))
    image.save(tmp_path / "a.png", compress_level=0)
    image.save(tmp_path / "b.png", compress_level=9)
    found = json.loads(good("bench", tmp_path, "--json").out)
    assert found["image_bytes_found"] == found["source_bytes"] == sum(p.stat().st_size for p in tmp_path.glob("*.png"))


@pytest.mark.slow
def test_a_codec_that_fails_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("L", (20000, 4), 7).save(tmp_path / "in" / "wide.png")
    done = good("bench", tmp_path / "in", "--model", "mnist-8bit")
    assert "WebP is left out" in done.out
    assert "tar of the files" in done.out


def test_a_directory_of_texts_has_no_images(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "words.txt").write_text("no image " * 50)
    report = tmp_path / "report.html"
    found = json.loads(good("bench", tmp_path / "in", "--json", "--report", report).out)
    assert (found["images"], found["order"]) == (0, None)
    assert report.stat().st_size > 10_000
