"""acncodec decompress"""

import json
from pathlib import Path

import click

from .options import FILE, choose_device, device_option, force_option, json_option, models_option


@click.command("decompress")
@click.argument("archive", type=FILE)
@click.argument("directory", type=FILE)
@models_option
@force_option
@device_option
@json_option
def command(archive: Path, directory: Path, models: tuple[Path, ...], force: bool, device: str, as_json: bool) -> None:
    """Restore the directory of ARCHIVE as DIRECTORY.

    All is decoded and every pixel hash checked before the first file appears. With --force files are put into a directory
    that exists, over those of the same name.
    """
    from acncodec.codec.decompress import decompress

    from .progress import Bars

    with Bars() as bars:
        count = decompress(archive, directory, list(models), choose_device(device), overwrite=force, progress=bars)
    click.echo(f"acncodec: {count:,} files in '{directory}'", err=True)
    if as_json:
        click.echo(json.dumps({"files": count, "directory": str(directory)}))
