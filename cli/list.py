"""acncodec list"""

import json
from typing import TYPE_CHECKING

import click

from .options import ARCHIVE, talk_options
from .streams import readable

if TYPE_CHECKING:
    from acncodec.archive.remote import Location
    from acncodec.block.directory import Entry
    from acncodec.reading.reader import Archive


@click.command("list")
@click.argument("archive", type=ARCHIVE)
@click.option("-l", "--long", is_flag=True, help="Also show how each file is stored, its mode and its size in pixels.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file on stdout, each on a line.")
@click.option("-0", "--null", is_flag=True, help="Print names as they are, each ended by a NUL byte, as for xargs -0.")
@talk_options
def command(archive: "Location", long: bool, as_json: bool, null: bool) -> None:
    r"""List the files of ARCHIVE by name, without decoding any image; those of many parts, part by part.

    ARCHIVE may be a URL that fsspec reads, such as https://HOST/NAME; only what is needed is fetched.

    Bytes of a name that a terminal cannot show are written as \xHH, and a backslash as two; 'extract' accepts such names.
    """
    if null and (long or as_json):
        raise click.UsageError("--null prints names alone; leave out -l and --json")

    from acncodec.reading.parts import Parts

    with readable(archive) as path, Parts(path) as parts:
        for number in range(len(parts)):
            with parts.open(number) as opened:
                for entry in opened.entries:
                    if null:
                        click.echo(entry.name + b"\0", nl=False)
                    else:
                        click.echo(_line(opened, number, entry, long, as_json))


def _line(archive: "Archive", part: int, entry: "Entry", long: bool, as_json: bool) -> str:
    """One file, for people or programs."""
    from acncodec.images.escapes import escape
    from acncodec.reading.info import METHODS, mode

    if not (long or as_json):
        return escape(entry.name)
    found = archive.class_of(entry.content)
    # JSON holds any name exactly: a byte that is not UTF-8 as a lone surrogate, from which os.fsencode gets it back.
    row: dict[str, str | int] = {
        "name": entry.name.decode("utf-8", "surrogateescape"),
        "method": METHODS[found.method],
        "mode": mode(found),
    }
    row |= {"width": found.width, "height": found.height, "part": part, "content": entry.content}
    size = f"{found.width}x{found.height}" if found.width else ""
    return json.dumps(row) if as_json else f"{row['method']:6} {row['mode']:15} {size:>11}  {escape(entry.name)}"
