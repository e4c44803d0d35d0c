"""acncodec info"""

from pathlib import Path

import click

from .options import FILE, json_option, models_option, talk_options
from .streams import readable


@click.command("info")
@click.argument("archive", type=FILE)
@models_option
@json_option
@talk_options
def command(archive: Path, models: tuple[Path, ...], as_json: bool) -> None:
    """Show what ARCHIVE holds and where every one of its bits goes, without decoding it."""
    from acncodec.codec.info import describe
    from acncodec.codec.parts import Parts

    from .report import show

    with readable(archive) as path, Parts(path) as opened:
        show(describe(opened, list(models)), as_json)
