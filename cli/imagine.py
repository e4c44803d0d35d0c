"""Shared by acncodec sample, reconstruct and daydream: options, and writing of pictures."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import say
from .options import FILE, device_option, force_option, json_option, work_options

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from acncodec.nets.model import Model

FRAME_MILLISECONDS = 250
MOVING = (".gif", ".webp", ".apng")

count_option = click.option(
    "--count", type=click.IntRange(1, 4096), default=64, show_default=True, help="Number of images."
)
_OPTIONS = (
    click.argument("model", metavar="NAME|FILE"),
    click.option("-o", "--output", type=FILE, required=True, help="File to write the picture to."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the random generator."),
    click.option(
        "--temperature",
        type=click.FloatRange(0, 2),
        default=1.0,
        show_default=True,
        help="Below 1 likely values are drawn more often; at 0 the likeliest always.",
    ),
    force_option,
    device_option,
    json_option,
    work_options,
)
directory_argument = click.argument("directory", type=FILE)


def draws(command: Callable[..., None]) -> Callable[..., None]:
    """A command that draws from a model and writes a picture: its first argument and what all such commands take."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def images_of(model: "Model", directory: Path, count: int) -> "np.ndarray":
    """So many of the images that a model is for, spread evenly: uint8 [N, H, W, colours]. Raises InputError."""
    from acncodec.analysis.evaluation import images_for

    images = images_for(model, directory)
    return images[:: max(1, len(images) // count)][:count]


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
        say(f"'{output}', {width}x{height} pixels")
