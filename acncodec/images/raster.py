"""Rasters: the possible layouts of samples, and the files that store them uncompressed (PNM, BMP, TIFF).

Such a file is a prefix, the rows and a suffix. Prefix and suffix are kept verbatim, so that the file is restored byte for
byte; the position and meaning of the rows are parsed from them each time.
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from acncodec.errors import DamagedError

MAX_PIXELS = 2**26

_PNM = re.compile(
    rb"P(?:(?P<bits>4)|(?P<grey>5)|6)GAP(?P<width>\d{1,10})GAP(?P<height>\d{1,10})(?(bits)|GAP255)\s".replace(
        b"GAP", rb"(?:\s|#[^\r\n]*[\r\n])++"
    )
)
_BMP_HEADERS = (40, 52, 56, 108, 124)  # sizes of the headers that begin as BITMAPINFOHEADER does
_BMP_COLOURS = 256
_GREY_RAMP = np.repeat(np.arange(_BMP_COLOURS, dtype=np.uint8)[:, None], 3, axis=1)
_TIFF_MAGIC = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_TYPES = {3: "u2", 4: "u4"}


class Layout(IntEnum):
    """What the samples of an image mean: 0 is black, or transparent; an INDEX is an index into the file's palette."""

    BILEVEL = 0  # 0 or 1
    GREY = 1
    GREY_ALPHA = 2
    RGB = 3
    RGBA = 4
    INDEX = 5

    @property
    def channels(self) -> int:
        """Samples per pixel."""
        return (1, 1, 2, 3, 4, 1)[self]


class _Tag(IntEnum):
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    CHANNELS = 277
    ROWS_PER_STRIP = 278
    STRIP_SIZES = 279
    PLANAR = 284
    SAMPLE_FORMAT = 339


_TIFF_DEFAULTS = {tag: [1] for tag in _Tag} | {_Tag.ROWS_PER_STRIP: [2**32 - 1]}
_TIFF_NEEDED = {_Tag.WIDTH, _Tag.HEIGHT, _Tag.BITS, _Tag.PHOTOMETRIC, _Tag.STRIP_OFFSETS, _Tag.STRIP_SIZES}
_TIFF_SINGLE = set(_Tag) - {_Tag.BITS, _Tag.STRIP_OFFSETS, _Tag.STRIP_SIZES, _Tag.SAMPLE_FORMAT}
_TIFF_PLAIN = (_Tag.COMPRESSION, _Tag.FILL_ORDER, _Tag.PLANAR, _Tag.SAMPLE_FORMAT)
# Photometric interpretation (1: black is zero, 2: RGB) and samples per pixel.
_TIFF_LAYOUTS = {(1, 1): Layout.GREY, (1, 2): Layout.GREY_ALPHA, (2, 3): Layout.RGB, (2, 4): Layout.RGBA}


def damaged(what: str) -> DamagedError:
    """The error for an invalid form; a file of a directory for which it is raised is stored unchanged."""
    return DamagedError(f"The archive's description of an image is damaged: {what}.")


def check_samples(samples: np.ndarray, layout: Layout, levels: int) -> None:
    """Raise DamagedError unless `samples` are uint8 [H, W, layout.channels] below `levels`, 1 to MAX_PIXELS pixels."""
    if samples.dtype != np.uint8 or samples.ndim != 3 or samples.shape[2] != layout.channels:
        raise damaged("its samples have the wrong shape or type")
    if not 0 < samples.shape[0] * samples.shape[1] <= MAX_PIXELS or samples.max() >= levels:
        raise damaged("its size or one of its samples is out of range")


@dataclass(frozen=True)
class _View:
    """A file without the `hole` bytes between `prefix` and `suffix`."""

    prefix: bytes
    hole: int = 0
    suffix: bytes = b""

    def read(self, at: int, count: int) -> bytes:
        """`count` bytes from the file's position `at`; DamagedError unless all lie in the prefix or all in the suffix."""
        if at + count <= len(self.prefix):
            return self.prefix[at : at + count]
        at -= len(self.prefix) + self.hole
        if at < 0 or at + count > len(self.suffix):
            raise damaged("a position lies outside its file")
        return self.suffix[at : at + count]

    def unpack(self, format: str, at: int) -> Sequence[int]:
        """The integers of a struct at the file's position `at`."""
        return struct.unpack(format, self.read(at, struct.calcsize(format)))


