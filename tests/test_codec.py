"""Round trips of whole directories, with every kind of content."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import folders, make_pngs, no_progress, packed, random_pixels, save_colours, save_image, snapshot, unpacked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from acncodec.archive import header as head
from acncodec.archive.classes import METHOD_CODED
from acncodec.block import codec as block_module
from acncodec.block.plan import Way
from acncodec.coding.stacks import Stacks
from acncodec.errors import InputError, OutputError
from acncodec.images.picture import layout
from acncodec.images.raster import Layout
from acncodec.nets.model import Model
from acncodec.packing import compress as compressing
from acncodec.packing.compress import Options, compress
from acncodec.reading.info import describe
from acncodec.reading.parts import Parts
from acncodec.reading.reader import Archive

KEEP, DROP, FOLDERS = head.NAMES_KEEP, head.NAMES_DROP, head.NAMES_FOLDERS


def palette_png(depth: int, transparent: bool, seed: int, shape: tuple[int, int] = (5, 7)) -> bytes:
    """A PNG of random palette indices."""
    colours = min(2**depth, 40)
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, colours, shape, np.uint8))
    ramp = np.arange(3 * colours, dtype=np.uint8)
    image.putpalette((ramp if colours == 40 else random.permutation(256)[: len(ramp)].astype(np.uint8)).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", bits=depth, **({"transparency": bytes([0, 128])} if transparent else {}))
    return file.getvalue()


def make_pictures(root: Path) -> None:
    """Small pictures, several of each layout, in every kind of file that is parsed."""
    for seed, (mode, channels) in enumerate([("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)]):
        for number, pixels in enumerate(random_pixels(seed, 3, 5, 7, 256, channels)):
            save_colours(root / mode / f"{number:03}.png", pixels)
        for number, pixels in enumerate(random_pixels(9 + seed, 2, 6, 4, 256, channels)):
            save_colours(root / mode / f"other {number}.tif", pixels)
    make_pngs(root, 4, 5, 7, "1")
    for depth in (1, 2, 4, 8):
        for number in (0, 1):
            (root / "P" / str(depth)).mkdir(parents=True, exist_ok=True)
            (root / "P" / str(depth) / f"{number}.png").write_bytes(palette_png(depth, False, number))
            (root / "P" / str(depth) / f"clear {number}.png").write_bytes(palette_png(depth, True, 5 + number))
    save_image(root / "raster" / "a.pbm", random_pixels(20, 1, 16, 9, 2)[0], "1")
    save_image(root / "raster" / "a.pgm", random_pixels(21, 1, 5, 7, 256)[0], "L")
    save_image(root / "raster" / "a.ppm", random_pixels(22, 1, 5, 7, 256, 3)[0], "RGB")
    save_colours(root / "raster" / "a.bmp", random_pixels(23, 1, 5, 7, 256, 3)[0])
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "kept")
    save_colours(root / "told.png", random_pixels(24, 1, 5, 7, 256, 3)[0], pnginfo=info, dpi=(72, 72))


def make_others(root: Path) -> None:
    """Files kept as they are, unusual names, and special files."""
    root.mkdir(exist_ok=True)
    noise = Image.fromarray(random_pixels(30, 1, 9, 8, 256, 4)[0])
    Image.fromarray(random_pixels(31, 1, 6, 5, 256)[0, :, :, 0].astype(np.uint16) * 257).save(root / "deep.png")
    noise.convert("CMYK").save(root / "print.jpg")
    noise.convert("CMYK").save(root / "print.tif")
    noise.convert("RGB").save(root / "photo.jpg")
    noise.convert("P").save(root / "old.gif")
    (root / "notes.txt").write_bytes(b"not an image\n" * 3)
    whole = io.BytesIO()
    noise.save(whole, "PNG")
    (root / "broken.png").write_bytes(whole.getvalue()[:-5])
    (root / "._x.png").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(50))
    (root / "no pixels.png").touch()
    (root / "empty" / "er").mkdir(parents=True)
    (root / "nested" / "deeper").mkdir(parents=True)
    (root / "nested" / "deeper" / ".hidden").write_bytes(b"secret")
    (root / "Bücher 書 \N{PILE OF POO}.png").write_bytes(whole.getvalue())
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9 \xff.png")).write_bytes(palette_png(2, False, 77))
    (root / "link.png").symlink_to("told.png")
    (root / "circle").symlink_to(".")
    os.mkfifo(root / "pipe")


VERBATIM = ("deep.png", "print.jpg", "print.tif", "photo.jpg", "old.gif", "notes.txt", "broken.png", "._x.png")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("codec") / "zoo"
    make_pictures(root)
    make_others(root)
    return root


def linked(zoo: Path, tmp_path: Path) -> Path:
    """The zoo under a name of the test's own."""
    (tmp_path / "in").symlink_to(zoo)
    return tmp_path / "in"


