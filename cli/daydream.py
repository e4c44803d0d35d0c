"""acncodec daydream"""

from itertools import islice
from pathlib import Path

import click

from .imagine import MOVING, directory_argument, draws, images_of, save
from .options import find_model


@click.command("daydream")
@draws
@directory_argument
@click.option(
    "--count", type=click.IntRange(1, 1024), default=16, show_default=True, help="Number of images to start from."
)
@click.option(
    "--steps", type=click.IntRange(1, 1000), default=15, show_default=True, help="Number of images sampled after each."
)
def command(
    model: str,
    directory: Path,
    output: Path,
    count: int,
    steps: int,
    seed: int,
    temperature: float,
    force: bool,
    device: str,
    as_json: bool,
) -> None:
    """Sample chains of images that start from those of DIRECTORY: each is drawn given the code of the one before.

    A .png is a sheet with a row for every image; a .gif, .webp or .apng is an animation.
    """
    import numpy as np

    from acncodec.analysis.samples import Dice, daydream
    from acncodec.analysis.sheets import sheet

    chosen = find_model(model, device)
    images = images_of(chosen, directory, count)
    dream = [images, *islice(daydream(chosen, images, Dice(seed, temperature)), steps)]
    if output.suffix.lower() in MOVING:
        save([sheet(frame, chosen.arch.levels) for frame in dream], output, force, as_json)
    else:
        rows = np.stack(dream, 1).reshape(-1, *images.shape[1:])
        save([sheet(rows, chosen.arch.levels, columns=len(dream))], output, force, as_json)
