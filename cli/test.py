"""acncodec test"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import Bars, say, settings
from .options import ARCHIVE, choose_device, device_option, json_option, keep_going_option, models_option, work_options
from .report import Forecast, outcome_code
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
    """Decode ARCHIVE, a path or a URL that fsspec reads, and check every hash. Nothing is written."""
    from acncodec.reading.decompress import check
    from acncodec.reading.parts import Parts

    forecast, begin = Forecast(), time.monotonic()
    with (
        readable(archive) as path,
        Parts(path, models, choose_device(device), tolerant=keep_going) as opened,
        Bars() as bars,
    ):
        wanted = forecast if as_json or settings.level >= 0 else None
        outcome = check(opened, keep_going=keep_going, progress=bars, estimated=wanted)
    if not outcome.lost:
        say(f"{shown(archive)} is whole: {outcome.files:,} files decode to what was compressed")
    if as_json:
        found = {"files": outcome.files, "ok": not outcome.lost, "lost": len(outcome.lost)}
        click.echo(json.dumps({**found, **forecast.times(time.monotonic() - begin)}))
    return outcome_code(outcome)
