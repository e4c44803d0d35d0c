"""acncodec sample"""

import re
from pathlib import Path

import click

from .imagine import count_option, output_option, save, seed_option, temperature_option
from .options import choose_device, device_option, force_option, json_option


@click.command("sample")
@click.argument("model", metavar="NAME|FILE")
@output_option
@count_option
@click.option("--size", metavar="WIDTHxHEIGHT", default="28x28", show_default=True, help="Of each image, in pixels.")
@seed_option
@temperature_option
@force_option
@device_option
@json_option
def command(
    model: str, output: Path, count: int, size: str, seed: int, temperature: float, force: bool, device: str, as_json: bool
) -> None:
    """Draw images from a model and write them as one sheet."""
    from acncodec import bundled
    from acncodec.analysis.samples import Dice, sample
    from acncodec.analysis.sheets import sheet

    found = re.fullmatch(r"(\d{1,3})x(\d{1,3})", size)
    if not found or "0" in (found[1].lstrip("0") or "0", found[2].lstrip("0") or "0"):
        raise click.UsageError("--size is a width and a height in pixels, up to 999, such as 28x28")
    chosen = bundled.find(model)
    chosen.networks.to(choose_device(device))
    images = sample(chosen, count, int(found[2]), int(found[1]), Dice(seed, temperature))
    save([sheet(images, chosen.arch.levels)], output, force, as_json)
