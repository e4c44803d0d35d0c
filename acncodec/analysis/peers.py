"""Other tools on a whole directory: archivers on its files, image codecs on its images."""

import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from acncodec.analysis.classical import (
    PLAIN_MODES,
    missing,
    per_image,
    picture_codecs,
    raw_samples,
    require,
    solid,
    stream_codecs,
    timed,
)
from acncodec.errors import InputError
from acncodec.images.scan import read_file, scan
from acncodec.progress import Progress

SAMPLE = 1000  # images that image codecs are measured on, evenly spaced
XZ = 9 | lzma.PRESET_EXTREME
PICTURE_CODECS = ("WebP", "JPEG XL e7")
STREAM_CODECS = ("xz 9e", "zstd 19")
ZIP = "zip, deflate 9"


@dataclass(frozen=True)
class Peer:
    """A tool's result for all files: `size` in bytes, wall-clock seconds on one thread, and how they were measured."""

    name: str
    size: int
    encode_seconds: float
    decode_seconds: float
    note: str = ""


def opened(data: bytes) -> Image.Image | None:
    """A file's picture as Pillow decodes it; None if it is not an image, is damaged, or is a JPEG, which is kept as it is.

    Also None for a mode that image codecs lack, such as bilevel with a mask.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            plain = image.mode in PLAIN_MODES and not (image.mode == "1" and image.has_transparency_data)
            return image if plain and image.format != "JPEG" else None
    except Exception:  # Pillow raises many kinds
        return None


@dataclass(frozen=True)
class _File:
    """A file that could be read, and its picture if it has one."""

    name: str
    data: bytes
    picture: Image.Image | None


def _tar(files: list[_File], raw: bool) -> bytes:
    """A tar archive of all files, by name; with `raw`, images as `raw_samples`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for file in files:
            body = raw_samples(file.picture) if raw and file.picture else file.data
            entry = tarfile.TarInfo(file.name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return out.getvalue()


def peers(root: Path, progress: Progress, sample: int = SAMPLE) -> tuple[list[Peer], list[str]]:
    """Results of all available tools, with every output decoded and compared; and notes on those left out.

    Image codecs are measured on about `sample` images, evenly spaced, and scaled up.
    """
    failed = missing()
    streams = [codec for codec in stream_codecs() if codec.name in STREAM_CODECS]
    single = [codec for codec in picture_codecs() if codec.name in PICTURE_CODECS]
    advance = progress("peers", 2 + 2 * len(streams) + len(single))

    def done(peer: Peer) -> Peer:
        advance(1)
        return peer

    files = list(_files(root))
    pictures = [file.picture for file in files if file.picture]
    rest = [file.data for file in files if not file.picture]
    found = [done(_zip(files))]
    for name, raw in (("files", False), ("raw samples", True)):
        data = _tar(files, raw)
        for codec in streams:
            made = solid(codec, data, len(files))
            times = made.encode_seconds, made.decode_seconds
            found.append(done(Peer(f"tar of the {name}, {codec.name}", made.bits // 8, *times)))
    kept, seconds = timed(partial(lzma.compress, preset=XZ), rest)
    advance(1)
    for picture_codec in single if pictures else []:
        try:
            result = per_image(picture_codec, pictures, sample)
        except (OSError, RuntimeError, ValueError) as error:  # such as WebP for images above its maximum size
            failed.append(f"{picture_codec.name} is left out: {error}")
            advance(1)
            continue
        note = f"measured on {result.measured_on:,} images, " if result.measured_on < len(pictures) else ""
        note += "bare streams without names" + (f"; {len(rest):,} other files under xz" if rest else "")
        size, name = result.bits // 8 + sum(map(len, kept)), f"{picture_codec.name}, image by image"
        found.append(done(Peer(name, size, result.encode_seconds + seconds, result.decode_seconds, note)))
    return found, failed


def _files(root: Path) -> Iterator[_File]:
    """All files that can be read."""
    for name in scan(root).files:
        try:
            data = read_file(root, name)
        except InputError:
            continue
        yield _File(name.decode(errors="backslashreplace"), data, opened(data))


def _zip(files: list[_File]) -> Peer:
    def write(files: list[_File]) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for file in files:
                archive.writestr(file.name, file.data)
        return out.getvalue()

    def read(data: bytes) -> list[bytes]:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [archive.read(entry) for entry in archive.infolist()]

    (data,), encode_seconds = timed(write, [files])
    (again,), decode_seconds = timed(read, [data])
    require(again == [file.data for file in files], ZIP)
    return Peer(ZIP, len(data), encode_seconds, decode_seconds)
