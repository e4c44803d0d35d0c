"""The photographs that `photo-rgb` and `photo-grey` are trained on, as PNG files.

    python -m benchmarks.photo_set DIRECTORY [--cifar 15000] [--grey]
    acncodec train DIRECTORY -o runs/photo-rgb.safetensors --from photo-rgb --minutes 240

Training images of CIFAR-10, every second one mirrored; of the stand-in for ImageNet 32x32, as they are and mirrored; pieces
of photographs, 32x32, whole at two offsets, reduced twofold by a box filter and threefold by Lanczos, as they are and
mirrored. Nothing of a test split, nothing of the photographs that are held back for measuring. Needs `cifar10/`,
`imagenet32/` and `photos/` in the folder that ACNCODEC_DATA names.
"""

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from PIL import Image

from benchmarks.data import write_pngs
from benchmarks.directory_sets import cifar10, data_folder, sheets
from benchmarks.photographs import HELD_BACK

SIDE = 32


def pieces(photograph: Image.Image) -> np.ndarray:
    """Pieces uint8 [N, 32, 32, 3] of a photograph at several scales."""
    width, height = photograph.size
    views = [
        photograph,
        photograph.crop((SIDE // 2, SIDE // 2, width, height)),
        photograph.resize((width // 2, height // 2), Image.Resampling.BOX),
        photograph.resize((width // 3, height // 3), Image.Resampling.LANCZOS),
    ]
    return np.concatenate([_cut(np.asarray(view)) for view in views])


def _cut(view: np.ndarray) -> np.ndarray:
    """All whole squares of SIDE pixels, without the remainder at the edges."""
    rows, columns = view.shape[0] // SIDE, view.shape[1] // SIDE
    grid = view[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3)
    return grid.swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)


def images(cifar: int) -> Iterator[tuple[str, np.ndarray]]:
    """All images uint8 [N, 32, 32, 3], in sets with a name each."""
    count = int(np.load(data_folder() / "imagenet32" / "train_count.npy"))
    small = cifar10("train")[0][:cifar].copy()
    small[1::2] = small[1::2, :, ::-1]
    yield "cifar10", small
    photographs = sheets("imagenet32", "train")[:count]
    yield "imagenet32", photographs
    yield "imagenet32-mirrored", photographs[:, :, ::-1]
    for path in sorted((data_folder() / "photos").iterdir()):
        if path.stem not in HELD_BACK:
            with Image.open(path) as photograph:
                found = pieces(photograph.convert("RGB"))
            yield f"photos/{path.stem}", found
            yield f"photos-mirrored/{path.stem}", found[:, :, ::-1]


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--cifar", default=50_000, show_default=True, help="Images of CIFAR-10, the first ones of its random order.")
@click.option("--grey", is_flag=True, help="As grey levels: the luma of ITU-R BT.601.")
def main(directory: Path, cifar: int, grey: bool) -> None:
    """Write the images into a directory that does not exist yet."""
    directory.mkdir(parents=True)
    for name, found in images(cifar):
        if grey:
            found = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in found])
        write_pngs(found, None, directory / name, bilevel=False)


if __name__ == "__main__":
    main()
