"""acncodec info"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import ARCHIVE, json_option, models_option, talk_options
from .streams import readable

if TYPE_CHECKING:
    from acncodec.archive.remote import Location


@click.command("info")
@click.argument("archive", type=ARCHIVE)
@models_option
@json_option
@talk_options
def command(archive: "Location", models: tuple[Path, ...], as_json: bool) -> None:
    """Show what ARCHIVE holds and what each of its bits is used for, without decoding images.

    ARCHIVE may be a URL that fsspec reads, such as https://HOST/NAME; only what is needed is fetched.
    """
    from acncodec.reading.info import describe
    from acncodec.reading.parts import Parts

    from .report import show

    with readable(archive) as path, Parts(path) as opened:
        show(describe(opened, list(models)), as_json)