def files(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]


def check_zoo(zoo: Path, out: Path) -> None:
    found = snapshot(out)
    assert found == snapshot(zoo)
    assert folders(out) == folders(zoo)
    assert not [path for path in out.rglob("*") if path.is_symlink() or path.is_fifo()]
    for name in VERBATIM:
        assert (out / name).read_bytes() == (zoo / name).read_bytes()


@pytest.mark.parametrize("way", [None, *Way])
@pytest.mark.usefixtures("free_networks")
def test_everything_comes_back_from_networks(
    way: Way | None, zoo: Path, tmp_path: Path, models: list[Model], model_files: list[Path]
) -> None:
    archive = packed(linked(zoo, tmp_path), models, way=way)
    with Archive(archive, model_files) as opened:
        coded = {layout(each.form) for each in opened.classes if each.method == METHOD_CODED}
        assert coded == set(Layout)
        block = opened.block(0)
        # There is no tour of grey pictures with alpha: they are two elements of one group.
        assert way in (None, Way.TOUR) or (block.tour, block.conditional) == way.value
    check_zoo(zoo, unpacked(archive, model_files))


@pytest.mark.parametrize("names", [KEEP, DROP, FOLDERS])
@pytest.mark.usefixtures("free_networks")
def test_tours_of_pictures_of_several_planes(
    names: int, tmp_path: Path, models: list[Model], model_files: list[Path]
) -> None:
    root = tmp_path / "in"
    for number, channels in enumerate((1, 3, 4)):
        for each, pixels in enumerate(random_pixels(number, 5, 4, 3, 256, channels)):
            save_colours(root / f"{each}" / f"{channels}.png", pixels)
    archive = packed(root, models, way=Way.TOUR, names=names)
    with Archive(archive) as opened:
        block = opened.block(0)
        assert (block.tour, block.conditional) == (True, True)
        assert len(block.lanes) == 2
    found, source = snapshot(unpacked(archive, model_files)), snapshot(root)
    assert sorted(map(repr, found.values())) == sorted(map(repr, source.values()))
    assert names != KEEP or found == source


def test_everything_comes_back_by_price(zoo: Path, tmp_path: Path, models: list[Model], model_files: list[Path]) -> None:
    archive = packed(linked(zoo, tmp_path), models)
    check_zoo(zoo, unpacked(archive, model_files))


def test_special_files_are_reported(zoo: Path, tmp_path: Path) -> None:
    done = compress(zoo, tmp_path / "a.acn", [], Options(), no_progress)
    assert [name for name, _ in done.collection.skipped] == [b"circle", b"link.png", b"pipe"]
    assert done.collection.unreadable == []
    assert done.stored == len(done.collection.contents)


@pytest.mark.usefixtures("free_networks")
def test_expanded_palettes_come_back(tmp_path: Path, models: list[Model], model_files: list[Path]) -> None:
    """Of the models only those of colours and of grey that transparency needs: indices can only be coded as colours."""
    root = tmp_path / "in"
    root.mkdir()
    for number in range(4):
        (root / f"{number}.png").write_bytes(palette_png(4, False, number))
    archive = packed(root, [models[2]])
    with Archive(archive) as opened:
        assert {layout(each.form) for each in opened.classes} == {Layout.RGB}
        assert {each.method for each in opened.classes} == {METHOD_CODED}
    assert snapshot(unpacked(archive, model_files)) == snapshot(root)


@pytest.mark.parametrize("names", [KEEP, DROP, FOLDERS])
@pytest.mark.usefixtures("free_networks")
def test_exact_files_are_identical(
    names: int, zoo: Path, tmp_path: Path, models: list[Model], model_files: list[Path]
) -> None:
    archive = packed(linked(zoo, tmp_path), models, exact_files=True, names=names)
    with Archive(archive) as opened:
        assert sum(opened.header.blocks) == 4 + 8  # the rasters; CMYK is none
        assert opened.header.promise == head.PROMISE_BYTES
    out = unpacked(archive, model_files)
    contents = [sorted(path.read_bytes() for path in files(where)) for where in (zoo, out)]
    assert contents[0] == contents[1]
    if names == KEEP:
        assert all((out / path.relative_to(zoo)).read_bytes() == path.read_bytes() for path in files(zoo))


