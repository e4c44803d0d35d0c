"""Pixels of an archive's images as tensors: the same as through Pillow, however the archive keeps the image."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import packed
from PIL import Image

import acncodec
from acncodec.archive.classes import METHOD_CODED, METHOD_FILE, METHOD_RAW, METHOD_WEBP
from acncodec.errors import InputError
from acncodec.nets.model import Model
from acncodec.reading.parts import PartImages, Parts

# Modes that Pillow converts images to before they become tensors, by the mode in which it opens them.
CONVERTED = {"1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB"}


def wanted(image: Image.Image) -> np.ndarray:
    mode = CONVERTED.get(image.mode) or ("RGBA" if "transparency" in image.info else "RGB")
    array = np.asarray(image.convert(mode))
    return array.reshape(*array.shape[:2], -1).transpose(2, 0, 1)


def save_shallow(path: Path, indices: np.ndarray, bits: int) -> None:
    """A grey PNG of 2 or 4 bits, which Pillow does not write: one with a palette, its colour type changed."""
    image = Image.fromarray(indices, "P")
    image.putpalette(bytes(3 * 2**bits))
    image.save(path, bits=bits)
    data = path.read_bytes()
    chunks, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    whole = data[:8]
    for kind, body in chunks:
        if kind == b"PLTE":
            continue
        body = body[:9] + b"\0" + body[10:] if kind == b"IHDR" else body
        whole += len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
    path.write_bytes(whole)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Images of every layout and depth that has 8 bits at most, in each container; a text file."""
    root, random = tmp_path / "in", np.random.default_rng(0)
    root.mkdir()
    for number in range(2):
        grey = random.integers(0, 256, (6, 5), np.uint8)
        colour = random.integers(0, 256, (6, 5, 4), np.uint8)
        Image.fromarray(grey > 99).save(root / f"{number}-bilevel.png")
        Image.fromarray(grey > 99).save(root / f"{number}-bilevel.pbm")
        Image.fromarray(grey).save(root / f"{number}-grey.png")
        Image.fromarray(grey).save(root / f"{number}-grey.tif")
        save_shallow(root / f"{number}-grey2.png", grey >> 6, 2)
        save_shallow(root / f"{number}-grey4.png", grey >> 4, 4)
        Image.fromarray(colour[..., :2].copy(), "LA").save(root / f"{number}-alpha.png")
        Image.fromarray(colour[..., :3].copy()).save(root / f"{number}-colour.png")
        Image.fromarray(colour[..., :3].copy()).save(root / f"{number}-colour.bmp")
        Image.fromarray(colour).save(root / f"{number}-colour-alpha.png")
        palette = Image.fromarray(grey >> 4, "P")
        palette.putpalette(bytes(random.integers(0, 256, 48, np.uint8)))
        palette.save(root / f"{number}-palette.png")
        palette.save(root / f"{number}-palette-alpha.png", transparency=bytes(range(0, 160, 10)))
        palette.save(root / f"{number}-palette.gif")
        Image.fromarray(colour[..., :3].copy()).save(root / f"{number}-colour.jpg")
        Image.fromarray(colour, "CMYK").save(root / f"{number}-print.jpg")
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)  # smooth, and best as WebP without networks
    noise = random.integers(0, 3, (64, 64), np.uint8)
    Image.fromarray(np.stack([ramp, ramp // 2, ramp + noise], -1)).save(root / "z.png")
    (root / "words.txt").write_text("no image")
    return root


def methods(archive: Path, model_files: list[Path]) -> set[int]:
    with Parts(archive, model_files) as parts, parts.open(0) as opened:
        return {opened.class_of(entry.content).method for entry in PartImages(opened).entries}


def check(source: Path, archive: Path, model_files: list[Path]) -> None:
    with acncodec.open(archive, model_files) as images:
        assert len(images) == 31
        for index, name in enumerate(images.names):
            found = images.tensor(index)
            with Image.open(source / name) as image:
                expected = wanted(image)
            assert found.dtype == torch.uint8
            assert np.array_equal(found.numpy(), expected), name
        blocks = [item for block in range(len(images.blocks)) for item in images.block(block, tensors=True)]
        assert sorted(name for name, _ in blocks) == images.names
        assert all(torch.equal(pixels, images.tensor(images.names.index(name))) for name, pixels in blocks)


def test_coded_pixels_equal_pillows(
    source: Path, models: list[Model], model_files: list[Path], free_networks: None
) -> None:
    archive = packed(source, models)
    assert METHOD_CODED in methods(archive, model_files)
    check(source, archive, model_files)


def test_stored_pixels_equal_pillows(source: Path, model_files: list[Path]) -> None:
    archive = packed(source, [])
    assert methods(archive, model_files) == {METHOD_FILE, METHOD_RAW, METHOD_WEBP}
    check(source, archive, model_files)


def test_sixteen_bits_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 999).save(tmp_path / "in" / "deep.png")
    with acncodec.open(packed(tmp_path / "in", [])) as images, pytest.raises(InputError, match="8 bits a sample"):
        images.tensor(0)


def test_a_tensor_is_a_copy(source: Path, models: list[Model], model_files: list[Path], free_networks: None) -> None:
    with acncodec.open(packed(source, models), model_files) as images:
        for index in range(len(images)):
            known = images.tensor(index)
            images.tensor(index).zero_()
            assert torch.equal(images.tensor(index), known)


@pytest.fixture
def dataset(tmp_path: Path, models: list[Model], model_files: list[Path], free_networks: None) -> acncodec.AcnDataset:
    """Ten grey images in blocks of four, whose targets are their names' numbers."""
    root, random = tmp_path / "grey", np.random.default_rng(1)
    root.mkdir()
    for number in range(10):
        Image.fromarray(random.integers(0, 256, (4, 3), np.uint8)).save(root / f"{number}.png")
    return acncodec.AcnDataset(packed(root, models, block=4), None, model_files, lambda path: int(path[0]), tensors=True)


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_have_every_image_once(dataset: acncodec.AcnDataset, shuffle: bool) -> None:
    batches = list(dataset.stream(shuffle, buffer=2).batches(4))
    assert [tuple(images.shape) for images, _ in batches] == [(4, 1, 4, 3), (4, 1, 4, 3), (2, 1, 4, 3)]
    images, targets = (torch.cat(each) for each in zip(*batches, strict=True))
    assert sorted(targets.tolist()) == list(range(10))
    assert (targets.tolist() == list(range(10))) == (not shuffle)
    for pixels, target in zip(images, targets.tolist(), strict=True):
        assert torch.equal(pixels, dataset[target][0])


def test_batches_resume(dataset: acncodec.AcnDataset) -> None:
    whole = [targets.tolist() for _, targets in dataset.stream(True).batches(3)]
    stream = dataset.stream(True)
    begun = stream.batches(3)
    first = next(begun)[1].tolist()
    resumed = dataset.stream(True)
    resumed.load_state_dict(stream.state_dict())
    assert [first, *(targets.tolist() for _, targets in resumed.batches(3))] == whole


def test_batches_are_of_one_size(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for side in (3, 4):
        Image.fromarray(np.zeros((side, 4), np.uint8)).save(tmp_path / "in" / f"{side}.png")
    stream = acncodec.AcnDataset(packed(tmp_path / "in", []), tensors=True).stream()
    with pytest.raises(InputError, match="different sizes"):
        next(stream.batches(2))
