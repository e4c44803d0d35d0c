"""acncodec list"""

import json
from pathlib import Path

import click

from .options import FILE, talk_options
from .streams import readable


@click.command("list")
@click.argument("archive", type=FILE)
@click.option("-l", "--long", is_flag=True, help="Also show how each file is kept, its mode and its size in pixels.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line on stdout.")
@talk_options
def command(archive: Path, long: bool, as_json: bool) -> None:
    """List the files of ARCHIVE, by name, without decoding any image."""
    from acncodec.codec.info import METHODS, mode
    from acncodec.codec.reader import Archive

    with readable(archive) as path, Archive(path) as opened:
        for entry in opened.entries:
            name = entry.name.decode(errors="backslashreplace")
            if not (long or as_json):
                click.echo(name)
                continue
            kind = opened.kind(entry.content)
            row: dict[str, str | int] = {"name": name, "method": METHODS[kind.method], "mode": mode(kind)}
            row |= {"width": kind.width, "height": kind.height, "content": entry.content}
            if as_json:
                click.echo(json.dumps(row))
            else:
                size = f"{kind.width}x{kind.height}" if kind.width else ""
                click.echo(f"{row['method']:6} {row['mode']:15} {size:>11}  {name}")
