"""Whole directories under archivers, image codecs and acncodec: bytes, seconds and memory.

    python -m benchmarks.directories [--sets mixed ...] [--limit N] [--only-classical]

`dcss_tiles` and `omniglot_unseen` (two alphabets of eight, on which no model was trained) are public directories of PNG
files, `cifar10` is the CIFAR-10 test set as PNG files in folders by class, and `mixed` is made here of all three and of
difficult files. Every acncodec archive is made and unpacked by the command line in separate processes, and compared by
benchmarks/compare.py, which is independent of acncodec. Results are merged into directories.json in benchmarks/results/,
and directories.md is written anew.
"""

import json
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import click
from PIL import Image

from acncodec.analysis import peers
from acncodec.archive.limits import MAX_ENTRIES
from acncodec.progress import unwatched
from benchmarks.commands import acncodec
from benchmarks.compare import content, differences, paths
from benchmarks.directory_sets import SETS, make
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
ROWS = {"named": "keep", "folders": "folders", "set": "drop"}  # of the table: --names
PREAMBLE = """# Whole directories

Bits are those of the whole directory, its other files included, over its images and over their samples (an index into a
palette is one sample). The rows of image codecs add up bare streams, without names, metadata and the order of palettes, and
all other files, JPEGs among them, each under xz -9e by itself: no archive, which would take more. Raw samples are a tar of
each image's mode, size, palette and samples, bilevel ones eight a byte, and of the other files. The large
image in `mixed` is CIFAR-10 images blown up, with noise: no photograph. acncodec's models are not in its files. Seconds are
by the clock, memory is the peak of the process.
"""


def opened(path: Path) -> Image.Image | None:
    """A file's picture, or None."""
    return peers.opened(path.read_bytes())


def classical(root: Path) -> dict[str, int]:
    """Bytes by method, of all images."""
    return {each.name: each.size for each in peers.peers(root, unwatched, sample=MAX_ENTRIES)[0]}


# acncodec


def pieces(root: Path, names: str) -> Counter[tuple[object, ...]]:
    """What must be restored if names are not kept: contents of images, in their folders if these are kept, and files."""
    found: Counter[tuple[object, ...]] = Counter()
    for name, kind in paths(root).items():
        path = root / os.fsdecode(name)
        if kind != "file":
            found[kind, name] += names == "folders"
            continue
        data = path.read_bytes()
        folder = path.parent.relative_to(root) if names == "folders" else None
        found[content(data), folder] += 1
    return +found


def verify(source: Path, restored: Path, names: str) -> None:
    """Raise RuntimeError unless all was restored as promised."""
    if names == "keep":
        wrong = [f"{name!r}: {reason}" for name, reason in differences(source, restored)]
    else:
        a, b = pieces(source, names), pieces(restored, names)
        wrong = [repr(key) for key in [*(a - b), *(b - a)]]
    if wrong:
        raise RuntimeError(f"what came back is not what was compressed ({len(wrong)}): {'; '.join(wrong[:5])}")


def modelled(root: Path, names: str, work: Path) -> dict[str, Any]:
    """Compress, unpack and compare one directory."""
    archive, restored = work / f"{names}.acn", work / f"{names}-restored"
    described, encode_seconds, encode_rss = acncodec("compress", "--names", names, "--no-verify", "--json", root, archive)
    _, decode_seconds, decode_rss = acncodec("decompress", archive, restored)
    verify(root, restored, names)
    shutil.rmtree(restored)
    info = json.loads(described)
    return {
        "bytes": archive.stat().st_size,
        "encode_seconds": encode_seconds,
        "decode_seconds": decode_seconds,
        "encode_rss_mib": encode_rss,
        "decode_rss_mib": decode_rss,
        **{key: info[key] for key in ("models", "kinds", "orders", "stored", "ledger")},
    }


# Results


def inventory(root: Path) -> dict[str, int]:
    """Files, their bytes, images (as `opened` says) among them, and samples of these; a palette's index is one sample."""
    files = [path for path in root.rglob("*") if path.is_file()]
    images = [image for image in map(opened, files) if image is not None]
    return {
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "images": len(images),
        "samples": sum(image.width * image.height * len(image.getbands()) for image in images),
    }


def measure(name: str, limit: int | None, only_classical: bool, before: dict[str, Any] | None) -> dict[str, Any]:
    """All figures of one set; those of `before`, if it has the same files, are kept where nothing is measured now."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, name)
        make(name, root, limit)
        result: dict[str, Any] = {"limit": limit, **inventory(root)}
        same = before is not None and all(before.get(key) == value for key, value in result.items())
        result["classical"] = {"provenance": provenance(), "bytes": classical(root)}
        if not only_classical:
            rows = {}
            for row, names in ROWS.items():
                rows[row] = modelled(root, names, Path(folder))
                click.echo(f"{name}, {row}: {rows[row]['bytes']:,} bytes", err=True)
            result["acncodec"] = {"provenance": provenance(), "rows": rows}
        elif same and before and "acncodec" in before:
            result["acncodec"] = before["acncodec"]
    return result


def markdown(results: dict[str, Any]) -> str:
    """The result page."""
    lines = [PREAMBLE.rstrip()]
    for name, result in results.items():
        lines += ["", f"## {name}" + (f", limited to {result['limit']} files of a source" if result["limit"] else ""), ""]
        lines += [f"{result['files']:,} files of {result['bytes']:,} bytes, {result['images']:,} of them images.", ""]
        lines += [
            "| | bytes | bits/image | bits/sample | encode s | decode s | encode MiB | decode MiB |",
            "|---" * 8 + "|",
        ]
        table: list[tuple[str, dict[str, Any]]] = [(k, {"bytes": v}) for k, v in result["classical"]["bytes"].items()]
        table += [(f"acncodec, {row}", found) for row, found in result.get("acncodec", {"rows": {}})["rows"].items()]
        lines += [_row(title, found, result) for title, found in table]
        for part in ("classical", "acncodec"):
            if part in result:
                lines += ["", f"{part}: " + "; ".join(f"{k} {v}" for k, v in result[part]["provenance"].items())]
    return "\n".join(lines) + "\n"


def _row(title: str, found: dict[str, Any], result: dict[str, Any]) -> str:
    bits = 8 * found["bytes"]
    cells = [f"{found['bytes']:,}", f"{bits / result['images']:.1f}", f"{bits / result['samples']:.4f}"]
    for key, digits in (("encode_seconds", 1), ("decode_seconds", 1), ("encode_rss_mib", 0), ("decode_rss_mib", 0)):
        cells.append(f"{found[key]:,.{digits}f}" if key in found else "")
    return f"| {title} | " + " | ".join(cells) + " |"


@click.command()
@click.option("--sets", multiple=True, type=click.Choice(SETS), help="Which to run; may be repeated. All unless given.")
@click.option("--limit", type=click.IntRange(min=1), help="So many files of each source, evenly spread: a trial.")
@click.option("--only-classical", is_flag=True, help="Leave acncodec out; its figures for the same files stay.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(sets: tuple[str, ...], limit: int | None, only_classical: bool, output: Path) -> None:
    """Measure the sets one after the other, and write the results after each."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / "directories.json"
    for name in sets or SETS:
        known = json.loads(path.read_text()) if path.exists() else {}
        known[name] = measure(name, limit, only_classical, known.get(name))
        results = {each: known[each] for each in SETS if each in known}
        write_result(path, results, markdown(results))
    click.echo((output / "directories.md").read_text())


if __name__ == "__main__":
    main()
