"""acncodec reconstruct"""

from pathlib import Path

import click

from .imagine import count_option, directory_argument, draws, images_of, save
from .options import find_model


@click.command("reconstruct")
@draws
@directory_argument
@count_option
def command(
    model: str,
    directory: Path,
    output: Path,
    count: int,
    seed: int,
    temperature: float,
    force: bool,
    device: str,
    as_json: bool,
) -> None:
    """Show what codes preserve: images of DIRECTORY, each beside one sampled from the model given its code alone."""
    import numpy as np

    from acncodec.analysis.samples import Dice, reconstruct
    from acncodec.analysis.sheets import sheet

    chosen = find_model(model, device)
    images = images_of(chosen, directory, count)
    drawn = reconstruct(chosen, images, Dice(seed, temperature))
    pairs = np.stack([images, drawn], 1).reshape(-1, *images.shape[1:])
    columns = 2 * max(1, round((len(images) / 2) ** 0.5))
    save([sheet(pairs, chosen.arch.levels, columns)], output, force, as_json)
