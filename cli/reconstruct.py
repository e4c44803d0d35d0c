"""acncodec reconstruct"""

from pathlib import Path

import click

from .imagine import count_option, output_option, save, seed_option, temperature_option
from .options import FILE, choose_device, device_option, force_option, json_option


@click.command("reconstruct")
@click.argument("model", metavar="NAME|FILE")
@click.argument("directory", type=FILE)
@output_option
@count_option
@seed_option
@temperature_option
@force_option
@device_option
@json_option
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
    """Show what codes keep: images of DIRECTORY, and beside each what the model draws given its code alone."""
    import numpy as np

    from acncodec import bundled
    from acncodec.analysis.evaluation import images_for
    from acncodec.analysis.samples import Dice, reconstruct
    from acncodec.analysis.sheets import sheet

    chosen = bundled.find(model)
    chosen.networks.to(choose_device(device))
    images = images_for(chosen, directory)
    images = images[:: max(1, len(images) // count)][:count]
    drawn = reconstruct(chosen, images, Dice(seed, temperature))
    pairs = np.stack([images, drawn], 1).reshape(-1, *images.shape[1:])
    columns = 2 * max(1, round((len(images) / 2) ** 0.5))
    save([sheet(pairs, chosen.arch.levels, columns)], output, force, as_json)
