"""What other tools make of a whole directory: archivers of its files, and image codecs of its images."""

import io
import lzma
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from acncodec.analysis.classical import PLAIN_MODES, missing, per_image, picture_codecs, raw_samples, stream_codecs
from acncodec.codec.progress import Progress
from acncodec.errors import InputError
from acncodec.images.scan import read_file, scan

Made = TypeVar("Made")
SAMPLE = 1000  # images that slow codecs are tried on, evenly spaced
XZ = 9 | lzma.PRESET_EXTREME
PICTURE_CODECS = ("WebP", "JPEG XL e7")
STREAM_CODECS = ("xz 9e", "zstd 19")


@dataclass(frozen=True)
class Peer:
    """What a tool makes of all files: `size` in bytes, seconds by the clock on one thread, and how they were measured."""

    name: str
    size: int
    encode_seconds: float
    decode_seconds: float
    note: str = ""


def opened(data: bytes) -> Image.Image | None:
    """A file's picture as Pillow decodes it; None for what is no image, is damaged, or is a JPEG, which stays one.

    None, too, for a mode that image codecs do not have, such as bilevel with a mask.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            plain = image.mode in PLAIN_MODES and not (image.mode == "1" and image.has_transparency_data)
            return image if plain and image.format != "JPEG" else None
    except Exception:  # Pillow raises many kinds
        return None


def tar(root: Path, raw: bool) -> bytes:
    """All files, by name; `raw`: images as a line of mode and size, their palette and their samples."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in _files(root):
            image = opened(data) if raw else None
            body = data if image is None else raw_samples(image)
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return out.getvalue()


def zipped(root: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in _files(root):
            archive.writestr(name, data)
    return out.getvalue()


def peers(root: Path, progress: Progress, sample: int = SAMPLE) -> tuple[list[Peer], list[str]]:
    """All tools that this machine has, every one's output decoded and compared; and why one that failed is left out.

    Image codecs are tried on about `sample` images, evenly spaced, and scaled up.
    """
    failed = missing()
    solid = [codec for codec in stream_codecs() if codec.name in STREAM_CODECS]
    single = [codec for codec in picture_codecs() if codec.name in PICTURE_CODECS]
    advance = progress("peers", 2 + 2 * len(solid) + len(single))

    def done(peer: Peer) -> Peer:
        advance(1)
        return peer

    pictures, rest = _sorted_out(root)
    found = [done(_zip(root))]
    for name, raw in (("files", False), ("raw samples", True)):
        data = tar(root, raw)
        for codec in solid:
            found.append(done(_round_trip(f"tar of the {name}, {codec.name}", data, codec.encode, codec.decode)))
    kept, seconds = _timed(lambda: sum(len(lzma.compress(data, preset=XZ)) for data in rest))
    advance(1)
    for picture_codec in single if pictures else []:
        try:
            result = per_image(picture_codec, pictures, sample)
        except (OSError, RuntimeError, ValueError) as error:  # as WebP of what is wider than it can be
            failed.append(f"{picture_codec.name} is left out: {error}")
            advance(1)
            continue
        note = f"measured on {result.measured_on:,} images, " if result.measured_on < len(pictures) else ""
        note += "bare streams without names" + (f"; {len(rest):,} other files under xz" if rest else "")
        size, name = result.bits // 8 + kept, f"{picture_codec.name}, image by image"
        found.append(done(Peer(name, size, result.encode_seconds + seconds, result.decode_seconds, note)))
    return found, failed


def _files(root: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of all files that can be read."""
    for name in scan(root).files:
        try:
            yield name.decode(errors="backslashreplace"), read_file(root, name)
        except InputError:
            continue


def _sorted_out(root: Path) -> tuple[list[Image.Image], list[bytes]]:
    """Images, and the bytes of all other files."""
    pictures, rest = [], []
    for _, data in _files(root):
        image = opened(data)
        if image is None:
            rest.append(data)
        else:
            pictures.append(image)
    return pictures, rest


def _timed(work: Callable[[], Made]) -> tuple[Made, float]:
    start = time.perf_counter()
    made = work()
    return made, time.perf_counter() - start


def _zip(root: Path) -> Peer:
    data, encode_seconds = _timed(lambda: zipped(root))

    def read() -> int:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return sum(len(archive.read(name)) for name in archive.namelist())

    _, decode_seconds = _timed(read)
    return Peer("zip, deflate 9", len(data), encode_seconds, decode_seconds)


def _round_trip(name: str, data: bytes, encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes]) -> Peer:
    code, encode_seconds = _timed(lambda: encode(data))
    again, decode_seconds = _timed(lambda: decode(code))
    if again != data:
        raise RuntimeError(f"{name} did not give back what it was given.")
    return Peer(name, len(code), encode_seconds, decode_seconds)
