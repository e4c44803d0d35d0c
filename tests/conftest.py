"""Fixtures and helpers for all tests: tiny deterministic models, synthetic images, round trips of directories."""

import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

# As the command does, before torch is loaded: otherwise its threads spin, and on a busy machine compete with each other.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest
import torch
from commands import good
from PIL import Image

from acncodec.block.directory import Entry
from acncodec.coding.selftest import TINY_ARCH, fixed_networks, pseudo_random
from acncodec.errors import DamagedError
from acncodec.exact.grids import FREQUENCY_BITS, LATENT_MAX, SPREAD_BITS, WIDTHS
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import Model, UnconditionalPrior, dump_model, parse_model
from acncodec.packing import model_choice
from acncodec.packing.compress import Options, compress
from acncodec.reading.decompress import decompress
from acncodec.reading.ledger import ledger
from acncodec.reading.parts import Parts
from acncodec.reading.reader import Archive
from acncodec.scale import shards as sharding
from acncodec.scale.engines import Local
from acncodec.scale.pipeline import compress_parts

CPU = torch.device("cpu")
CUDA = torch.cuda.is_available()
if not CUDA:  # Triton's kernels are interpreted then; it asks when it is loaded
    os.environ.setdefault("TRITON_INTERPRET", "1")
PARTS = 3  # number of parts in archives of many parts
needs_cuda = pytest.mark.skipif(not CUDA, reason="no CUDA device")
Make = Callable[..., Path]  # a source, options: its archive of many parts
KINDS = [(2, 1), (256, 1), (256, 3)]  # levels and colours of the models' images: 1-bit, grey, RGB
CALM = {  # by how many bits to shrink the outputs
    "decoder.head.logits": 6,
    **{f"decoder.head.outputs.{colour}": 6 for colour in range(3)},
    "prior.logits": 6,
    "prior.means": 3,
}
CALM_SPREAD = 3 << SPREAD_BITS  # logistics of 8 levels


def no_progress(stage: str, total: int) -> Callable[[int], None]:
    """A `Progress` that shows nothing."""
    return lambda done: None


def architecture(levels: int, colours: int, logistics: int = 2, softmax: bool = True, **sizes: int) -> Architecture:
    """Architecture for such pixels: `logistics` per colour where there are several colours, or where one has no softmax."""
    return Architecture(levels=levels, colours=colours, logistics=0 if colours == 1 and softmax else logistics, **sizes)


@cache
def tiny_model_bytes(
    levels: int, components: int = 3, calm: bool = False, colours: int = 1, fine: bool = False, **sizes: int
) -> bytes:
    """A model file of the self-test's networks; `sizes` are further fields of their architecture.

    Their outputs are at the clamp half of the time, where frequencies are at their floor; `calm` has them in the middle,
    as a trained model has, with logistics of 8 levels and prior widths of 5.7 deviations. If `fine`, of format 2.
    """
    networks = fixed_networks(architecture(levels, colours, **TINY_ARCH, **sizes), fine)
    for name, product in networks.products():
        assert product.shift is not None
        log2_scale = product.shift + product.out_bits - product.in_bits
        if calm and name in CALM:
            bias = product.bias.clone()
            if networks.arch.logistics and name.startswith("decoder"):
                bias[-networks.arch.logistics :] += CALM_SPREAD << product.shift[-networks.arch.logistics :] + CALM[name]
            product.load_integers(product.weight, bias, log2_scale + CALM[name])
        if calm and name == "prior.widths":
            product.load_integers(0 * product.weight, 0 * product.bias + 20, log2_scale - product.shift)
    shape = (components, networks.arch.code)
    prior = UnconditionalPrior(
        torch.from_numpy(pseudo_random("weights", components, 1 << 16, 1 << FREQUENCY_BITS).astype(np.int32)),
        torch.from_numpy(pseudo_random("means", shape[0] * shape[1], -40, 40).astype(np.int16).reshape(shape)),
        torch.from_numpy(pseudo_random("widths", shape[0] * shape[1], 16, WIDTHS - 1).astype(np.uint8).reshape(shape)),
    )
    assert int(prior.means.abs().max()) <= LATENT_MAX
    name = f"tiny-{levels}" if colours == 1 else f"tiny-{levels}x{colours}"
    name += "-fine" if fine else ""
    return dump_model(name, networks, prior, {"purpose": "tests"})


