"""The second reader (`reader.py`), written from docs/FORMAT.md alone, decodes archives to the same files."""

import struct
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reader
import reader_images
from conftest import (
    drawings,
    files_of,
    make_pngs,
    no_progress,
    random_pixels,
    save_image,
    smooth_pixels,
    tiny_model,
    tiny_model_bytes,
)
from PIL import Image, PngImagePlugin
from reader_coders import DamagedError
from reader_models import unpacked_model

from acncodec import bundled
from acncodec.archive import header as head
from acncodec.archive.container import FEATURE_COPIES, FEATURE_STACKS, read_container
from acncodec.block import codec
from acncodec.block.plan import Way
from acncodec.coding.weights import pack_model
from acncodec.images.png import Png
from acncodec.packing import compress as compressing
from acncodec.packing import method_choice, model_choice
from acncodec.packing.compress import Options, compress
from acncodec.packing.method_choice import MethodChoice
from acncodec.reading.decompress import decompress
from acncodec.reading.parts import Parts
from acncodec.reading.reader import Archive

Kind = dict[str, int]  # a model's levels and colours, and what else `tiny_model` may be told
BITS, GREYS, COLOURS, FOUR = {"levels": 2}, {"levels": 256}, {"levels": 256, "colours": 3}, {"levels": 256, "colours": 4}
# Two logistics or one around each centre.
COPIES: list[Kind] = [{**COLOURS, "centres": 5, "logistics": 7}, {**FOUR, "centres": 5, "logistics": 7}]


def every_kind(root: Path) -> None:
    """Pictures of every layout and container, and what else a directory may hold."""
    make_pngs(root, 9, 4, 3, "1")
    make_pngs(root, 5, 4, 5, "L")
    for name, channels, mode in (("c", 3, "RGB"), ("d/e", 4, "RGBA"), ("f", 2, "LA")):
        (root / name).mkdir(parents=True)
        for number, samples in enumerate(smooth_pixels(channels, 3, 4, 3, channels)):
            Image.fromarray(samples, mode).save(root / name / f"{number:03}.png")
    palettes(root / "g")
    rasters(root / "h")
    (root / "notes.txt").write_bytes(b"no picture\n")
    (root / "copy.txt").write_bytes(b"no picture\n")
    (root / "z.png").write_bytes((root / "c" / "000.png").read_bytes())
    make_pngs(root / "m", 1, 3, 4, "L", seed=9)
    (root / "m" / "L-3x4" / "0.png").rename(root / "m.png")  # between folders by name, but in the first one
    (root / "z" / "nothing").mkdir(parents=True)


def palettes(folder: Path) -> None:
    """Palettes with and without transparency; of the last one's indices two stand for one colour."""
    folder.mkdir()
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "kept")
    for depth in (1, 2, 4, 8):
        colours = min(1 << depth, 12)
        image = Image.fromarray(random_pixels(depth, 1, 4, 3, colours)[0, :, :, 0], "P")
        image.putpalette(bytes(range(3 * colours)))
        image.save(folder / f"{depth}.png", bits=depth)
        image.save(folder / f"{depth}-clear.png", bits=depth, transparency=bytes([0, 90]), pnginfo=text)
        image.putpalette(bytes(3 * colours))
        image.save(folder / f"{depth}-same.png", bits=depth)


def interlaced(folder: Path) -> None:
    """PNGs of every depth and colour type in passes, with bytes behind their end; in the small one passes are empty."""
    folder.mkdir()
    kinds = [(1, 0, 1), (2, 0, 1), (4, 0, 1), (8, 0, 1), (4, 3, 1), (8, 4, 2), (8, 2, 3), (8, 6, 4)]
    for depth, colour, channels in kinds:
        before = [b"PLTE" + bytes(range(48))] if colour == 3 else []
        for height, width in ((9, 5), (2, 1)):
            samples = random_pixels(depth, 1, height, width, 1 << depth, channels)[0]
            png = Png(depth, colour, True, before, [b"tEXtTitle\0kept"], b"\0behind" * (channels < 4))
            (folder / f"{depth}-{colour}-{height}.png").write_bytes(png.write(samples))


