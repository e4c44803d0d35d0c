"""Shared fixtures: tiny exact models with fixed weights, made in milliseconds and the same on every machine."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acncodec.coding.selftest import TINY_ARCH, fixed_networks, pseudo_random
from acncodec.exact.grids import FREQUENCY_BITS, LATENT_MAX, WIDTHS
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import Model, UnconditionalPrior, dump_model, parse_model

CPU = torch.device("cpu")
CALM = {"decoder.logits": 6, "prior.logits": 6, "prior.means": 3}  # by how many bits to shrink the outputs


def no_progress(stage: str, total: int) -> Callable[[int], None]:
    """A `Progress` that shows nothing."""
    return lambda done: None


@cache
def tiny_model_bytes(levels: int, components: int = 3, calm: bool = False) -> bytes:
    """A model file of the self-test's networks.

    Their outputs are at the clamp half of the time, where frequencies are at their floor; `calm` has them in the middle,
    as a trained model has, and prior widths of 5.7 deviations.
    """
    networks = fixed_networks(Architecture(levels=levels, **TINY_ARCH))
    for name, product in networks.products():
        log2_scale = product.shift + product.out_bits - product.in_bits
        if calm and name in CALM:
            product.load_integers(product.weight, product.bias, log2_scale + CALM[name])
        if calm and name == "prior.widths":
            product.load_integers(0 * product.weight, 0 * product.bias + 20, log2_scale - product.shift)
    shape = (components, networks.arch.code)
    prior = UnconditionalPrior(
        torch.from_numpy(pseudo_random("weights", components, 1 << 16, 1 << FREQUENCY_BITS).astype(np.int32)),
        torch.from_numpy(pseudo_random("means", shape[0] * shape[1], -40, 40).astype(np.int16).reshape(shape)),
        torch.from_numpy(pseudo_random("widths", shape[0] * shape[1], 16, WIDTHS - 1).astype(np.uint8).reshape(shape)),
    )
    assert int(prior.means.abs().max()) <= LATENT_MAX
    return dump_model(f"tiny-{levels}", networks, prior, {"purpose": "tests"})


@cache
def tiny_model(levels: int, components: int = 3, calm: bool = False) -> Model:
    """The same, read back."""
    return parse_model(tiny_model_bytes(levels, components, calm))


def random_pixels(seed: int, count: int, height: int, width: int, levels: int) -> np.ndarray:
    """uint8 [count, height, width]."""
    return np.random.default_rng(seed).integers(0, levels, (count, height, width), dtype=np.uint8)


def save_image(path: Path, pixels: np.ndarray, mode: str) -> None:
    """Write pixels uint8 [H, W], 0/1 for mode '1', in the format that the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels * 255 if mode == "1" else pixels)
    image.convert(mode).save(path, "PNG" if path.suffix == ".png" else "PPM")


def make_pngs(root: Path, count: int, height: int, width: int, mode: str = "1", seed: int = 0) -> None:
    """Random images as root/<mode>-<height>x<width>/<number>.png."""
    for number, pixels in enumerate(random_pixels(seed, count, height, width, 2 if mode == "1" else 256)):
        save_image(root / f"{mode}-{height}x{width}" / f"{number}.png", pixels, mode)


def snapshot(root: Path) -> dict[bytes, object]:
    """Every file below `root`: mode, format, size and pixels of black-and-white and grey images, else the bytes."""
    found: dict[bytes, object] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            found[os.fsencode(path.relative_to(root))] = _content(path)
    return found


def _content(path: Path) -> object:
    try:
        with Image.open(path) as image:
            if image.mode in ("1", "L"):
                return image.mode, image.format, image.size, image.tobytes()
    except OSError:
        pass
    return path.read_bytes()


@pytest.fixture(scope="session")
def models() -> dict[int, Model]:
    """Levels -> tiny model, as `compress` takes them."""
    return {levels: tiny_model(levels) for levels in (2, 256)}


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same models' files, as `decompress` takes them."""
    folder = tmp_path_factory.mktemp("models")
    for levels in (2, 256):
        (folder / f"tiny-{levels}.safetensors").write_bytes(tiny_model_bytes(levels))
    return sorted(folder.iterdir())


@pytest.fixture(autouse=True)
def no_user_models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own models out of every test."""
    monkeypatch.setenv("ACNCODEC_MODELS", str(tmp_path_factory.getbasetemp() / "no-models"))