@cache
def tiny_model(
    levels: int, components: int = 3, calm: bool = False, colours: int = 1, fine: bool = False, **sizes: int
) -> Model:
    """The same as a `Model`."""
    return parse_model(tiny_model_bytes(levels, components, calm, colours, fine, **sizes))


def files_of(archive: Archive, lost: Callable[[Entry, DamagedError], None] | None = None) -> dict[bytes, bytes]:
    """All files of an archive."""
    return {name: b"".join(pieces) for name, pieces in archive.files(archive.entries, lost=lost)}


def random_pixels(seed: int, count: int, height: int, width: int, levels: int, colours: int = 1) -> np.ndarray:
    """Noise, uint8 [count, height, width, colours]."""
    return np.random.default_rng(seed).integers(0, levels, (count, height, width, colours), dtype=np.uint8)


def smooth_pixels(seed: int, count: int, height: int, width: int, colours: int = 3) -> np.ndarray:
    """Gradients with some noise, as in photographs, uint8 [count, height, width, colours]."""
    random = np.random.default_rng(seed)
    start, down, right = (random.uniform(a, b, (count, 1, 1, colours)) for a, b in ((60, 190), (-9, 9), (-9, 9)))
    slope = start + down * np.arange(height)[:, None, None] + right * np.arange(width)[:, None]
    return np.clip(slope + random.normal(0, 5, slope.shape), 0, 255).astype(np.uint8)


def ramps(seed: int, count: int, side: int) -> np.ndarray:
    """Gradients with little noise, which WebP predicts and general compressors do not, uint8 [count, side, side, 1]."""
    slope = 3 * np.arange(side)[:, None, None] + np.arange(side)[:, None]
    return (slope % 250 + random_pixels(seed, count, side, side, 4)).astype(np.uint8)


