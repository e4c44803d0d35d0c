"""acncodec sample"""

import re
from pathlib import Path

import click

from .imagine import count_option, draws, save
from .options import find_model


@click.command("sample")
@draws
@count_option
@click.option("--size", metavar="WIDTHxHEIGHT", default="28x28", show_default=True, help="Size of each image, in pixels.")
def command(
    model: str, output: Path, count: int, size: str, seed: int, temperature: float, force: bool, device: str, as_json: bool
) -> None:
    """Draw images from a model and write them as one sheet."""
    from acncodec.analysis.samples import Dice, sample
    from acncodec.analysis.sheets import sheet

    found = re.fullmatch(r"(\d{1,3})x(\d{1,3})", size)
    if not found or not (int(found[1]) and int(found[2])):
        raise click.UsageError("--size is a width and a height in pixels, up to 999, such as 28x28")
    chosen = find_model(model, device)
    images = sample(chosen, count, int(found[2]), int(found[1]), Dice(seed, temperature))
    save([sheet(images, chosen.arch.levels)], output, force, as_json)