@pytest.mark.parametrize("names", [KEEP, DROP, FOLDERS])
@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
@pytest.mark.usefixtures("free_networks")
def test_a_single_pixel(
    mode: str, way: Way, names: int, tmp_path: Path, models: list[Model], model_files: list[Path]
) -> None:
    make_pngs(tmp_path / "in", 1, 1, 1, mode)
    archive = packed(tmp_path / "in", models, way=way, names=names)
    assert list(snapshot(unpacked(archive, model_files)).values()) == list(snapshot(tmp_path / "in").values())


@pytest.mark.parametrize("names", [KEEP, DROP, FOLDERS])
def test_an_empty_directory(names: int, tmp_path: Path, models: list[Model]) -> None:
    (tmp_path / "in").mkdir()
    archive = packed(tmp_path / "in", models, names=names)
    out = unpacked(archive, [])
    assert list(out.iterdir()) == []
    assert archive.stat().st_size < 60


@pytest.mark.parametrize("names", [KEEP, DROP, FOLDERS])
def test_other_files_need_no_model(names: int, tmp_path: Path, models: list[Model]) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (root / "a").write_bytes(b"A" * 1000)
    (root / "b").touch()
    (root / "c" / "d").mkdir(parents=True)
    out = unpacked(packed(root, models, names=names), [])
    assert snapshot(out) == {b"a": b"A" * 1000, b"b": b""}
    assert folders(out) == (set() if names == DROP else {b"c", b"c/d"})


def test_nothing_grows_by_more_than_a_fixed_overhead(tmp_path: Path, models: list[Model]) -> None:
    random = np.random.default_rng(1)
    for case, count in enumerate((1, 2, 40)):
        root = tmp_path / str(case)
        make_pngs(root, count, 2, 2, "1")
        make_pngs(root, count, 1, 1, "RGB")
        for number in range(count):
            (root / f"{number}").write_bytes(random.bytes(number))
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        assert packed(root, models).stat().st_size < size + 400


@pytest.mark.usefixtures("free_networks")
def test_the_same_directory_gives_the_same_bytes(zoo: Path, tmp_path: Path, models: list[Model]) -> None:
    threads = torch.get_num_threads()
    archives = []
    try:
        for number, count in enumerate((1, 1, 2)):
            torch.set_num_threads(count)
            (tmp_path / str(number)).symlink_to(zoo)
            archives.append(packed(tmp_path / str(number), models, block=20).read_bytes())
    finally:
        torch.set_num_threads(threads)
    assert archives[0] == archives[1] == archives[2]


@pytest.mark.parametrize("names", [KEEP, DROP, FOLDERS])
def test_the_archive_does_not_contain_the_path_of_the_directory(names: int, tmp_path: Path, models: list[Model]) -> None:
    archives = []
    for parent in ("a secret place", "b"):
        root = tmp_path / parent / parent
        make_pngs(root, 3, 2, 2)
        (root / "stored").write_bytes(b"x")
        archives.append(packed(root, models, names=names).read_bytes())
    assert archives[0] == archives[1]
    assert b"secret" not in archives[0]


def test_an_existing_target_is_kept_unless_overwritten(tmp_path: Path, models: list[Model]) -> None:
    make_pngs(tmp_path / "in", 2, 2, 2)
    target = tmp_path / "in.acn"
    target.write_bytes(b"precious")
    with pytest.raises(OutputError):
        packed(tmp_path / "in", models)
    assert target.read_bytes() == b"precious"
    packed(tmp_path / "in", models, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "in.acn"]


def test_an_archive_in_its_own_directory_is_left_out(tmp_path: Path, models: list[Model]) -> None:
    root = tmp_path / "in"
    make_pngs(root, 2, 2, 2)
    target = root / "a.acn"
    sizes = [compress(root, target, models, Options(overwrite=True), no_progress).size for _ in range(2)]
    assert sizes[0] == sizes[1]
    with Archive(target) as opened:
        assert len(opened.entries) == 2


def test_missing_sources_are_input_errors(tmp_path: Path, models: list[Model]) -> None:
    with pytest.raises(InputError):
        packed(tmp_path / "none", models)
    with pytest.raises(InputError):
        Archive(tmp_path / "none.acn")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("free_networks")
