"""acncodec test"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import Bars, say
from .options import ARCHIVE, choose_device, device_option, json_option, keep_going_option, models_option, work_options
from .report import outcome_code
from .streams import readable, shown

if TYPE_CHECKING:
    from acncodec.archive.remote import Location


@click.command("test")
@click.argument("archive", type=ARCHIVE)
@keep_going_option
@models_option
@device_option
@json_option
@work_options
def command(archive: "Location", keep_going: bool, models: tuple[Path, ...], device: str, as_json: bool) -> int:
    """Decode ARCHIVE, a path or a URL that fsspec reads, and check every hash, writing nothing."""
    from acncodec.reading.decompress import check
    from acncodec.reading.parts import Parts

    with (
        readable(archive) as path,
        Parts(path, models, choose_device(device), tolerant=keep_going) as opened,
        Bars() as bars,
    ):
        outcome = check(opened, keep_going=keep_going, progress=bars)
    if not outcome.lost:
        say(f"{shown(archive)} is whole: {outcome.files:,} files decode to what was compressed")
    if as_json:
        click.echo(json.dumps({"files": outcome.files, "ok": not outcome.lost, "lost": len(outcome.lost)}))
    return outcome_code(outcome)
