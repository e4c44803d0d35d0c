"""Compares two directories without acncodec: by the file system and Pillow alone.

    python -m benchmarks.compare A B [--bytes]

Paths must be the same: files, links, empty directories. Two files are the same if their bytes are, or, without --bytes,
if Pillow opens both and finds the same format, mode, size, palette, pixels and metadata in every frame. PNG chunks that
Pillow does not expose (the date of change, private ones) are not compared.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from PIL import Image

SHOWN = 10


def paths(root: Path) -> dict[bytes, str]:
    """Every relative path below a directory: 'file', 'link', 'special', or 'empty directory'."""
    found: dict[bytes, str] = {}
    for place, folders, files in os.walk(root):
        folder = Path(place)
        if not folders and not files and folder != root:
            found[_name(folder, root)] = "empty directory"
        for path in (folder / name for name in folders + files):
            if path.is_symlink():
                found[_name(path, root)] = "link"
            elif not path.is_dir():
                found[_name(path, root)] = "file" if path.is_file() else "special file"
    return found


def _name(path: Path, root: Path) -> bytes:
    return os.fsencode(path.relative_to(root))


def image(data: bytes) -> dict[str, Any] | None:
    """All that Pillow reads of an image file, every frame of it; None if it cannot read the file to its end."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            frames = []
            for number in range(getattr(opened, "n_frames", 1)):
                opened.seek(number)
                opened.load()  # before `info`: a PNG may have metadata behind its pixels
                frames.append(_frame(opened))
            return {"format": opened.format, **{f"frame {i}: {k}": v for i, f in enumerate(frames) for k, v in f.items()}}
    except Exception:  # Pillow raises many kinds; such a file counts by its bytes
        return None


def _frame(opened: Image.Image) -> dict[str, Any]:
    # Texts of a PNG have a language attribute.
    info = {key: (value, getattr(value, "__dict__", None)) for key, value in opened.info.items()}
    palette = opened.palette
    return {
        "mode": opened.mode,
        "size": opened.size,
        "pixels": opened.tobytes(),
        "palette": None if palette is None else (palette.mode, bytes(palette.palette)),
        "metadata": repr(sorted(info.items(), key=repr)),
        "EXIF": opened.getexif().tobytes(),
    }


def difference(first: bytes, second: bytes, exact: bool) -> str | None:
    """How two files differ, in words; None if they count as equal."""
    if first == second:
        return None
    if exact:
        return "the bytes differ"
    a, b = image(first), image(second)
    if a is None or b is None:
        return "the bytes differ, and not both are images"
    return next((f"{key} differs" for key in [*a, *b] if a.get(key, ...) != b.get(key, ...)), None)


def content(data: bytes) -> bytes:
    """Fingerprint of what must be restored of a file: equal for files between which `difference` finds none."""
    seen = image(data)
    whole = hashlib.sha256(b"file" + data if seen is None else b"image")
    for key, value in (seen or {}).items():
        part = value if isinstance(value, bytes) else repr(value).encode()
        whole.update(hashlib.sha256(key.encode()).digest() + hashlib.sha256(part).digest())
    return whole.digest()


def differences(first: Path, second: Path, exact: bool = False) -> Iterator[tuple[bytes, str]]:
    """Every path at which two directories differ, with the reason, in the order of paths."""
    a, b = paths(first), paths(second)
    for name in sorted({*a, *b}):
        kinds = a.get(name), b.get(name)
        if kinds[0] != kinds[1]:
            missing = [f"{there} only in {where}" for there, where in zip(kinds, ("A", "B"), strict=True) if there]
            yield name, " and ".join(missing)
        elif kinds[0] == "link":
            if (first / os.fsdecode(name)).readlink() != (second / os.fsdecode(name)).readlink():
                yield name, "the links lead to different places"
        elif kinds[0] == "file":
            data = [(root / os.fsdecode(name)).read_bytes() for root in (first, second)]
            reason = difference(data[0], data[1], exact)
            if reason is not None:
                yield name, reason


@click.command()
@click.argument("first", metavar="A", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("second", metavar="B", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--bytes", "exact", is_flag=True, help="Ask for the same bytes of images, too.")
def main(first: Path, second: Path, exact: bool) -> None:
    """Say whether the directories A and B hold the same; exit code 1 if they do not."""
    found = list(differences(first, second, exact))
    if not found:
        same = "byte for byte" if exact else "images by all that Pillow tells of them, other files byte for byte"
        click.echo(f"the same: {len(paths(first)):,} paths, {same}")
        return
    click.echo(f"different: {len(found):,} of {len({*paths(first), *paths(second)}):,} paths")
    for name, reason in found[:SHOWN]:
        click.echo(f"  {name.decode(errors='backslashreplace')}: {reason}")
    raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
