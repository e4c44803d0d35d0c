"""Tests of acncodec/analysis/classical.py and benchmarks/data.py on tiny synthetic images."""

import time
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from acncodec.analysis import classical
from benchmarks.data import binarise, mnist, mnist_labels, write_pngs


def blobs(count: int) -> np.ndarray:
    """Smooth grey ramps, uint8 [count, 9, 7], each a little different."""
    ramp = np.arange(9)[:, None] * 20 + np.arange(7) * 5
    return (ramp + np.arange(count)[:, None, None]).astype(np.uint8)


@pytest.mark.parametrize("bilevel", [False, True])
def test_measure_covers_every_codec_and_arrangement(bilevel: bool) -> None:
    images = binarise(blobs(30), 0) if bilevel else blobs(30)
    results = classical.measure(images, bilevel, sample=10)
    covered = {(r.codec, r.arrangement) for r in results}
    assert len(covered) == len(results)
    expected = {(c.name, "solid") for c in classical.stream_codecs()}
    expected |= {(c.name, a) for c in classical.picture_codecs() for a in ("per image", "mosaic")}
    assert covered == expected
    assert {"xz 9e", "bz2 9", "PNG", "WebP"} <= {r.codec for r in results}
    assert all(r.bits > 0 and r.encode_seconds > 0 and r.decode_seconds > 0 for r in results)
    sampled = {r.codec: r.measured_on for r in results if r.arrangement == "per image"}
    assert (sampled["PNG"], sampled["WebP"]) == (30, 10)
    assert all(r.measured_on == 30 for r in results if r.arrangement != "per image")


def test_a_sampled_figure_is_scaled_to_the_whole_set() -> None:
    same = [classical.picture_of(blobs(1)[0], False)] * 20
    for codec in classical.picture_codecs():
        part, whole = (classical.per_image(codec, same, sample) for sample in (5, 20))
        assert (part.measured_on, whole.measured_on) == (5, 20)
        assert part.bits == whole.bits == 20 * 8 * len(codec.encode(same[0]))


def test_decoding_is_timed_apart_from_encoding_and_scaled() -> None:
    honest = classical.picture_codecs()[0]

    def decode(code: bytes, mode: str) -> Image.Image:
        time.sleep(0.01)
        return honest.decode(code, mode)

    slow = classical.PictureCodec("slow", honest.encode, decode)
    result = classical.per_image(slow, [classical.picture_of(image, False) for image in blobs(20)], 5)
    assert result.decode_seconds >= 20 * 0.01 > result.encode_seconds


@pytest.mark.parametrize("mode", classical.PLAIN_MODES)
def test_every_mode_comes_back(mode: str) -> None:
    picture = classical.picture_of(np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8), False).convert(mode)
    for codec in classical.picture_codecs():
        assert classical.per_image(codec, [picture], 1).bits > 0


@pytest.mark.parametrize(("mode", "mask", "colours"), [("L", 3, 2), ("RGB", (0, 1, 2), 4), ("P", 0, 4)])
def test_transparent_pixels_are_restored(mode: str, mask: int | tuple[int, ...], colours: int) -> None:
    picture = classical.picture_of(blobs(1)[0], False).convert(mode)
    picture.info["transparency"] = mask
    assert classical.samples_of(picture).shape == (9, 7, colours)
    for codec in classical.picture_codecs():
        assert classical.per_image(codec, [picture], 1).bits > 0


def test_a_codec_that_loses_a_pixel_is_refused() -> None:
    honest = classical.picture_codecs()[0]
    lossy = classical.PictureCodec("lossy", lambda p: honest.encode(p.point(lambda value: value // 2)), honest.decode)
    with pytest.raises(RuntimeError, match="lossy did not give back"):
        classical.mosaic(lossy, blobs(4), False)
    # The last image alone is wrong: all are compared.
    late = classical.PictureCodec("late", honest.encode, lambda code, _: honest.decode(codes.get(code, code), "L"))
    pictures = [classical.picture_of(image, False) for image in blobs(40)]
    codes = {honest.encode(pictures[-1]): honest.encode(pictures[0])}
    with pytest.raises(RuntimeError, match="late did not give back"):
        classical.per_image(late, pictures, 40)


@pytest.mark.parametrize("count", [1, 2, 5, 9, 30])
@pytest.mark.parametrize("max_side", [None, 20])
def test_mosaics_invert(count: int, max_side: int | None) -> None:
    images = blobs(count)
    pictures = list(classical.mosaics(images, max_side))
    assert len(pictures) == (1 if max_side is None else -(-count // 4))
    assert all(max(p.shape) <= (max_side or 1000) for p in pictures)
    assert np.array_equal(classical.from_mosaics(pictures, images.shape), images)


def test_mosaic_places_images_row_by_row_and_pads_with_zeros() -> None:
    (picture,) = classical.mosaics(blobs(5))
    assert picture.shape == (2 * 9, 3 * 7)
    assert np.array_equal(picture[9:, :7], blobs(5)[3])
    assert not picture[9:, 14:].any()


def test_missing_codecs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classical, "imagecodecs", None)
    monkeypatch.setattr(classical, "zstandard", None)
    monkeypatch.setattr(classical.shutil, "which", lambda program: None)
    assert [note.split()[0] for note in classical.missing()] == ["zstd", "JPEG"]
    assert {r.codec for r in classical.measure(blobs(4), False)} == {"xz 9e", "bz2 9", "PNG", "WebP"}


def test_binarise_is_fixed() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    first = binarise(images, 0)
    assert first.dtype == np.uint8
    assert set(np.unique(first)) == {0, 1}
    assert (int(first.sum()), int(binarise(images, 1).sum())) == (115, 133)


def test_mnist_comes_from_the_named_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnist").mkdir()
    np.savez(tmp_path / "mnist" / "test.npz", images=blobs(3), labels=np.array([4, 0, 4], np.uint8))
    monkeypatch.setenv("ACNCODEC_DATA", str(tmp_path))
    assert np.array_equal(mnist("test"), blobs(3))
    assert mnist_labels("test", str(tmp_path)).tolist() == [4, 0, 4]
    with pytest.raises(click.ClickException, match=r"train\.npz"):
        mnist("train")


@pytest.mark.parametrize(("bilevel", "mode"), [(False, "L"), (True, "1")])
def test_written_pngs_read_back(tmp_path: Path, bilevel: bool, mode: str) -> None:
    images = binarise(blobs(3), 0) if bilevel else blobs(3)
    write_pngs(images, np.array([7, 1, 7]), tmp_path, bilevel)
    write_pngs(images[:1], None, tmp_path, bilevel)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert files == ["1/00001.png", "7/00000.png", "7/00002.png", "all/00000.png"]
    with Image.open(tmp_path / "7" / "00002.png") as picture:
        assert picture.mode == mode
        assert np.array_equal(np.asarray(picture).astype(np.uint8), images[2])
