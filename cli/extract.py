"""acncodec extract"""

import click

from .decompress import restore
from .options import ARCHIVE, FILE, device_option, force_option, json_option, keep_going_option, models_option, work_options


@click.command("extract")
@click.argument("archive", type=ARCHIVE)
@click.argument("directory", type=FILE)
@click.argument("patterns", nargs=-1, required=True, metavar="PATH|GLOB...")
@keep_going_option
@models_option
@force_option
@device_option
@json_option
@work_options
def command(**options: object) -> int:
    r"""Restore into DIRECTORY those files of ARCHIVE that match a path, a folder or a glob.

    In a glob, * matches any characters, / included, ? one character, and [ab] one of those listed; quote it, so that the
    shell does not expand it. Names may be given as 'list' prints them, with \xHH for a byte and \\ for a backslash. Only
    the blocks that hold these files are decoded; of an ARCHIVE at a URL that fsspec reads, only they are fetched.
    """
    return restore(**options)  # type: ignore[arg-type]
