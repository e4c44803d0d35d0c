"""acncodec test"""

import json
from pathlib import Path

import click

from .options import FILE, choose_device, device_option, json_option, keep_going_option, models_option
from .report import outcome_code


@click.command("test")
@click.argument("archive", type=FILE)
@keep_going_option
@models_option
@device_option
@json_option
def command(archive: Path, keep_going: bool, models: tuple[Path, ...], device: str, as_json: bool) -> int:
    """Decode ARCHIVE and check every hash, writing nothing."""
    from acncodec.codec.decompress import check
    from acncodec.codec.reader import Archive

    from .progress import Bars

    with Archive(archive, models, choose_device(device), tolerant=keep_going) as opened, Bars() as bars:
        outcome = check(opened, keep_going=keep_going, progress=bars)
    if not outcome.lost:
        click.echo(f"acncodec: '{archive}' is whole: {outcome.files:,} files decode to what was compressed", err=True)
    if as_json:
        click.echo(json.dumps({"files": outcome.files, "ok": not outcome.lost, "lost": len(outcome.lost)}))
    return outcome_code(outcome)
