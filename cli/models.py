"""acncodec models"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import json_option, talk_options

if TYPE_CHECKING:
    from acncodec.nets.model import Model

VALUES = {(2, 1): "1-bit", (256, 1): "grey", (256, 3): "RGB", (256, 4): "RGBA"}  # by levels and colours


@click.command("models")
@click.argument("name", required=False, metavar="[NAME|FILE]")
@json_option
@talk_options
def command(name: str | None, as_json: bool) -> None:
    """List the models that are found, or show one and its card.

    Models are searched for in the package and in ~/.local/share/acncodec/models, or in the folder $ACNCODEC_MODELS instead.
    """
    from acncodec import bundled

    if name:
        path = bundled.locate(name)
        _show(path, as_json)
        return
    rows = [_row(path, bundled.load(path)) for path in bundled.model_files()]
    if as_json:
        click.echo(json.dumps({"models": rows}))
        return
    click.echo(f"{'model':16}{'images':8}{'bytes':>10}  {'sha256':18}{'where'}")
    for row in rows:
        place = "in the package" if row["bundled"] else row["path"]
        click.echo(f"{row['name']:16}{row['images']:8}{row['bytes']:>10,}  {str(row['sha256'])[:16]:18}{place}")


def _row(path: Path, model: "Model") -> dict[str, object]:
    from acncodec import bundled

    return {
        "name": path.stem,
        "images": VALUES[model.arch.levels, model.arch.colours],
        "bytes": model.size,
        "sha256": model.sha256.hex(),
        "path": str(path),
        "bundled": path.parent == bundled.FOLDER,
        "architecture": model.arch.to_dict(),
        "record": model.record,
    }


def _show(path: Path, as_json: bool) -> None:
    """One model: its card where there is one, else what its file says."""
    from acncodec import bundled

    row = _row(path, bundled.load(path))
    card = path.with_suffix(".md")
    if as_json:
        click.echo(json.dumps(row))
    elif card.exists():
        # The lines between the first two rules are for programs.
        click.echo(card.read_text(encoding="utf-8").split("---\n", 2)[-1].strip())
    else:
        for key in ("name", "images", "bytes", "sha256", "path", "architecture", "record"):
            click.echo(f"{key:14}{row[key]}")
