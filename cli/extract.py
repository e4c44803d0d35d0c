"""acncodec extract"""

import json
from pathlib import Path

import click

from .options import FILE, choose_device, device_option, force_option, json_option, keep_going_option, models_option
from .report import outcome_code


@click.command("extract")
@click.argument("archive", type=FILE)
@click.argument("directory", type=FILE)
@click.argument("patterns", nargs=-1, required=True, metavar="PATH|GLOB...")
@keep_going_option
@models_option
@force_option
@device_option
@json_option
def command(
    archive: Path,
    directory: Path,
    patterns: tuple[str, ...],
    keep_going: bool,
    models: tuple[Path, ...],
    force: bool,
    device: str,
    as_json: bool,
) -> int:
    """Restore into DIRECTORY those files of ARCHIVE that a path, a folder or a glob names.

    In a glob * stands for anything, / included, ? for one character, [ab] for one of several; quote it, or the shell takes
    it. Only the blocks that hold these files are decoded.
    """
    from acncodec.codec.decompress import decompress
    from acncodec.codec.reader import Archive

    from .progress import Bars

    with Archive(archive, models, choose_device(device), tolerant=keep_going) as opened, Bars() as bars:
        outcome = decompress(opened, directory, patterns=patterns, keep_going=keep_going, overwrite=force, progress=bars)
    click.echo(f"acncodec: {outcome.files:,} files in '{directory}'", err=True)
    if as_json:
        click.echo(json.dumps({"files": outcome.files, "directory": str(directory), "lost": len(outcome.lost)}))
    return outcome_code(outcome)