def test_a_seed_too_short_is_made_longer(tmp_path: Path, models: list[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    make_pngs(tmp_path / "in", 4, 1, 1)
    expected = packed(tmp_path / "in", models).read_bytes()
    seeds = []

    class Short(Stacks):
        @classmethod
        def seeded(cls, count: int, words: int) -> Stacks:
            seeds.append(words)
            return Stacks.seeded(count, words if len(seeds) > 2 else 0)

    monkeypatch.setattr(block_module, "Stacks", Short)
    assert packed(tmp_path / "in", models, overwrite=True).read_bytes() == expected
    assert len(seeds) == 3


@pytest.mark.usefixtures("free_networks")
def test_the_ledger_is_near_theory(tmp_path: Path, models: list[Model]) -> None:
    make_pngs(tmp_path / "in", 100, 3, 3, "L")
    make_pngs(tmp_path / "in", 30, 4, 4, "RGB")
    with Parts(packed(tmp_path / "in", models)) as opened:
        told = describe(opened, [])
    lines = {line["part"]: line for line in told["ledger"]}
    assert told["images"] == 130
    assert told["dims"] == 100 * 9 + 30 * 48
    assert sum(line["bits"] for line in told["ledger"]) == told["file_bits"]
    assert lines["residual"]["bits"] == pytest.approx(lines["residual"]["theory_bits"], rel=0.01)
    # The theoretical prior is not truncated to the range of latents, and that of a tiny model extends beyond it.
    assert lines["latent"]["bits"] == pytest.approx(lines["latent"]["theory_bits"], rel=0.1)
    assert abs(lines["coder state"]["bits"]) <= 96


PIXELS = st.tuples(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 2, 3, 4]), st.integers(0, 3))
NAMES = st.lists(st.sampled_from(["a", "b", "é", ".c", "10", "9"]), min_size=1, max_size=3).map("/".join)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(NAMES, st.one_of(PIXELS, st.binary(max_size=40)), max_size=9),
    st.sampled_from([KEEP, DROP, FOLDERS]),
    st.sampled_from([None, *Way]),
    st.integers(1, 4),
    st.booleans(),
)
@pytest.mark.usefixtures("free_networks")
def test_random_directories(
    tmp_path_factory: pytest.TempPathFactory,
    models: list[Model],
    model_files: list[Path],
    files: dict[str, tuple[int, int, int, int] | bytes],
    names: int,
    way: Way | None,
    block: int,
    exact_files: bool,
) -> None:
    root = tmp_path_factory.mktemp("random") / "in"
    root.mkdir()
    for name, content in files.items():
        path = root / (name + ".x")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            height, width, channels, seed = content
            save_colours(path, random_pixels(seed, 1, height, width, 256, channels)[0], format="PNG")
    out = unpacked(packed(root, models, names=names, way=way, block=block, exact_files=exact_files), model_files)
    source, found = snapshot(root), snapshot(out)
    if names == KEEP:
        assert found == source
    else:
        assert sorted(map(repr, found.values())) == sorted(map(repr, source.values()))


@pytest.mark.usefixtures("free_networks")
def test_blocks_for_random_access_are_small_and_wide(
    tmp_path: Path, models: list[Model], model_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressing, "RANDOM_PICTURES", 10)
    monkeypatch.setattr(compressing, "RANDOM_SAMPLES", 1000)
    monkeypatch.setattr(compressing, "RANDOM_BITS", 0)
    root = tmp_path / "in"
    make_pngs(root, 25, 4, 5)
    for number, pixels in enumerate(random_pixels(0, 4, 20, 30, 256, 3)):  # 1,800 samples each
        save_colours(root / f"large {number}.png", pixels)
    archive = packed(root, models, random=True)
    with Archive(archive) as opened:
        assert opened.header.blocks == [10, 10, 6, 1, 1, 1]  # the sixth of the third block is large
        assert opened.block(0).lanes == [2]
    assert snapshot(unpacked(archive, model_files)) == snapshot(root)
    with Archive(packed(root, models, random=True, block=7, overwrite=True)) as opened:
        assert opened.header.blocks == [7, 7, 7, 7, 1]
    monkeypatch.setattr(compressing, "RANDOM_BITS", 1 << 40)
    with Archive(packed(root, models, random=True, overwrite=True)) as opened:
        assert opened.header.blocks == [29]
