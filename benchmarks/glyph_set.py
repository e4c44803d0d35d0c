"""The drawings that `glyphs` is trained on, as PNG files.

    python -m benchmarks.glyph_set DIRECTORY
    acncodec train DIRECTORY -o runs/glyphs.safetensors --from mnist-1bit --minutes 55

Six of the eight alphabets of Omniglot in `dirs/omniglot_small.tar.xz`, in the folder that ACNCODEC_DATA names; the other
two are held out for measuring.
"""

import shutil
from pathlib import Path

import click

from benchmarks.directory_sets import UNSEEN, unpack


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
def main(directory: Path) -> None:
    """Write the drawings into a directory that does not exist yet."""
    directory.mkdir(parents=True)
    unpack("omniglot_small", directory, None)
    for alphabet in UNSEEN:
        shutil.rmtree(directory / "omniglot_small" / alphabet)


if __name__ == "__main__":
    main()
