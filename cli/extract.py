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
    r"""Restore into DIRECTORY those files of ARCHIVE that a path, a folder or a glob names.

    In a glob * stands for anything, / included, ? for one character, [ab] for one of several; quote it, or the shell takes
    it. A path that the archive holds is no glob. Names may be given as 'list' prints them, with \xHH for a byte and \\ for
    a backslash. Only the blocks that hold these files are decoded and, if ARCHIVE is a URL that fsspec reads, fetched.
    """
    return restore(**options)  # type: ignore[arg-type]
