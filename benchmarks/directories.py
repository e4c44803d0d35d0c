"""Whole directories: what archivers, image codecs and acncodec make of them, in bytes, seconds and memory.

    python -m benchmarks.directories [--sets mixed ...] [--limit N] [--only-classical]

`dcss_tiles` and `omniglot_small` are public directories of PNG files, `cifar10` is the CIFAR-10 test set as PNG files in
folders by class, and `mixed` is made here of all three and of files that are hard to deal with. Every acncodec archive is
made and unpacked by the command line in processes of their own, and compared by benchmarks/compare.py, which knows nothing
of acncodec. What was run is merged into directories.json in benchmarks/results/, and directories.md is written anew.
"""

import io
import json
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import click
import imagecodecs
import numpy as np
from PIL import Image

from benchmarks.commands import acncodec
from benchmarks.compare import content, differences, paths
from benchmarks.directory_sets import SETS, make
from benchmarks.provenance import provenance

RESULTS = Path(__file__).parent / "results"
XZ = 9 | lzma.PRESET_EXTREME
ROWS = {"named": "keep", "folders": "folders", "set": "drop"}  # of the table: --names
CHECK_EVERY = 50  # images: one of so many is decoded and compared
PREAMBLE = """# Whole directories

Bits are those of the whole directory, its other files included, over its images and over their samples (an index into a
palette is one sample). The rows of image codecs add up bare streams, without names, metadata and the order of palettes, and
all other files, JPEGs among them, each under xz -9e by itself: no archive, which would take more. Raw samples are a tar of
each image's mode, size, palette and samples, bilevel ones eight a byte, and of the other files, under xz -9e. The large
image in `mixed` is CIFAR-10 images blown up, with noise: no photograph. acncodec's models are not in its files. Seconds are
by the clock, memory is the peak of the process.
"""
PLAIN_MODES = {"1": "L", "L": "L", "LA": "LA", "P": "RGBA", "RGB": "RGB", "RGBA": "RGBA"}  # what image codecs are given


# Classical codecs


def opened(path: Path) -> Image.Image | None:
    """A file's picture as Pillow decodes it; None for what is no image, is damaged, or is a JPEG, which stays one."""
    try:
        with Image.open(path) as image:
            image.load()
            return image if image.format != "JPEG" and image.mode in PLAIN_MODES else None
    except Exception:  # Pillow raises many kinds
        return None


def tar_xz(root: Path, raw: bool) -> bytes:
    """All files in a tar, by name, under xz; `raw`: images as a line of mode and size, their palette and their samples."""
    out = io.BytesIO()
    with lzma.open(out, "wb", preset=XZ) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
        for path in sorted(root.rglob("*")):
            image = opened(path) if raw and path.is_file() else None
            data = path.read_bytes() if path.is_file() and image is None else b""
            if image is not None:
                palette = bytes(image.palette.palette) if image.palette else b""
                mask = repr(image.info.get("transparency", ""))
                data = f"{image.mode} {image.size} {mask}\n".encode() + palette + image.tobytes()
            entry = tarfile.TarInfo(str(path.relative_to(root)))
            entry.type, entry.size = (tarfile.DIRTYPE if path.is_dir() else tarfile.REGTYPE), len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def zipped(root: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, path.relative_to(root))
    return out.getvalue()


def samples(image: Image.Image) -> np.ndarray:
    """What image codecs are given: uint8 [H, W] or [H, W, C]; palettes as the colours that they mean."""
    mode = PLAIN_MODES[image.mode]
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    return np.asarray(image.convert("RGB" if mode == "RGBA" and not image.has_transparency_data else mode))


def webp(image: Image.Image) -> bytes:
    out = io.BytesIO()
    colours = image.convert("RGBA" if image.has_transparency_data else "RGB")
    colours.save(out, "WEBP", lossless=True, quality=100, method=6, exact=True)
    return out.getvalue()


def jpeg_xl(image: Image.Image) -> bytes:
    bits = 1 if image.mode == "1" else 8
    options: dict[str, Any] = {"effort": 7, "lossless": True, "usecontainer": False, "numthreads": 1}
    code = imagecodecs.jpegxl_encode(samples(image), bitspersample=bits, **options)
    return bytes(code)


def check_codecs(image: Image.Image) -> None:
    """Raise RuntimeError unless both image codecs give back what they were given."""
    colours = image.convert("RGBA" if image.has_transparency_data else "RGB")
    back = Image.open(io.BytesIO(webp(image)))
    if back.convert(colours.mode).tobytes() != colours.tobytes():
        raise RuntimeError("WebP did not give back the pixels it was given.")
    given = samples(image)
    if not np.array_equal(np.asarray(imagecodecs.jpegxl_decode(jpeg_xl(image))).reshape(given.shape), given):
        raise RuntimeError("JPEG XL did not give back the pixels it was given.")


def classical(root: Path) -> dict[str, int]:
    """Bytes by method."""
    sizes = {"zip, deflate 9": len(zipped(root)), "tar.xz of the files": len(tar_xz(root, raw=False))}
    per_image: Counter[str] = Counter()
    rest = images = 0
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        image = opened(path)
        if image is None:
            rest += len(lzma.compress(path.read_bytes(), preset=XZ))
            continue
        images += 1
        if images % CHECK_EVERY == 1:
            check_codecs(image)
        per_image["WebP"] += len(webp(image))
        per_image["JPEG XL"] += len(jpeg_xl(image))
    sizes["WebP lossless of each image"] = per_image["WebP"] + rest
    sizes["JPEG XL e7 of each image"] = per_image["JPEG XL"] + rest
    sizes["tar.xz of the raw samples"] = len(tar_xz(root, raw=True))
    return sizes


# acncodec


def pieces(root: Path, names: str) -> Counter[tuple[object, ...]]:
    """What must come back where names are not kept: contents of images, in their folders if these are kept, other files."""
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
    """Raise RuntimeError unless all came back that was promised."""
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
    described, encode_seconds, encode_rss = acncodec("compress", "--names", names, "--json", root, archive)
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
    """All figures of one set; those of `before`, where it is of the same files, stay if they are not measured now."""
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
        path.write_text(json.dumps(results, indent=1) + "\n")
        (output / "directories.md").write_text(markdown(results))
    click.echo((output / "directories.md").read_text())


if __name__ == "__main__":
    main()
