"""acncodec decompress"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import Bars, say, settings
from .options import (
    ARCHIVE,
    FILE,
    choose_device,
    device_option,
    force_option,
    json_option,
    keep_going_option,
    models_option,
    work_options,
)
from .report import Forecast, outcome_code
from .streams import readable

if TYPE_CHECKING:
    from acncodec.archive.remote import Location


@click.command("decompress")
@click.argument("archive", type=ARCHIVE)
@click.argument("directory", type=FILE)
@keep_going_option
@models_option
@force_option
@device_option
@json_option
@work_options
def command(**options: object) -> int:
    """Restore the directory of ARCHIVE as DIRECTORY.

    ARCHIVE may be - for standard input, or a URL that fsspec reads, such as https://HOST/NAME. Everything is decoded and
    every hash is checked before the first file appears. With --force, files go into an existing directory and replace those
    of the same name.
    """
    return restore(patterns=(), **options)  # type: ignore[arg-type]


def restore(
    archive: "Location",
    directory: Path,
    patterns: tuple[str, ...],
    keep_going: bool,
    models: tuple[Path, ...],
    force: bool,
    device: str,
    as_json: bool,
) -> int:
    """Shared by `decompress` and `extract`: restore the files that `patterns` select, or all. Returns the exit code."""
    from acncodec.reading.decompress import decompress
    from acncodec.reading.parts import Parts

    forecast, begin = Forecast(), time.monotonic()
    with (
        readable(archive) as path,
        Parts(path, models, choose_device(device), tolerant=keep_going) as opened,
        Bars() as bars,
    ):
        outcome = decompress(
            opened,
            directory,
            patterns=patterns,
            keep_going=keep_going,
            overwrite=force,
            progress=bars,
            estimated=forecast if as_json or settings.level >= 0 else None,
        )
    say(f"{outcome.files:,} files in '{directory}'")
    if as_json:
        found = {"files": outcome.files, "directory": str(directory), "lost": len(outcome.lost)}
        click.echo(json.dumps({**found, **forecast.times(time.monotonic() - begin)}))
    return outcome_code(outcome)
