"""Pictures are cut into elements (planes and tiles) and joined again; round trips of tiled pictures."""

from pathlib import Path

import numpy as np
import pytest
from conftest import KINDS, architecture, packed, random_pixels, save_colours, snapshot, unpacked

from acncodec.archive.classes import METHOD_CODED, Class, PlaneCoding
from acncodec.block.elements import Group, cells, channels, check, count, cut, fits, join, planes
from acncodec.block.plan import Way
from acncodec.errors import DamagedError
from acncodec.images.picture import read_picture
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import Model
from acncodec.packing import model_choice
from acncodec.reading.reader import Archive


def form_of(path: Path, width: int) -> bytes:
    """The form of a PNG of so many channels."""
    save_colours(path, random_pixels(0, 1, 2, 2, 256, width)[0])
    picture = read_picture(path.read_bytes())
    assert picture is not None
    return picture.form


@pytest.fixture
def classes(tmp_path: Path) -> list[Class]:
    """Grey, grey and alpha, RGB and RGBA of two sizes; models 0 and 1 are of grey and RGB; some are tiled."""
    forms = {number: form_of(tmp_path / f"{number}.png", number) for number in (1, 2, 3, 4)}
    whole, tiled, colour = PlaneCoding(0, 0), PlaneCoding(0, 3), PlaneCoding(1, 4)
    return [
        Class(METHOD_CODED, 5, 4, forms[1], (whole,)),
        Class(METHOD_CODED, 5, 4, forms[2], (whole, whole)),
        Class(METHOD_CODED, 5, 9, forms[3], (colour,)),
        Class(METHOD_CODED, 5, 9, forms[4], (colour, tiled)),
    ]


def test_planes_are_colours_and_alpha(classes: list[Class]) -> None:
    assert [planes(each.form, len(each.planes)) for each in classes] == [(1,), (1, 1), (3,), (3, 1)]
    assert planes(classes[3].form, 1) == (4,)
    assert [channels(each.form) for each in classes] == [1, 2, 3, 4]
    for form, number in ((b"?", 1), (classes[0].form, 2), (classes[1].form, 1), (classes[3].form, 3), (classes[3].form, 0)):
        with pytest.raises(DamagedError):
            planes(form, number)
    with pytest.raises(DamagedError):
        channels(b"?")


def test_cells_come_plane_by_plane_in_raster_order(classes: list[Class]) -> None:
    found = cells(classes[3])
    assert [group for group, *_ in found[:6]] == [Group(1, 3, 3)] * 3 + [Group(1, 2, 3)] * 3
    assert all(group.model == 0 for group, *_ in found[6:])
    assert [cell[3] for cell in found] == [slice(0, 3)] * 6 + [slice(3, 4)] * 6


def test_join_undoes_cut(classes: list[Class]) -> None:
    random = np.random.default_rng(0)
    sequence = random.permutation(np.repeat(np.arange(4), 3))
    sizes = [(each.height, each.width, channels(each.form)) for each in classes]
    pictures = [random.integers(0, 256, sizes[i], np.uint8) for i in sequence]
    elements, owners = cut(classes, sequence, pictures, [Architecture(256), Architecture(256, 3, 2)])
    assert list(elements) == sorted(elements)
    assert {group: len(found) for group, found in elements.items()} == count(classes, [3, 3, 3, 3])
    assert list(count(classes, [3, 3, 3, 3])) == list(elements)
    for group, found in elements.items():
        assert found.shape[1:] == (group.height, group.width, 3 if group.model else 1)
        assert (np.diff(owners[group]) >= 0).all()
    assert sum(found.size for found in elements.values()) == sum(samples.size for samples in pictures)
    joined = join(classes, sequence, elements)
    assert all(np.array_equal(a, b) for a, b in zip(joined, pictures, strict=True))


def test_models_fit_planes_of_their_kind(classes: list[Class]) -> None:
    bits, grey, colour = (architecture(levels, colours) for levels, colours in KINDS)
    assert [fits(arch, classes[3].form, 3) for arch in (bits, grey, colour)] == [False, False, True]
    assert [fits(arch, classes[3].form, 1) for arch in (bits, grey, colour)] == [False, True, False]
    check(classes[3], [grey, colour])
    with pytest.raises(DamagedError, match="model"):
        check(classes[3], [colour, grey])
    with pytest.raises(DamagedError, match="planes"):
        check(Class(METHOD_CODED, 5, 9, classes[2].form, (PlaneCoding(1, 0), PlaneCoding(0, 0))), [grey, colour])
    with pytest.raises(DamagedError, match="model"):
        check(Class(METHOD_CODED, 5, 9, classes[3].form, (PlaneCoding(1, 0),)), [grey, colour])


@pytest.mark.parametrize("way", [None, *Way])
@pytest.mark.usefixtures("free_networks")
def test_pictures_in_tiles_come_back(
    way: Way | None, tmp_path: Path, models: list[Model], model_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_choice, "MAX_WHOLE", 6)
    monkeypatch.setattr(model_choice, "TILE", 3)
    root = tmp_path / "in"
    for width in (1, 2, 3, 4):
        for number, pixels in enumerate(random_pixels(width, 2, 3, 5, 256, width)):
            save_colours(root / f"{width}-{number}.png", pixels)
        save_colours(root / f"{width}-small.png", random_pixels(width, 1, 2, 3, 256, width)[0])
    archive = packed(root, models, way=way)
    with Archive(archive) as opened:
        assert sum(opened.header.blocks) == 12
        assert {plane.tile for each in opened.classes for plane in each.planes} == {0, 3}
        assert not opened.block(0).tour  # there is none of pictures of several tiles
    assert snapshot(unpacked(archive, model_files)) == snapshot(root)


def test_many_tiles_are_priced_by_some(models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    samples = random_pixels(0, 2, 20, 30, 256)
    every = model_choice.plane_bits(models[1], samples, 4)
    monkeypatch.setattr(model_choice, "SAMPLE_TILES", 10)
    assert model_choice.plane_bits(models[1], samples, 4) == pytest.approx(every, rel=0.1)