def copies(folder: Path) -> None:
    """Pictures whose pixels often are, in some colours or in all, those beside them; the first are as what is before it."""
    folder.mkdir()
    for channels, mode in ((3, "RGB"), (4, "RGBA")):
        for height, width in ((5, 4), (1, 3), (3, 1)):
            noise = random_pixels(channels, 6, height, width, 4, channels)
            for number, samples in enumerate(np.where(noise > 0, 128, 90).astype(np.uint8)):
                Image.fromarray(samples, mode).save(folder / f"{mode}-{height}x{width}-{number}.png")


def rasters(folder: Path) -> None:
    """Files that keep their rows uncompressed."""
    for suffix, mode, levels, colours in (("pbm", "1", 2, 1), ("pgm", "L", 256, 1), ("ppm", "RGB", 256, 3)):
        save_image(folder / f"a.{suffix}", random_pixels(0, 1, 3, 9, levels, colours)[0], mode)
    noise = random_pixels(1, 1, 3, 5, 256, 3)[0]
    for suffix in ("bmp", "tif"):
        Image.fromarray(noise).save(folder / f"rgb.{suffix}")
        Image.fromarray(noise[..., 0]).save(folder / f"grey.{suffix}")
    Image.fromarray(noise).quantize(6).save(folder / "palette.bmp")
    Image.fromarray(random_pixels(2, 1, 3, 5, 256, 4)[0], "RGBA").save(folder / "alpha.tif")
    (folder / "comment.pgm").write_bytes(b"P5 # 9 9\n2\t1\n#\r 255\n" + bytes([7, 200]))
    bottom_up = (folder / "rgb.bmp").read_bytes()
    (folder / "top_down.bmp").write_bytes(bottom_up[:22] + struct.pack("<i", -3) + bottom_up[26:] + b"after the rows")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader") / "in"
    every_kind(folder)
    return folder


