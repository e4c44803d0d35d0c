"""Gain of adapting models: directories that no bundled model was trained on, with and without `--adapt`.

    python -m benchmarks.adapting [--minutes 5] [SET]...

Every archive is unpacked and compared (`benchmarks.compare`). Needs `dirs/` in the folder that ACNCODEC_DATA names. Writes
adapting.json and .md to benchmarks/results/.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.commands import acncodec
from benchmarks.compare import differences
from benchmarks.directory_sets import OMNIGLOT, unpack
from benchmarks.provenance import provenance

RESULTS = Path(__file__).parent / "results"
# Directories, and the models to start from if not all may be used: `glyphs` was trained on most of `omniglot_small`.
SETS: dict[str, tuple[str, ...]] = {"omniglot_small": ("--model", "mnist-1bit"), OMNIGLOT: (), "dcss_tiles": ()}


def measure(root: Path, work: Path, *options: str) -> dict[str, Any]:
    """One way to compress a directory. Raises RuntimeError if it does not come back."""
    archive, restored = work / "archive", work / "out"
    told, seconds, peak = acncodec("compress", root, archive, "-f", "--json", *options)
    _, decode_seconds, _ = acncodec("decompress", archive, restored, "-f")
    if wrong := list(differences(root, restored)):
        raise RuntimeError(f"{wrong[0]} did not come back")
    about = json.loads(told)
    ledger = {line["part"]: line["bits"] for line in about["ledger"]}
    return {
        "bytes": archive.stat().st_size,
        "model_bytes": ledger.get("models", 0) // 8,
        "modelled": about["images"],
        "files": about["files"],
        "encode_seconds": seconds,
        "decode_seconds": decode_seconds,
        "encode_mib": peak,
    }


def markdown(results: dict[str, Any]) -> str:
    """The table, and where each row comes from."""
    lines = [
        "# Models adapted to a directory",
        "",
        "`acncodec compress --adapt` on directories that the models had not seen: for `omniglot_small` all but `glyphs`, "
        "which was trained on six of its eight alphabets; `omniglot_unseen` is the other two. What is sent of models is "
        "part of the bytes.",
        "",
        "| directory | minutes | as it is, bytes | adapted | | models | modelled | seconds to compress | to restore |",
        "|---" * 9 + "|",
    ]
    for name, row in results.items():
        before, after = row["plain"], row["adapted"]
        lines.append(
            f"| {name} | {row['minutes']:g} | {before['bytes']:,} | {after['bytes']:,} "
            f"| {after['bytes'] / before['bytes'] - 1:+.1%} | {after['model_bytes']:,} "
            f"| {before['modelled']:,} -> {after['modelled']:,} of {after['files']:,} "
            f"| {before['encode_seconds']:.0f} -> {after['encode_seconds']:.0f} "
            f"| {before['decode_seconds']:.0f} -> {after['decode_seconds']:.0f} |"
        )
    lines += [""]
    for name, row in results.items():
        lines.append(f"- {name}: " + ", ".join(f"{key} {value}" for key, value in row["provenance"].items()))
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("sets", nargs=-1, type=click.Choice(SETS))
@click.option("--minutes", default=5.0, show_default=True, help="Time to adapt.")
def main(sets: tuple[str, ...], minutes: float) -> None:
    """Compress every set in both ways."""
    path = RESULTS / "adapting.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for name in sets or SETS:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "in")
            unpack(name, root, None)
            ways: dict[str, tuple[str, ...]] = {"plain": (), "adapted": ("--adapt", f"{minutes:g}")}
            row: dict[str, Any] = {w: measure(root, Path(folder), *SETS[name], *more) for w, more in ways.items()}
        found[name] = {"minutes": minutes, "provenance": provenance(), **row}
        click.echo(f"{name}: {found[name]}", err=True)
        path.write_text(json.dumps({key: found[key] for key in SETS if key in found}, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(found))
    click.echo(markdown(found))


if __name__ == "__main__":
    main()
