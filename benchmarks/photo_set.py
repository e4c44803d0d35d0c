"""The photographs that `photo-rgb` is trained on, as PNG files.

    python -m benchmarks.photo_set DIRECTORY [--cifar 15000]
    acncodec train DIRECTORY -o runs/photo-rgb.safetensors --from photo-rgb --minutes 240

Training images of CIFAR-10 and of the stand-in for ImageNet 32x32, the latter mirrored too, since they are fewer; nothing
of a test split. The last phase of training takes fewer of CIFAR-10's, which are learnt sooner. Needs `cifar10/` and
`imagenet32/` in the folder that ACNCODEC_DATA names.
"""

from pathlib import Path

import click
import numpy as np

from benchmarks.data import write_pngs
from benchmarks.directory_sets import cifar10, data_folder, sheets


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--cifar", default=50_000, show_default=True, help="Images of CIFAR-10, the first ones of its random order.")
def main(directory: Path, cifar: int) -> None:
    """Write the images into a directory that does not exist yet."""
    directory.mkdir(parents=True)
    count = int(np.load(data_folder() / "imagenet32" / "train_count.npy"))
    write_pngs(cifar10("train")[0][:cifar], None, directory / "cifar10", bilevel=False)
    photographs = sheets("imagenet32", "train")[:count]
    write_pngs(photographs, None, directory / "imagenet32", bilevel=False)
    write_pngs(photographs[:, :, ::-1], None, directory / "imagenet32-mirrored", bilevel=False)


if __name__ == "__main__":
    main()