@dataclass(frozen=True, eq=False)
class _Grid:
    """Where a file's rows lie, from byte `offset`, `stride` bytes each, and the order of samples in them."""

    extension: str
    layout: Layout
    height: int
    width: int
    offset: int
    stride: int
    upside_down: bool = False  # the bottom row first
    blue_first: bool = False
    palette: np.ndarray | None = None  # uint8 [colours, 3]

    def unpack(self, body: bytes) -> np.ndarray:
        """The samples of the rows `body`, uint8 [H, W, C]; padding is ignored."""
        rows = np.frombuffer(body, np.uint8).reshape(self.height, self.stride)
        if self.layout == Layout.BILEVEL:
            return 1 - np.unpackbits(rows, axis=1, count=self.width)[:, :, None]  # in a PBM 1 is black
        rows = rows[:: -1 if self.upside_down else 1, : self.width * self.layout.channels]
        samples = rows.reshape(self.height, self.width, self.layout.channels)
        return np.ascontiguousarray(samples[:, :, :: -1 if self.blue_first else 1])

    def pack(self, samples: np.ndarray) -> bytes:
        """The rows of uint8 `samples` [H, W, C], zero-padded."""
        if self.layout == Layout.BILEVEL:
            return np.packbits(1 - samples[:, :, 0], axis=1).tobytes()
        rows = np.zeros((self.height, self.stride), np.uint8)
        samples = samples[:: -1 if self.upside_down else 1, :, :: -1 if self.blue_first else 1]
        rows[:, : self.width * self.layout.channels] = samples.reshape(self.height, -1)
        return rows.tobytes()


class Raster:
    """An uncompressed image file without its rows; DamagedError unless the rest describes exactly those rows."""

    exact = True

    def __init__(self, prefix: bytes, hole: int, suffix: bytes) -> None:
        self._prefix, self._hole, self._suffix = prefix, hole, suffix
        self._grid = _find_grid(_View(prefix, hole, suffix))
        if (self._grid.offset, self._grid.height * self._grid.stride) != (len(prefix), hole):
            raise damaged("its rows are at another position")
        self.layout, self.palette, self.extension = self._grid.layout, self._grid.palette, self._grid.extension

    def fields(self) -> list[bytes]:
        """Prefix, size of the rows (uint32) and suffix."""
        return [self._prefix, struct.pack("<I", self._hole), self._suffix]

    @classmethod
    def from_fields(cls, fields: list[bytes]) -> "Raster":
        """Inverse of `fields`; DamagedError if there is no such file."""
        if len(fields) != 3 or len(fields[1]) != 4:
            raise damaged("a field is missing")
        prefix, hole, suffix = fields
        return cls(prefix, struct.unpack("<I", hole)[0], suffix)

    def write(self, samples: np.ndarray) -> bytes:
        """The file with uint8 `samples` [H, W, C]; DamagedError unless they have its size, layout and range."""
        levels = 256 if self.palette is None else len(self.palette)
        check_samples(samples, self.layout, 2 if self.layout == Layout.BILEVEL else levels)
        if samples.shape[:2] != (self._grid.height, self._grid.width):
            raise damaged("its header gives another size")
        return self._prefix + self._grid.pack(samples) + self._suffix


def read_raster(data: bytes) -> tuple[Raster, np.ndarray]:
    """The file `data` as Raster and samples, uint8 [H, W, C]; DamagedError unless these restore it byte for byte."""
    grid = _find_grid(_View(data))
    end = grid.offset + grid.height * grid.stride
    if end > len(data):
        raise damaged("its file is truncated")
    raster = Raster(data[: grid.offset], end - grid.offset, data[end:])
    samples = grid.unpack(data[grid.offset : end])
    if raster.write(samples) != data:
        raise damaged("its padding is not zero")
    return raster, samples