def drawings(seed: int, count: int, height: int, width: int, colours: int, inks: int = 4) -> np.ndarray:
    """Images of few colours with parts that return, uint8 [count, height, width, colours]."""
    random = np.random.default_rng(seed)
    palette = random.integers(0, 256, (inks, colours), np.uint8)
    found = palette[random.integers(0, inks, (count, height, width))]
    found[:, height // 2 :] = found[:1, : height - height // 2]
    found[1::2, :, : width // 2] = found[::2, :, : width // 2][: count // 2]
    return found


def save_image(path: Path, pixels: np.ndarray, mode: str) -> None:
    """Write pixels uint8 [H, W] or [H, W, colours], 0/1 for mode '1', in the format that the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = pixels if mode == "RGB" else pixels.reshape(pixels.shape[:2])
    image = Image.fromarray(flat * 255 if mode == "1" else flat)
    image.convert(mode).save(path, "PNG" if path.suffix == ".png" else "PPM")


def make_pngs(root: Path, count: int, height: int, width: int, mode: str = "1", seed: int = 0) -> None:
    """Random images as root/<mode>-<height>x<width>/<number>.png; `mode` is '1', 'L' or 'RGB'."""
    levels, colours = 2 if mode == "1" else 256, 3 if mode == "RGB" else 1
    for number, pixels in enumerate(random_pixels(seed, count, height, width, levels, colours)):
        save_image(root / f"{mode}-{height}x{width}" / f"{number}.png", pixels, mode)


def save_colours(path: Path, pixels: np.ndarray, **options: Any) -> None:
    """Write pixels uint8 [H, W, 1..4] as PNG, or as what the suffix says: grey, grey and alpha, RGB or RGBA."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path, **options)


def snapshot(root: Path) -> dict[bytes, object]:
    """Every file below `root`: all that Pillow sees of a PNG, the bytes of anything else, as of a PNG that is damaged."""
    found: dict[bytes, object] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found[os.fsencode(path.relative_to(root))] = _content(path)
    return found


def _content(path: Path) -> object:
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                pixels = image.tobytes()
                palette = image.palette and (image.palette.mode, bytes(image.palette.palette))
                return image.mode, image.format, image.size, pixels, palette, repr(sorted(image.info.items()))
    except (OSError, SyntaxError):
        pass
    return path.read_bytes()


def folders(root: Path) -> set[bytes]:
    """Every directory below `root`."""
    return {os.fsencode(path.relative_to(root)) for path in root.rglob("*") if path.is_dir() and not path.is_symlink()}


def check_ledger(path: Path) -> None:
    """Every bit of an archive is in its ledger, once."""
    with Parts(path) as parts, parts.open(0) as archive:
        assert sum(line.bits for line in ledger(archive)) == 8 * path.stat().st_size


def packed(root: Path, models: list[Model], **options: Any) -> Path:
    """The archive of a directory, beside it, its ledger checked."""
    target = root.with_name(root.name + ".acn")
    done = compress(root, target, models, Options(**options), no_progress)
    assert done.size == target.stat().st_size
    check_ledger(target)
    return target


def unpacked(archive: Path, model_files: list[Path], **options: Any) -> Path:
    """The directory restored from an archive, beside it."""
    target = archive.with_suffix(".out")
    with Parts(archive, model_files) as opened:
        outcome = decompress(opened, target, progress=no_progress, **options)
    assert outcome.files == len(snapshot(target))
    return target


@pytest.fixture(scope="session")
def models() -> list[Model]:
    """A tiny calm model of each kind, as `compress` takes them."""
    return [tiny_model(levels, calm=True, colours=colours) for levels, colours in KINDS]


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same models' files, as `Archive` takes them."""
    folder = tmp_path_factory.mktemp("models")
    for levels, colours in KINDS:
        (folder / f"{levels}x{colours}.safetensors").write_bytes(tiny_model_bytes(levels, calm=True, colours=colours))
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def model_options(model_files: list[Path]) -> list[str]:
    """The same models' files, as commands take them."""
    return [part for path in model_files for part in ("--model", str(path))]


def costs_nothing(model: Model, samples: np.ndarray, tile: int, most: int = 0, others: object = None) -> np.ndarray:
    """In the place of `model_choice.plane_bits`."""
    return np.zeros(len(samples))


@pytest.fixture
def free_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Price network coding at zero, so that every modelled image is coded: tiny models would lose to WebP."""
    monkeypatch.setattr(model_choice, "plane_bits", costs_nothing)
    monkeypatch.setattr("acncodec.packing.method_choice.FILES_HOPE", 0.0)


@pytest.fixture(autouse=True)
def no_user_models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own models out of every test."""
    monkeypatch.setenv("ACNCODEC_MODELS", str(tmp_path_factory.getbasetemp() / "no-models"))


@pytest.fixture
def mixed_source(tmp_path: Path) -> Path:
    """Small images of three kinds in folders, a duplicate, two texts, an empty directory and a link."""
    root = tmp_path / "in"
    make_pngs(root, 9, 4, 5)
    make_pngs(root, 7, 3, 6, "L")
    save_image(root / "colour" / "a.png", random_pixels(1, 1, 4, 4, 256, 3)[0], "RGB")
    (root / "again.png").write_bytes(next(root.rglob("1-4x5/3.png")).read_bytes())
    (root / "note.txt").write_text("words")
    (root / "L-3x6" / "note.txt").write_text("other words")
    (root / "empty" / "deeper").mkdir(parents=True)
    (root / "link").symlink_to("note.txt")
    return root


@pytest.fixture(scope="session")
def cli_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six 1-bit and five grey images, a copy of one, a text file and an empty directory."""
    root = tmp_path_factory.mktemp("source")
    make_pngs(root, 6, 5, 4, "1")
    make_pngs(root, 5, 3, 6, "L")
    shutil.copy(root / "1-5x4" / "5.png", root / "1-5x4" / "5 again.png")
    (root / "note.txt").write_text("not an image\n" * 20)
    (root / "empty").mkdir()
    return root


@pytest.fixture(scope="session")
def cli_archive(cli_source: Path, model_options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `cli_source`, in blocks of four images; the network codes every image."""
    path = tmp_path_factory.mktemp("archive") / "a.acn"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_choice, "plane_bits", costs_nothing)
        good("compress", cli_source, path, "--block-size", 4, *model_options)
    return path


@pytest.fixture
def make_parts(tmp_path: Path, model_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Compress a source into parts, in shards of five files."""
    monkeypatch.setattr(sharding, "SHARD_FILES", 5)

    def made(source: object, name: str = "out", parts: int = PARTS, resume: bool = False, **options: Any) -> Path:
        target = tmp_path / name
        compress_parts(
            str(source),
            target,
            parts=parts,
            models=tuple(map(str, model_files)),
            auto=False,
            options=Options(**options),
            engine=Local(),
            progress=no_progress,
            resume=resume,
        )
        return target

    return made


def restored_parts(archive: Path, models: list[Path], **options: Any) -> Path:
    target = archive.with_name(archive.name + " restored")
    with Parts(archive, models) as parts:
        decompress(parts, target, progress=no_progress, **options)
    return target
