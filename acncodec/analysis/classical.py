"""Classical lossless codecs on a set of images: one file per image, one mosaic of all, or one solid stream.

Every size is that of the codec's output, its headers included. Encoding and decoding are timed, from memory to memory on
one thread, and all decoded data is compared with the input outside of the timed regions.
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
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, TypeVar

import numpy as np
from PIL import Image


def _where_installed(module: str) -> Any:
    """The module, or None if it is not installed: codecs of the extra `bench` are optional."""
    return import_module(module) if find_spec(module) else None


imagecodecs = _where_installed("imagecodecs")
zstandard = _where_installed("zstandard")

Arrangement = Literal["per image", "mosaic", "solid"]
Given = TypeVar("Given")
Made = TypeVar("Made")

WEBP_MAX_SIDE = 16383
# At efforts 7 and 9, libjxl 0.11 streams a picture with a longer side piece by piece, which costs 17 % on 8-bit MNIST:
# so JPEG XL gets mosaics of up to that side there, its better case. Effort 10 codes every picture as a whole.
JXL_MAX_SIDES = {7: 2048, 9: 2048, 10: None}
PLAIN_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")  # of Pillow, for pictures given to image codecs


@dataclass(frozen=True)
class Result:
    """Size and times of one codec in one arrangement, for the whole set.

    Bits and seconds (wall clock, one thread) are for all images, measured on `measured_on` of them and scaled up if that
    is fewer. `streams` is the number of files: more than 1 for a mosaic that had to be split.
    """

    codec: str
    arrangement: Arrangement
    bits: int
    encode_seconds: float
    decode_seconds: float
    measured_on: int
    streams: int


@dataclass(frozen=True)
class StreamCodec:
    """A codec of byte strings."""

    name: str
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]


@dataclass(frozen=True)
class PictureCodec:
    """A codec of pictures in PLAIN_MODES; `decode` takes the mode, which not every format stores."""

    name: str
    encode: Callable[[Image.Image], bytes]
    decode: Callable[[bytes, str], Image.Image]
    max_side: int | None = None
    slow: bool = True


def measure(images: np.ndarray, bilevel: bool, sample: int = 1000) -> list[Result]:
    """Results of every available codec on uint8 [N, H, W], which holds 0 and 1 if `bilevel`; see `missing` for others.

    The solid streams are the pixels in order, a byte each, or a bit each if `bilevel`. Slow codecs code about `sample`
    single images, evenly spaced, since the first half of the MNIST test set is cleaner than the second.
    """
    stream, pictures = stream_of(images, bilevel), [picture_of(image, bilevel) for image in images]
    results = [solid(codec, stream, len(images)) for codec in stream_codecs()]
    for codec in picture_codecs():
        results.append(per_image(codec, pictures, sample if codec.slow else len(images)))
        results.append(mosaic(codec, images, bilevel))
    return results


def missing() -> list[str]:
    """One sentence for each codec that `measure` leaves out on this machine."""
    notes: list[str] = []
    if zstandard is None and shutil.which("zstd") is None:
        notes.append("zstd is left out: neither the package zstandard nor the zstd program was found.")
    if imagecodecs is None:
        notes.append("JPEG XL is left out: the package imagecodecs was not found.")
    return notes


def stream_codecs() -> list[StreamCodec]:
    """The codecs of byte strings that are available."""
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
    """The codecs of pictures that are available."""
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

    All images share one picture unless a side would exceed `max_side` pixels; then as many pictures as needed.
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


def stream_of(images: np.ndarray, bilevel: bool) -> bytes:
    """The samples of uint8 [N, H, W] or [N, H, W, C] in order, a byte each, or a bit each if `bilevel`."""
    return (np.packbits(images) if bilevel else images).tobytes()


def picture_of(samples: np.ndarray, bilevel: bool) -> Image.Image:
    """A picture of uint8 [H, W] or [H, W, C], of 0 and 1 if `bilevel`."""
    return Image.fromarray(samples.astype(bool) if bilevel else samples)


def samples_of(picture: Image.Image) -> np.ndarray:
    """Samples given to image codecs: uint8 [H, W] or [H, W, C], palettes and masks expanded to colours."""
    mode = picture.mode
    if picture.has_transparency_data:
        mode = "LA" if mode in ("L", "LA") else "RGBA"
    elif mode == "P":
        mode = "RGB"
    return np.asarray(picture.convert(mode)).astype(np.uint8)


def raw_samples(picture: Image.Image) -> bytes:
    """A picture uncompressed: a line of its mode, size and mask, its palette, its samples, bilevel ones eight a byte."""
    palette = bytes(picture.palette.palette) if picture.palette else b""
    mask = repr(picture.info.get("transparency", ""))
    return f"{picture.mode} {picture.size} {mask}\n".encode() + palette + picture.tobytes()


def solid(codec: StreamCodec, stream: bytes, count: int) -> Result:
    """All of `count` images as one stream of bytes."""
    (code,), encode_seconds = timed(codec.encode, [stream])
    (decoded,), decode_seconds = timed(codec.decode, [code])
    require(decoded == stream, codec.name)
    return Result(codec.name, "solid", 8 * len(code), encode_seconds, decode_seconds, count, 1)


def per_image(codec: PictureCodec, pictures: Sequence[Image.Image], sample: int) -> Result:
    """Every image as a file of its own; measured on about `sample` of them, evenly spaced."""
    chosen = pictures[:: max(1, len(pictures) // sample)]
    codes, encode_seconds, decode_seconds = _in_and_out(codec, chosen)
    scale = len(pictures) / len(chosen)
    bits = round(8 * sum(map(len, codes)) * scale)
    encode_seconds, decode_seconds = encode_seconds * scale, decode_seconds * scale
    return Result(codec.name, "per image", bits, encode_seconds, decode_seconds, len(chosen), len(pictures))


def mosaic(codec: PictureCodec, images: np.ndarray, bilevel: bool) -> Result:
    """All images, uint8 [N, H, W] or [N, H, W, C], as mosaics, in as few pictures as the codec handles well."""
    pictures = [picture_of(picture, bilevel) for picture in mosaics(images, codec.max_side)]
    codes, encode_seconds, decode_seconds = _in_and_out(codec, pictures)
    bits = 8 * sum(map(len, codes))
    return Result(codec.name, "mosaic", bits, encode_seconds, decode_seconds, len(images), len(codes))


def jpeg_xl_mosaic(images: np.ndarray, bilevel: bool, effort: int = 9) -> Result:
    """All images, uint8 [N, H, W] or [N, H, W, 3], as mosaics under JPEG XL. Raises RuntimeError if it is not installed."""
    return mosaic(picture_codec(f"JPEG XL e{effort}"), images, bilevel)


def picture_codec(name: str) -> PictureCodec:
    """The codec of pictures with this name. Raises RuntimeError if this machine lacks it."""
    for codec in picture_codecs():
        if codec.name == name:
            return codec
    raise RuntimeError(f"{name} is not installed: pip install imagecodecs.")


def check(codec: PictureCodec, picture: Image.Image, code: bytes) -> None:
    """Raise RuntimeError unless `code` decodes to `picture`."""
    _require_same(codec, picture, codec.decode(code, picture.mode))


def _in_and_out(codec: PictureCodec, pictures: Sequence[Image.Image]) -> tuple[list[bytes], float, float]:
    """One code per picture, and the seconds for encoding and for decoding all of them."""
    codes, encode_seconds = timed(codec.encode, pictures)
    modes = [picture.mode for picture in pictures]
    decoded, decode_seconds = timed(lambda coded: codec.decode(*coded), list(zip(codes, modes, strict=True)))
    for picture, found in zip(pictures, decoded, strict=True):
        _require_same(codec, picture, found)
    return codes, encode_seconds, decode_seconds


def timed(work: Callable[[Given], Made], things: Iterable[Given]) -> tuple[list[Made], float]:
    """The result of `work` for each thing, and the seconds for all of them."""
    start = time.perf_counter()
    made = [work(thing) for thing in things]
    return made, time.perf_counter() - start


def _require_same(codec: PictureCodec, picture: Image.Image, found: Image.Image) -> None:
    a, b = picture.convert("RGBA"), found.convert("RGBA")
    require(a.size == b.size and a.tobytes() == b.tobytes(), codec.name)


def require(same: bool, name: str) -> None:
    """Raise RuntimeError unless a codec gave back what it was given."""
    if not same:
        raise RuntimeError(f"{name} did not give back the pixels it was given.")


def _zstd_package_encode(level: int, data: bytes) -> bytes:
    return zstandard.compress(data, level)


def _zstd_program_encode(level: int, data: bytes) -> bytes:
    # Pass the size, which the package knows too: it tunes the match finder to the input's length.
    command = ["zstd", "-q", "-c", "--ultra", f"-{level}", "-T1", "--no-check", f"--stream-size={len(data)}"]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def _zstd_program_decode(code: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-d", "-c"], input=code, stdout=subprocess.PIPE, check=True).stdout


def _png_encode(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _png_decode(code: bytes, mode: str) -> Image.Image:
    picture = Image.open(io.BytesIO(code))
    picture.load()
    return picture


def _webp_encode(picture: Image.Image) -> bytes:
    # WebP stores only colour; its palette and channel transforms remove the redundancy.
    buffer = io.BytesIO()
    colours = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    colours.save(buffer, "WEBP", lossless=True, quality=100, method=6, exact=True)
    return buffer.getvalue()


def _webp_decode(code: bytes, mode: str) -> Image.Image:
    picture = Image.open(io.BytesIO(code))
    picture.load()
    return picture  # always in colour, even if it was grey: the decoder's own output


def _jxl_encode(effort: int, picture: Image.Image) -> bytes:
    # The bare codestream: the container would add 40 bytes to every file and no information.
    bits = 1 if picture.mode == "1" else 8
    code = imagecodecs.jpegxl_encode(
        samples_of(picture), effort=effort, lossless=True, bitspersample=bits, usecontainer=False, numthreads=1
    )
    return bytes(code)


def _jxl_decode(code: bytes, mode: str) -> Image.Image:
    samples = imagecodecs.jpegxl_decode(code, numthreads=1)
    return picture_of(samples[..., 0] if samples.shape[-1] == 1 and samples.ndim == 3 else samples, mode == "1")
