"""The directories of benchmarks/directories.py."""

import os
import shutil
import tarfile
from pathlib import Path

import click
import numpy as np
from PIL import Image

from benchmarks.data import DATA_VARIABLE, write_pngs

OMNIGLOT, UNSEEN = "omniglot_unseen", ("Sanskrit", "Tagalog")  # alphabets that no bundled model has seen
SETS = ("dcss_tiles", OMNIGLOT, "cifar10", "mixed")
MIXED_SHARE = 300  # files of each other set in `mixed`
LARGE = (3000, 4000)  # height and width


def data_folder() -> Path:
    """The folder that the user has named. Raises ClickException."""
    if not os.environ.get(DATA_VARIABLE):
        raise click.ClickException(f"set {DATA_VARIABLE} to the folder that holds dirs/ and cifar10/.")
    return Path(os.environ[DATA_VARIABLE])


def spread(count: int, limit: int | None) -> list[int]:
    """Indices of `limit` of `count` things, spread evenly; of all where there is no limit."""
    return np.linspace(0, count - 1, min(count, limit or count)).round().astype(int).tolist()


def unpack(name: str, target: Path, limit: int | None) -> None:
    """Unpack a set that is a tar.xz file, or the unseen alphabets of `omniglot_small`."""
    omniglot = name == OMNIGLOT
    with tarfile.open(data_folder() / "dirs" / f"{'omniglot_small' if omniglot else name}.tar.xz") as tar:
        found = (m for m in tar.getmembers() if m.isfile() and (not omniglot or m.name.split("/")[1] in UNSEEN))
        members = sorted(found, key=lambda m: m.name)
        chosen = members if limit is None else [members[i] for i in spread(len(members), limit)]
        # In the order of the archive: to go back in it is to decompress it from its beginning again.
        tar.extractall(target, sorted(chosen, key=lambda m: m.offset), filter="data")


def cifar10(part: str = "test") -> tuple[np.ndarray, np.ndarray]:
    """The test set, uint8 [10000, 32, 32, 3], or `train`, and its labels."""
    labels = np.load(data_folder() / "cifar10" / f"{part}_labels.npy")
    return sheets("cifar10", part)[: len(labels)], labels


def sheets(name: str, part: str) -> np.ndarray:
    """All images of sheets with 16 of 32x32 a row: uint8 [N, 32, 32, 3], empty ones at the end included."""
    folder = data_folder() / name
    found = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob(f"{part}_*.webp"))]
    cells = [s.reshape(-1, 32, 16, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3) for s in found]
    return np.concatenate(cells)


def make_cifar10(target: Path, limit: int | None) -> None:
    images, labels = cifar10()
    chosen = spread(len(images), limit)
    write_pngs(images[chosen], labels[chosen], target, bilevel=False)


def make_mixed(target: Path, limit: int | None) -> None:
    """Some of each set, and: texts, JPEGs, a large image, damaged ones, one of 1x1, duplicates, an empty directory."""
    share = min(MIXED_SHARE, limit or MIXED_SHARE)
    for name in ("dcss_tiles", OMNIGLOT):
        unpack(name, target, share)
    make_cifar10(target / "cifar10", share)
    images = cifar10()[0]
    random = np.random.default_rng(0)
    for name in ("jpeg", "large", "damaged", "copies", "empty"):
        (target / name).mkdir()
    for number in range(20):
        mosaic(images[random.integers(0, len(images), 64)], 8).save(target / "jpeg" / f"{number:02d}.jpg", quality=85)
    Image.new("RGBA", (1, 1), (1, 2, 3, 4)).save(target / "one-pixel.png")
    originals = sorted(target.rglob("*.png"))
    for number, index in enumerate(spread(len(originals), 20)):
        shutil.copy(originals[index], target / "copies" / f"{number:02d}.png")
        data = originals[index].read_bytes()
        (target / "damaged" / f"cut-{number:02d}.png").write_bytes(data[: len(data) // 2])
        (target / "damaged" / f"flipped-{number:02d}.png").write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    # After those, which it would outweigh if it were among them.
    large(images, random, tuple(side // 10 for side in LARGE) if limit else LARGE).save(target / "large" / "mosaic.png")
    (target / "damaged" / "no-bytes.png").touch()
    (target / "damaged" / "text.png").write_text("This is no image.\n")
    listing = [f"{path.relative_to(target)}\t{path.stat().st_size}\n" for path in originals]
    (target / "index.tsv").write_text("".join(listing))
    (target / "notes.txt").write_text("Some files of every kind, to be compressed together.\n" * 20)


def mosaic(images: np.ndarray, columns: int) -> Image.Image:
    """Images uint8 [N, 32, 32, 3] side by side, N a multiple of `columns`."""
    rows = images.reshape(-1, columns, 32, 32, 3).swapaxes(1, 2)
    return Image.fromarray(np.ascontiguousarray(rows).reshape(-1, 32 * columns, 3))


def large(images: np.ndarray, random: np.random.Generator, size: tuple[int, ...]) -> Image.Image:
    """An image [height, width] = `size`, as smooth and noisy as a photograph but none: small images blown up eightfold."""
    height, width = size
    columns = -(-width // 256)
    small = mosaic(images[random.integers(0, len(images), columns * -(-height // 256))], columns)
    smooth = np.asarray(small.resize((small.width * 8, small.height * 8), Image.Resampling.BICUBIC))[:height, :width]
    return Image.fromarray(np.clip(smooth + random.normal(0, 2, smooth.shape), 0, 255).round().astype(np.uint8))


def make(name: str, target: Path, limit: int | None) -> None:
    """Make one of SETS in a new directory, or about `limit` files of it."""
    target.mkdir()
    if name in ("cifar10", "mixed"):
        (make_cifar10 if name == "cifar10" else make_mixed)(target, limit)
    else:
        unpack(name, target, limit)