def _find_grid(view: _View) -> _Grid:
    """The pixel grid of a file of any known type, not empty and within MAX_PIXELS; DamagedError if there is none."""
    if header := _PNM.match(view.prefix):
        grid = _pnm(header)
    elif view.prefix.startswith(b"BM"):
        grid = _bmp(view)
    elif order := _TIFF_MAGIC.get(view.prefix[:4]):
        grid = _tiff(view, order)
    else:
        raise damaged("its file type is unknown")
    _check_size(grid.height, grid.width)
    return grid


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise damaged("its size is out of range")


def _pnm(header: re.Match[bytes]) -> _Grid:
    width, height = int(header["width"]), int(header["height"])
    if header["bits"]:
        return _Grid(".pbm", Layout.BILEVEL, height, width, header.end(), -(-width // 8))
    if header["grey"]:
        return _Grid(".pgm", Layout.GREY, height, width, header.end(), width)
    return _Grid(".ppm", Layout.RGB, height, width, header.end(), 3 * width)


def _bmp(view: _View) -> _Grid:
    offset, header, width, height, planes, bits, compression = view.unpack("<IIiiHHI", 10)
    (used,) = view.unpack("<I", 46)
    colours = (used or _BMP_COLOURS) if bits == 8 else 0
    if header not in _BMP_HEADERS or (planes, compression) != (1, 0) or bits not in (8, 24) or colours > _BMP_COLOURS:
        raise damaged("its file is a BMP of an unsupported kind")
    table = np.frombuffer(view.read(14 + header, 4 * colours), np.uint8).reshape(-1, 4)
    layout, palette = (Layout.RGB, None) if bits == 24 else (Layout.INDEX, np.ascontiguousarray(table[:, 2::-1]))
    if np.array_equal(table[:, :3], _GREY_RAMP):
        layout, palette = Layout.GREY, None
    stride = -(-width * bits // 32) * 4
    return _Grid(".bmp", layout, abs(height), width, offset, stride, height > 0, layout == Layout.RGB, palette)


def _tiff(view: _View, order: str) -> _Grid:
    tags = _tiff_tags(view, order)
    if _TIFF_NEEDED - tags.keys() or any(len(tags[tag]) != 1 for tag in _TIFF_SINGLE & tags.keys()):
        raise damaged("its file is a TIFF with invalid tags")
    tags = _TIFF_DEFAULTS | tags
    layout = _TIFF_LAYOUTS.get((tags[_Tag.PHOTOMETRIC][0], tags[_Tag.CHANNELS][0]))
    if layout is None or tags[_Tag.BITS] != [8] * layout.channels or any(set(tags[tag]) != {1} for tag in _TIFF_PLAIN):
        raise damaged("its file is a TIFF of an unsupported kind")
    height, width, offsets = tags[_Tag.HEIGHT][0], tags[_Tag.WIDTH][0], tags[_Tag.STRIP_OFFSETS]
    _check_size(height, width)
    stride = width * layout.channels
    step = min(max(tags[_Tag.ROWS_PER_STRIP][0], 1), height) * stride
    strips = -(-height * stride // step)
    if len(offsets) != strips or offsets != list(range(offsets[0], offsets[0] + strips * step, step)):
        raise damaged("its strips are not contiguous")
    if tags[_Tag.STRIP_SIZES] != [step] * (strips - 1) + [height * stride - (strips - 1) * step]:
        raise damaged("its strips have wrong lengths")
    return _Grid(".tif", layout, height, width, offsets[0], stride)


def _tiff_tags(view: _View, order: str) -> dict[_Tag, list[int]]:
    """The values of the relevant tags that the file has; DamagedError if it holds more than one image."""
    (start,) = view.unpack(order + "I", 4)
    (count,) = view.unpack(order + "H", start)
    if view.read(start + 2 + 12 * count, 4) != bytes(4):
        raise damaged("its file holds several images")
    tags = {}
    for tag, kind, number, value in struct.iter_unpack(order + "HHI4s", view.read(start + 2, 12 * count)):
        if tag not in _TIFF_DEFAULTS:
            continue
        if kind not in _TIFF_TYPES:
            raise damaged("its file is a TIFF with invalid tags")
        dtype = np.dtype(order + _TIFF_TYPES[kind])
        size = number * dtype.itemsize
        raw = value[:size] if size <= 4 else view.read(struct.unpack(order + "I", value)[0], size)
        tags[_Tag(tag)] = np.frombuffer(raw, dtype).tolist()
    return tags
