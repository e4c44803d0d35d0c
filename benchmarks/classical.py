"""What classical lossless codecs make of a set of images: one image a file, one mosaic of all, or one solid stream.

Every figure is the size of what the codec wrote, its own headers included, and every output is decoded and compared
with the input outside the timed region (of the per-image arrangement, a few images).
"""

import bz2
import io
import lzma
import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image

try:
    import imagecodecs
except ImportError:
    imagecodecs = None
try:
    import zstandard
except ImportError:
    zstandard = None

Arrangement = Literal["per image", "mosaic", "solid"]

WEBP_MAX_SIDE = 16383
# At efforts 7 and 9, libjxl 0.11 streams a picture with a longer side piece by piece, which costs 17 % on 8-bit MNIST:
# so there JPEG XL gets mosaics of up to that side, its better case. Effort 10 takes every picture as a whole.
JXL_MAX_SIDES = {7: 2048, 9: 2048, 10: None}
CHECKED_IMAGES = 16


@dataclass(frozen=True)
class Result:
    """Size and encoding time of one codec in one arrangement, for the whole set.

    `bits` and `seconds` (wall clock, one thread) stand for all images; they were measured on `measured_on` of them and
    scaled up where that is fewer. `streams` is the number of files: more than 1 for a mosaic that had to be split.
    """

    codec: str
    arrangement: Arrangement
    bits: int
    seconds: float
    measured_on: int
    streams: int


@dataclass(frozen=True)
class StreamCodec:
    """A codec of bytes."""

    name: str
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]


@dataclass(frozen=True)
class PictureCodec:
    """A codec of one picture, uint8 [H, W]; both functions are told whether it is bilevel (0 and 1) or 8-bit grey."""

    name: str
    encode: Callable[[np.ndarray, bool], bytes]
    decode: Callable[[bytes, bool], np.ndarray]
    max_side: int | None = None
    slow: bool = True


def measure(images: np.ndarray, bilevel: bool, sample: int = 1000) -> list[Result]:
    """Results of every codec at hand on uint8 [N, H, W], which holds 0 and 1 if `bilevel`; see `missing` for the rest.

    The solid streams are the pixels in order, a byte each, or a bit each if `bilevel`. Slow codecs code about `sample`
    single images, evenly spaced: the first ones would not do, as the first half of the MNIST test set is the cleaner.
    """
    stream = (np.packbits(images) if bilevel else images).tobytes()
    results = [_solid(codec, stream, len(images)) for codec in stream_codecs()]
    for codec in picture_codecs():
        results.append(_per_image(codec, images, bilevel, sample if codec.slow else len(images)))
        results.append(_mosaic(codec, images, bilevel))
    return results


def missing() -> list[str]:
    """One sentence for each codec that `measure` leaves out on this machine."""
    notes = []
    if zstandard is None and shutil.which("zstd") is None:
        notes.append("zstd is left out: neither the package zstandard nor the zstd program was found.")
    if imagecodecs is None:
        notes.append("JPEG XL is left out: the package imagecodecs was not found.")
    return notes


def stream_codecs() -> list[StreamCodec]:
    """The codecs of bytes that this machine has."""
    codecs = [
        StreamCodec("xz 9e", partial(lzma.compress, preset=9 | lzma.PRESET_EXTREME), lzma.decompress),
        StreamCodec("bz2 9", partial(bz2.compress, compresslevel=9), bz2.decompress),
    ]
    if zstandard is not None:
        encode, decode = _zstd_package_encode, zstandard.decompress
    elif shutil.which("zstd") is not None:
        encode, decode = _zstd_program_encode, _zstd_program_decode
    else:
        return codecs
    return codecs + [StreamCodec(f"zstd {level}", partial(encode, level), decode) for level in (19, 22)]


def picture_codecs() -> list[PictureCodec]:
    """The codecs of pictures that this machine has."""
    codecs = [
        PictureCodec("PNG", _png_encode, _png_decode, slow=False),
        PictureCodec("WebP", _webp_encode, _webp_decode, max_side=WEBP_MAX_SIDE),
    ]
    if imagecodecs is not None:
        codecs += [
            PictureCodec(f"JPEG XL e{effort}", partial(_jxl_encode, effort), _jxl_decode, max_side)
            for effort, max_side in JXL_MAX_SIDES.items()
        ]
    return codecs


