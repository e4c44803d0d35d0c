"""The method for each content: the cheapest is chosen, and prices agree with real sizes."""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import make_pngs, packed, ramps, random_pixels, save_colours, smooth_pixels, snapshot, tiny_model, unpacked
from PIL import Image

from acncodec.archive.classes import METHOD_CODED, METHOD_FILE, METHOD_RAW, METHOD_WEBP, Class
from acncodec.errors import DamagedError
from acncodec.images.picture import Picture, read_picture
from acncodec.images.webp import pack_webp
from acncodec.nets.model import Model
from acncodec.packing import method_choice, model_choice
from acncodec.packing.method_choice import FILE, Choice, MethodChoice
from acncodec.packing.model_choice import PictureVariants, best_coding, plane_bits
from acncodec.reading.reader import Archive, restore

Content = tuple[int, Picture | None]


def content(pixels: np.ndarray, container: str = "PNG") -> Content:
    """A file of pixels uint8 [H, W, C], as `MethodChoice` takes it."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, container)
    picture = read_picture(file.getvalue())
    assert picture is not None
    return len(file.getvalue()), picture


def choices(contents: list[Content], models: list[Model]) -> list[Choice]:
    done: list[int] = []
    found, _ = MethodChoice(contents).choose(models, done.append)
    assert sum(done) == len(contents) == len(found)
    return found


def methods(contents: list[Content], models: list[Model]) -> Counter[int]:
    return Counter(choice.content_class.method for choice in choices(contents, models))


def test_files_that_are_no_pictures_are_kept_as_they_are(models: list[Model]) -> None:
    assert choices([(10, None), (0, None)], models) == [FILE, FILE]
    assert choices([], models) == []


def test_gradients_are_coded_and_flat_pictures_are_not(models: list[Model]) -> None:
    """Calm models predict values within a few levels of their neighbours, which WebP cannot learn from small pictures."""
    slopes = [content(pixels) for pixels in smooth_pixels(0, 6, 12, 12, 3)]
    flat = [content(np.full((40, 40, 3), level, np.uint8)) for level in range(0, 60, 10)]
    noise = [content(pixels) for pixels in random_pixels(1, 3, 14, 14, 256, 3)]
    assert methods(slopes, models) == {METHOD_CODED: 6}
    assert METHOD_CODED not in methods(flat, models)
    found = choices([*slopes, *flat, *noise], models)
    assert [choice.content_class.method for choice in found[:6]] == [METHOD_CODED] * 6
    assert METHOD_CODED not in {choice.content_class.method for choice in found[6:12]}


def test_without_a_model_pictures_are_webp_or_raw_or_files(models: list[Model]) -> None:
    assert set(methods([content(pixels) for pixels in smooth_pixels(0, 3, 30, 30, 3)], [])) == {METHOD_WEBP}
    grey = [content(pixels) for pixels in random_pixels(0, 3, 5, 5, 256)]
    assert METHOD_CODED not in methods(grey, [models[0], models[2]])


def test_pictures_that_repeat_each_other_are_raw_together() -> None:
    noise = random_pixels(0, 1, 30, 30, 256, 3)[0]
    alike = []
    for number in range(8):
        noise[number, number] ^= 1
        alike.append(content(noise))
    assert methods(alike, []) == {METHOD_RAW: 8}
    for choice, (_, picture) in zip(choices(alike, []), alike, strict=True):
        assert picture is not None
        assert choice.samples is picture.samples


def test_a_file_smaller_than_its_description_stays() -> None:
    assert methods([content(np.ones((1, 1, 1), np.uint8), "PPM")], []) == {METHOD_FILE: 1}


def test_the_price_of_a_choice_is_what_webp_takes() -> None:
    pixels = smooth_pixels(3, 1, 30, 30, 3)[0]
    (choice,) = choices([content(pixels)], [])
    assert choice.data == pack_webp(pixels)


def test_a_large_set_follows_its_sample(models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    slopes = [content(pixels) for pixels in smooth_pixels(0, 40, 12, 12, 3)]
    monkeypatch.setattr(method_choice, "SAMPLE", 4)
    tried = []
    monkeypatch.setattr(method_choice, "pack_webp", lambda samples, draft=False: tried.append(samples))
    assert methods(slopes, models) == {METHOD_CODED: 40}
    assert len(tried) == 4


def test_the_cheaper_of_two_models_is_taken(models: list[Model]) -> None:
    slopes = [content(pixels) for pixels in smooth_pixels(0, 4, 12, 12, 3)]
    rough = tiny_model(256, colours=3)
    for order, best in (([rough, models[2]], 1), ([models[2], rough], 0)):
        assert [choice.content_class.planes[0].model for choice in choices(slopes, order)] == [best] * 4


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
@pytest.mark.usefixtures("free_networks")
def test_prices_are_what_coding_takes(
    mode: str, tmp_path: Path, models: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    make_pngs(root, 30, 4, 4, mode)
    samples = []
    for path in sorted(root.rglob("*.png")):
        picture = read_picture(path.read_bytes())
        assert picture is not None
        samples.append(picture.samples)
    price = plane_bits(models[["1", "L", "RGB"].index(mode)], np.stack(samples), 0).sum()
    with Archive(packed(root, models)) as opened:
        assert 8 * sum(map(len, opened.block(0).bits)) == pytest.approx(price, rel=0.1, abs=64)


def test_all_methods_beside_each_other_come_back(tmp_path: Path, models: list[Model], model_files: list[Path]) -> None:
    root = tmp_path / "in"
    for number, pixels in enumerate(smooth_pixels(0, 5, 12, 12, 3)):
        save_colours(root / f"{number} slope.png", pixels)
    for number, pixels in enumerate(ramps(5, 2, 60)):
        save_colours(root / f"{number} grey.png", pixels)
    noise = random_pixels(2, 1, 20, 20, 256, 2)[0]
    for number in range(15):
        noise[number, number] ^= 1
        save_colours(root / f"{number} alike.png", noise)
    (root / "3 file").write_bytes(b"text")
    archive = packed(root, [models[2]])
    with Archive(archive) as opened:
        assert {each.method for each in opened.classes} == {METHOD_FILE, METHOD_WEBP, METHOD_RAW, METHOD_CODED}
    assert snapshot(unpacked(archive, model_files)) == snapshot(root)


def test_bytes_common_to_files_are_stored_once(tmp_path: Path) -> None:
    """A file that contains the bytes of another, a picture, costs little more, as in tar.xz."""
    root = tmp_path / "in"
    save_colours(root / "noise.png", random_pixels(3, 1, 64, 64, 256)[0])
    data = (root / "noise.png").read_bytes()
    (root / "noise.bin").write_bytes(b"\0" + data)
    archive = packed(root, [])
    assert archive.stat().st_size < len(data) + 300
    assert snapshot(unpacked(archive, [])) == snapshot(root)


def test_bilevel_pictures_that_repeat_each_other_are_raw_in_strips() -> None:
    for width, wanted in ((30, 4 * 40), (1, 40)):
        noise, alike = random_pixels(width, 1, 40, width, 2)[0], []
        for number in range(20):
            noise[number, 0] ^= 1
            file = io.BytesIO()
            Image.fromarray(noise[..., 0].astype(bool)).save(file, "PNG")
            alike.append((len(file.getvalue()), read_picture(file.getvalue())))
        found = choices(alike, [])
        assert {choice.content_class.method for choice in found} == {METHOD_RAW}
        for choice, (_, picture) in zip(found, alike, strict=True):
            assert picture is not None
            raw = choice.data if choice.samples is None else choice.samples.tobytes()
            assert raw is not None
            assert len(raw) == wanted
            back = read_picture(restore(choice.content_class, raw))
            assert back is not None
            assert np.array_equal(back.samples, picture.samples)


def test_raw_samples_of_another_length_are_damaged() -> None:
    picture = content(random_pixels(0, 1, 5, 20, 256)[0])[1]
    assert picture is not None
    kind = Class(METHOD_RAW, 5, 20, picture.form, ())
    restore(kind, bytes(100))
    for length in (0, 15, 99, 101):  # 15 bytes would be strips, were it bilevel
        with pytest.raises(DamagedError):
            restore(kind, bytes(length))


def test_webp_is_skipped_where_raw_is_clearly_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of pictures that repeat each other only a sample is compressed as WebP, unless they are not kept raw after all."""
    made: list[int] = []
    monkeypatch.setattr(method_choice, "pack_webp", lambda samples, draft=False: made.append(1) or pack_webp(samples))
    noise = random_pixels(3, 1, 20, 20, 256, 1)[0]
    alike = [content(np.concatenate([noise[n:], noise[:n]])) for n in range(20) for _ in range(5)]
    found, bits = MethodChoice(alike).choose([], lambda done: None)
    assert {choice.content_class.method for choice in found} == {METHOD_RAW}
    assert bits < 8 * 8000
    assert len(made) == len(alike[::4])
    made.clear()
    monkeypatch.setattr(method_choice, "RAW_MAX", 100)
    found, _ = MethodChoice(alike).choose([], lambda done: None)
    assert {choice.content_class.method for choice in found} == {METHOD_WEBP}
    assert len(made) == len(alike)


