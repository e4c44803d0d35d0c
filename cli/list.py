"""acncodec list"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import FILE, talk_options
from .streams import readable

if TYPE_CHECKING:
    from acncodec.codec.directory import Entry
    from acncodec.codec.reader import Archive


@click.command("list")
@click.argument("archive", type=FILE)
@click.option("-l", "--long", is_flag=True, help="Also show how each file is kept, its mode and its size in pixels.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line on stdout.")
@talk_options
def command(archive: Path, long: bool, as_json: bool) -> None:
    """List the files of ARCHIVE, by name (of many parts, part by part), without decoding any image."""
    from acncodec.codec.parts import Parts

    with readable(archive) as path, Parts(path) as parts:
        for number in range(len(parts)):
            with parts.open(number) as opened:
                for entry in opened.entries:
                    click.echo(_line(opened, number, entry, long, as_json))


def _line(archive: "Archive", part: int, entry: "Entry", long: bool, as_json: bool) -> str:
    """One file, for people or programs."""
    from acncodec.codec.info import METHODS, mode

    name = entry.name.decode(errors="backslashreplace")
    if not (long or as_json):
        return name
    kind = archive.kind(entry.content)
    row: dict[str, str | int] = {"name": name, "method": METHODS[kind.method], "mode": mode(kind)}
    row |= {"width": kind.width, "height": kind.height, "part": part, "content": entry.content}
    size = f"{kind.width}x{kind.height}" if kind.width else ""
    return json.dumps(row) if as_json else f"{row['method']:6} {row['mode']:15} {size:>11}  {name}"
