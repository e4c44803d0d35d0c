"""What adapting models to a directory gains: directories that no bundled model has seen, with and without `--adapt`.

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
SETS = (OMNIGLOT, "dcss_tiles")


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
    lines = [
        "# Models adapted to a directory",
        "",
        f"`acncodec compress --adapt {results['minutes']:g}` on directories that no bundled model has seen. What is sent "
        "of models is part of the bytes.",
        "",
        "| directory | as it is, bytes | adapted | | models | modelled | seconds to compress | to restore |",
        "|---" * 8 + "|",
    ]
    for name, row in results["sets"].items():
        before, after = row["plain"], row["adapted"]
        lines.append(
            f"| {name} | {before['bytes']:,} | {after['bytes']:,} | {after['bytes'] / before['bytes'] - 1:+.1%} "
            f"| {after['model_bytes']:,} | {before['modelled']:,} -> {after['modelled']:,} of {after['files']:,} "
            f"| {before['encode_seconds']:.0f} -> {after['encode_seconds']:.0f} "
            f"| {before['decode_seconds']:.0f} -> {after['decode_seconds']:.0f} |"
        )
    lines += ["", *(f"- {key}: {value}" for key, value in results["provenance"].items())]
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("sets", nargs=-1, type=click.Choice(SETS))
@click.option("--minutes", default=5.0, show_default=True, help="Time to adapt.")
def main(sets: tuple[str, ...], minutes: float) -> None:
    """Compress every set in both ways."""
    found = {}
    for name in sets or SETS:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "in")
            unpack(name, root, None)
            ways = {"plain": (), "adapted": ("--adapt", f"{minutes:g}")}
            found[name] = {way: measure(root, Path(folder), *options) for way, options in ways.items()}
        click.echo(f"{name}: {found[name]}", err=True)
    results = {"provenance": provenance(), "minutes": minutes, "sets": found}
    if not sets:
        (RESULTS / "adapting.json").write_text(json.dumps(results, indent=1) + "\n")
        (RESULTS / "adapting.md").write_text(markdown(results))
    click.echo(markdown(results))


if __name__ == "__main__":
    main()
