"""What acncodec sample, reconstruct and daydream share: options, and how a sheet is written."""

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import FILE

if TYPE_CHECKING:
    from PIL import Image

FRAME_MILLISECONDS = 250
MOVING = (".gif", ".webp", ".apng")

output_option = click.option("-o", "--output", type=FILE, required=True, help="Picture to write.")
count_option = click.option("--count", type=click.IntRange(1, 4096), default=64, show_default=True, help="Images.")
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another, other images."
)
temperature_option = click.option(
    "--temperature",
    type=click.FloatRange(0, 2),
    default=1.0,
    show_default=True,
    help="Below 1 what is likely comes more often than it should, at 0 always the likeliest.",
)


def save(frames: "list[Image.Image]", output: Path, overwrite: bool, as_json: bool) -> None:
    """Write a picture, moving if there are several frames, whole or not at all. Raises InputError, OutputError."""
    from acncodec.archive.atomic import write_atomically
    from acncodec.errors import InputError

    suffix = output.suffix.lower()
    if suffix not in (".png", *MOVING):
        raise InputError(f"the picture's file name must end in .png, .gif, .webp or .apng, '{output}' does not")
    form = {".png": "PNG", ".apng": "PNG", ".gif": "GIF", ".webp": "WEBP"}[suffix]
    out, (first, *rest) = BytesIO(), frames
    if rest:
        first.save(out, form, save_all=True, append_images=rest, duration=FRAME_MILLISECONDS, loop=0)
    else:
        first.save(out, form)
    write_atomically(output, [out.getvalue()], overwrite)
    width, height = first.size
    if as_json:
        click.echo(json.dumps({"picture": str(output), "width": width, "height": height, "frames": len(frames)}))
    else:
        click.echo(f"acncodec: '{output}', {width}x{height} pixels", err=True)