@pytest.fixture
def coded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code every picture for which there is a model, regardless of price."""

    def dear(contents: list[Any]) -> MethodChoice:
        return MethodChoice([(1 << 30, picture) for _, picture in contents])

    monkeypatch.setattr(compressing, "MethodChoice", dear)
    monkeypatch.setattr(method_choice, "pack_webp", lambda samples: None)
    monkeypatch.setattr(method_choice, "RAW_HOPE", 0.0)
    monkeypatch.setattr(method_choice, "FILES_HOPE", 0.0)


def read_twice(root: Path, folder: Path, kinds: list[Kind], options: Options) -> reader.Archive:
    """Compress a directory and read the archive with the package and without it: the same files and directories."""
    archive, out = folder / "archive.acn", folder / "out"
    models = [tiny_model_bytes(calm=True, **kind) for kind in kinds]
    paths = [folder / f"{number}.safetensors" for number in range(len(models))]
    for path, data in zip(paths, models, strict=True):
        path.write_bytes(data)
    compress(root, archive, [tiny_model(calm=True, **kind) for kind in kinds], options, no_progress)
    with Parts(archive, paths) as opened:
        decompress(opened, out, progress=no_progress)
    found = reader.Archive(archive.read_bytes(), models)
    assert found.files == {bytes(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert found.empty == [
        bytes(path.relative_to(out)) for path in sorted(out.rglob("*")) if path.is_dir() and not any(path.iterdir())
    ]
    return found


def seen(archive: reader.Archive) -> set[tuple[int, int, bool]]:
    """Method, layout and whether a palette was expanded, of every picture."""
    kinds = (each.kind for each in archive.contents if each.kind.form)
    return {(kind.method, kind.picture().layout, kind.picture().expanded) for kind in kinds}


@pytest.mark.usefixtures("coded")
@pytest.mark.parametrize(
    "names",
    [head.NAMES_KEEP, *(pytest.param(names, marks=pytest.mark.slow) for names in (head.NAMES_FOLDERS, head.NAMES_DROP))],
)
@pytest.mark.parametrize("way", [Way.TOUR, Way.UNORDERED])
def test_coded_pictures(names: int, way: Way, root: Path, tmp_path: Path) -> None:
    found = read_twice(root, tmp_path, [BITS, GREYS, COLOURS], Options(names=names, way=way, block=30))
    layouts = {layout for _, layout, _ in seen(found)}
    assert layouts == {
        reader_images.BILEVEL,
        reader_images.GREY,
        reader_images.GREY_ALPHA,
        reader_images.RGB,
        reader_images.RGBA,
        reader_images.INDEX,
    }
    assert {method for method, _, _ in seen(found)} == {reader.CODED}
    if names == head.NAMES_KEEP:
        for name, data in found.files.items():
            if not name.endswith(b".png"):
                assert data == (root / name.decode()).read_bytes()
    if names == head.NAMES_FOLDERS:
        source = {bytes(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        assert by_folder(found.files) == by_folder(source)


def pixels(data: bytes) -> bytes:
    return Image.open(BytesIO(data)).tobytes()


def by_folder(files: dict[bytes, bytes]) -> Counter[tuple[bytes, bytes]]:
    """How often each folder has each content: the pixels of PNGs, all bytes of other files."""
    found: Counter[tuple[bytes, bytes]] = Counter()
    for name, data in files.items():
        content = pixels(data) if name.endswith(b".png") else data
        found[name.rpartition(b"/")[0], content] += 1
    return found


@pytest.mark.usefixtures("coded")
def test_expanded_palettes(tmp_path: Path) -> None:
    palettes(tmp_path / "in")
    found = read_twice(tmp_path / "in", tmp_path, [COLOURS, FOUR], Options())
    assert seen(found) == {(reader.CODED, reader_images.RGB, True), (reader.CODED, reader_images.RGBA, True)}
    assert {each.kind.method for each in found.contents} == {reader.CODED, reader.FILE}


@pytest.mark.usefixtures("coded")
def test_interlaced_pngs_with_a_tail(tmp_path: Path) -> None:
    interlaced(tmp_path / "in")
    found = read_twice(tmp_path / "in", tmp_path, [BITS, GREYS, COLOURS], Options())
    assert {method for method, *_ in seen(found)} == {reader.CODED}
    assert {name: pixels(data) for name, data in found.files.items()} == {
        bytes(path.relative_to(tmp_path / "in")): pixels(path.read_bytes()) for path in (tmp_path / "in").iterdir()
    }
    assert all(data[28] == 1 and data.endswith((b"\0behind", b"\xaeB`\x82")) for data in found.files.values())


@pytest.mark.usefixtures("coded")
def test_copies_of_images_coded_before(tmp_path: Path) -> None:
    """Drawings of two sizes, RGB and RGBA, under a model that looks for copies: one memory for all groups of a block."""
    for channels, mode in ((3, "RGB"), (4, "RGBA")):
        (tmp_path / "in" / mode).mkdir(parents=True)
        for size in ((5, 6), (4, 7)):
            for number, samples in enumerate(drawings(channels, 6, *size, channels)):
                Image.fromarray(samples, mode).save(tmp_path / "in" / mode / f"{size[0]} {number}.png")
    looks: Kind = {**FOUR, "centres": 5, "logistics": 13, "candidates": 6}
    found = read_twice(tmp_path / "in", tmp_path, [looks], Options(way=Way.TOUR))
    assert seen(found) == {(reader.CODED, reader_images.RGB, False), (reader.CODED, reader_images.RGBA, False)}
    with (tmp_path / "archive.acn").open("rb") as file:
        assert read_container(file).features == FEATURE_COPIES


@pytest.mark.usefixtures("coded")
@pytest.mark.parametrize("way", [Way.TOUR, Way.UNORDERED])
def test_several_stacks(way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "stack_count", lambda bits, lanes: 3)
    make_pngs(tmp_path / "in", 90, 4, 3, "1")
    make_pngs(tmp_path / "in", 40, 3, 3, "RGB")
    read_twice(tmp_path / "in", tmp_path, [BITS, COLOURS], Options(way=way))
    with (tmp_path / "archive.acn").open("rb") as file:
        assert read_container(file).features == FEATURE_STACKS


@pytest.mark.usefixtures("coded")
def test_several_centres(tmp_path: Path) -> None:
    copies(tmp_path / "in")
    found = read_twice(tmp_path / "in", tmp_path, COPIES, Options(way=Way.TOUR))
    assert seen(found) == {(reader.CODED, reader_images.RGB, False), (reader.CODED, reader_images.RGBA, False)}
    for name, data in found.files.items():
        assert pixels(data) == pixels((tmp_path / "in" / name.decode()).read_bytes())


@pytest.mark.usefixtures("coded")
def test_planes_of_prediction_errors(tmp_path: Path) -> None:
    make_pngs(tmp_path / "in", 12, 6, 5, "L")
    found = read_twice(tmp_path / "in", tmp_path, [{"levels": 256, "errors": 1}], Options(way=Way.TOUR))
    assert seen(found) == {(reader.CODED, reader_images.GREY, False)}


@pytest.mark.usefixtures("coded")
@pytest.mark.parametrize("centres", [1, 5])
def test_grey_values_under_logistics(centres: int, tmp_path: Path) -> None:
    make_pngs(tmp_path / "in", 12, 6, 5, "L")
    model = {"levels": 256, "softmax": False, "logistics": 5, "centres": centres}
    found = read_twice(tmp_path / "in", tmp_path, [model], Options(way=Way.TOUR))
    assert seen(found) == {(reader.CODED, reader_images.GREY, False)}


@pytest.mark.parametrize(("hope", "method"), [(0.0, reader.WEBP), (9.0, reader.RAW)])
@pytest.mark.parametrize("names", [head.NAMES_FOLDERS, head.NAMES_DROP])
def test_pictures_without_a_model(
    hope: float, method: int, names: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(method_choice, "RAW_HOPE", hope)
    monkeypatch.setattr(method_choice, "FILES_HOPE", 0.0)
    found = read_twice(root, tmp_path, [], Options(names=names))
    assert {each.kind.method for each in found.contents} == {reader.FILE, method}
    assert len({layout for _, layout, _ in seen(found)}) >= 3


@pytest.mark.usefixtures("coded")
@pytest.mark.parametrize(("kinds", "planes"), [([BITS, GREYS, COLOURS], 2), ([FOUR, BITS], 1)])
def test_tiles_and_conditional_latents(
    kinds: list[Kind], planes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_choice, "MAX_WHOLE", 12)
    monkeypatch.setattr(model_choice, "TILE", 4)
    make_pngs(tmp_path / "in", 40, 4, 3, "1")  # enough for two lanes
    for number, samples in enumerate(smooth_pixels(0, 2, 5, 7, 4)):
        Image.fromarray(samples, "RGBA").save(tmp_path / "in" / f"{number}.png")
    found = read_twice(tmp_path / "in", tmp_path, kinds, Options(way=Way.NAMES))
    assert [(len(each.kind.planes), each.kind.planes[0][1]) for each in tiled(found)] == [(planes, 4)] * 2


def tiled(archive: reader.Archive) -> list[reader.Content]:
    return [each for each in archive.contents if any(tile for _, tile in each.kind.planes)]


@pytest.mark.parametrize("names", [head.NAMES_KEEP, head.NAMES_FOLDERS, head.NAMES_DROP])
@pytest.mark.parametrize("count", [0, 3])
@pytest.mark.usefixtures("coded")
def test_sections_that_would_be_empty_are_left_out(names: int, count: int, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make_pngs(tmp_path / "in", count, 2, 3, "1")
    assert len(read_twice(tmp_path / "in", tmp_path, [BITS], Options(names=names)).files) == count


def test_wrong_bits_are_detected(root: Path, tmp_path: Path) -> None:
    """The reader's own checks hold: an archive with any byte changed is refused."""
    compress(root, tmp_path / "archive.acn", [], Options(), no_progress)
    data = (tmp_path / "archive.acn").read_bytes()
    for at in range(0, len(data), 97):
        with pytest.raises(DamagedError):
            reader.Archive(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :], [])


# [11] Models in archives


def test_an_archive_with_its_model_is_enough() -> None:
    path = Path(__file__).parent / "golden" / "v2-carried.acn"
    with Archive(path) as opened:
        want = files_of(opened)
    assert reader.Archive(path.read_bytes(), []).files == want


@pytest.mark.parametrize("colours", [1, 3])
def test_packed_models_are_unpacked_alike(colours: int) -> None:
    base, plain = tiny_model_bytes(256, colours=colours), tiny_model_bytes(256, calm=True, colours=colours)
    assert unpacked_model(pack_model(plain), []) == plain
    assert unpacked_model(pack_model(plain, base), [plain, base]) == plain
    path = bundled.FOLDER / "mnist-1bit.safetensors"
    assert unpacked_model(pack_model(bundled.load(path).plain), []) == bundled.load(path).plain
