"""acncodec test"""

import json
from pathlib import Path

import click

from .options import FILE, choose_device, device_option, json_option, models_option


@click.command("test")
@click.argument("archive", type=FILE)
@models_option
@device_option
@json_option
def command(archive: Path, models: tuple[Path, ...], device: str, as_json: bool) -> None:
    """Decode ARCHIVE and check every hash, writing nothing."""
    from acncodec.codec.decompress import files, open_archive

    from .progress import Bars

    with Bars() as bars:
        count = sum(1 for _ in files(open_archive(archive), list(models), choose_device(device), bars))
    click.echo(f"acncodec: '{archive}' is whole: {count:,} files decode to what was compressed", err=True)
    if as_json:
        click.echo(json.dumps({"files": count, "ok": True}))