def mosaics(images: np.ndarray, max_side: int | None = None) -> Iterator[np.ndarray]:
    """Pictures, uint8, that hold [N, H, W] or [N, H, W, 3] row by row in near-square grids, zeros after the last.

    All images share one picture unless a side would exceed `max_side` pixels; then as many pictures as that takes.
    """
    height, width, *colours = images.shape[1:]
    per_picture = len(images) if max_side is None else min(max_side // height, max_side // width) ** 2
    for start in range(0, len(images), per_picture):
        part = images[start : start + per_picture]
        columns = math.isqrt(len(part) - 1) + 1
        rows = -(-len(part) // columns)
        grid = np.zeros((rows * columns, *images.shape[1:]), dtype=np.uint8)
        grid[: len(part)] = part
        cells = grid.reshape(rows, columns, *images.shape[1:])
        yield np.ascontiguousarray(cells.swapaxes(1, 2)).reshape(rows * height, columns * width, *colours)


def from_mosaics(pictures: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The images, uint8 of `shape` [N, H, W] or [N, H, W, 3], that `mosaics` put into `pictures`."""
    count, height, width, *colours = shape
    grids = [p.reshape(p.shape[0] // height, height, p.shape[1] // width, width, *colours).swapaxes(1, 2) for p in pictures]
    return np.concatenate([grid.reshape(-1, height, width, *colours) for grid in grids])[:count]


def _solid(codec: StreamCodec, stream: bytes, count: int) -> Result:
    start = time.perf_counter()
    code = codec.encode(stream)
    seconds = time.perf_counter() - start
    _require(codec.decode(code) == stream, codec.name)
    return Result(codec.name, "solid", 8 * len(code), seconds, count, 1)


def _per_image(codec: PictureCodec, images: np.ndarray, bilevel: bool, sample: int) -> Result:
    chosen = images[:: max(1, len(images) // sample)]
    codes, seconds = _encode(codec, chosen, bilevel)
    for code, image in zip(codes[:CHECKED_IMAGES], chosen[:CHECKED_IMAGES], strict=True):
        _require(np.array_equal(codec.decode(code, bilevel), image), codec.name)
    scale = len(images) / len(chosen)
    bits = round(8 * sum(map(len, codes)) * scale)
    return Result(codec.name, "per image", bits, seconds * scale, len(chosen), len(images))


def jpeg_xl_mosaic(images: np.ndarray, bilevel: bool, effort: int = 9) -> Result:
    """All images, uint8 [N, H, W] or [N, H, W, 3], as mosaics under JPEG XL. Raises RuntimeError if it is not installed."""
    for codec in picture_codecs():
        if codec.name == f"JPEG XL e{effort}":
            return _mosaic(codec, images, bilevel)
    raise RuntimeError("JPEG XL is not installed: pip install imagecodecs.")


def _mosaic(codec: PictureCodec, images: np.ndarray, bilevel: bool) -> Result:
    codes, seconds = _encode(codec, list(mosaics(images, codec.max_side)), bilevel)
    decoded = [codec.decode(code, bilevel) for code in codes]
    _require(np.array_equal(from_mosaics(decoded, images.shape), images), codec.name)
    return Result(codec.name, "mosaic", 8 * sum(map(len, codes)), seconds, len(images), len(codes))


def _encode(codec: PictureCodec, pictures: Iterable[np.ndarray], bilevel: bool) -> tuple[list[bytes], float]:
    """One code a picture, and the seconds all of them took."""
    start = time.perf_counter()
    codes = [codec.encode(picture, bilevel) for picture in pictures]
    return codes, time.perf_counter() - start


def _require(same: bool, name: str) -> None:
    if not same:
        raise RuntimeError(f"{name} did not give back the pixels it was given.")


def _zstd_package_encode(level: int, data: bytes) -> bytes:
    return zstandard.compress(data, level)


def _zstd_program_encode(level: int, data: bytes) -> bytes:
    # The size is told, as the package knows it too: it sets the match finder up for input of that length.
    command = ["zstd", "-q", "-c", "--ultra", f"-{level}", "-T1", "--no-check", f"--stream-size={len(data)}"]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def _zstd_program_decode(code: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-d", "-c"], input=code, stdout=subprocess.PIPE, check=True).stdout


def _png_encode(picture: np.ndarray, bilevel: bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture.astype(bool) if bilevel else picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _png_decode(code: bytes, bilevel: bool) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(code))).astype(np.uint8)


def _webp_encode(picture: np.ndarray, bilevel: bool) -> bytes:
    # WebP knows only colour; its palette and its channel transforms take the repetition out again.
    visible = picture * np.uint8(255) if bilevel else picture
    buffer = io.BytesIO()
    Image.fromarray(visible).convert("RGB").save(buffer, "WEBP", lossless=True, quality=100, method=6)
    return buffer.getvalue()


def _webp_decode(code: bytes, bilevel: bool) -> np.ndarray:
    grey = np.asarray(Image.open(io.BytesIO(code)).convert("RGB"))[..., 0]
    return grey // 255 if bilevel else grey


def _jxl_encode(effort: int, picture: np.ndarray, bilevel: bool) -> bytes:
    # The bare codestream: the container would add 40 bytes to every file and carry nothing.
    return imagecodecs.jpegxl_encode(
        picture, effort=effort, lossless=True, bitspersample=1 if bilevel else 8, usecontainer=False, numthreads=1
    )


def _jxl_decode(code: bytes, bilevel: bool) -> np.ndarray:
    return imagecodecs.jpegxl_decode(code)