@pytest.mark.usefixtures("free_networks")
def test_large_pictures_get_the_slow_webp_only_if_it_may_pay(models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    monkeypatch.setattr(
        method_choice, "pack_webp", lambda samples, draft=False: made.append(draft) or pack_webp(samples, draft)
    )
    slope = content(smooth_pixels(0, 1, 130, 130, 3)[0])
    assert methods([slope], models) == {METHOD_CODED: 1}
    assert made == [True]
    made.clear()
    assert methods([slope], []) == {METHOD_WEBP: 1}
    assert made == [True, False]


def test_a_model_clearly_worse_on_a_few_tiles_is_not_tried_on_all(
    models: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, int]] = []

    def noted(
        model: Model,
        samples: np.ndarray,
        tile: int,
        most: int = model_choice.SAMPLE_TILES,
        others: Sequence[np.ndarray] = (),
    ) -> np.ndarray:
        tried.append((model.name, most))
        return plane_bits(model, samples, tile, most, others)

    monkeypatch.setattr(model_choice, "plane_bits", noted)
    rough, fitting = tiny_model(256, colours=3), models[2]
    _, picture = content(smooth_pixels(0, 1, 260, 260, 3)[0])
    assert picture is not None
    found = best_coding([PictureVariants(picture, None)], [rough, fitting])
    assert found is not None
    assert found[0].planes[0].model == 1
    few, all_tiles = model_choice.FEW_TILES, model_choice.SAMPLE_TILES
    assert tried == [(rough.name, few), (fitting.name, few), (fitting.name, all_tiles)]
