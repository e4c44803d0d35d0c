"""PNG files as chunks around an image: everything except IDAT is kept verbatim, the rows are recompressed."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from acncodec.images.raster import MAX_PIXELS, Layout, check_samples, damaged

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# By bit depth and colour type. 16-bit samples are not supported.
_LAYOUTS = {
    (1, 0): Layout.BILEVEL,
    (2, 0): Layout.GREY,
    (4, 0): Layout.GREY,
    (8, 0): Layout.GREY,
    (8, 2): Layout.RGB,
    (1, 3): Layout.INDEX,
    (2, 3): Layout.INDEX,
    (4, 3): Layout.INDEX,
    (8, 3): Layout.INDEX,
    (8, 4): Layout.GREY_ALPHA,
    (8, 6): Layout.RGBA,
}
_PALETTE_TYPE = 3
_MAX_COLOURS = 256
_LAST_FILTER = 4
_LEVEL = 6  # of zlib: higher ones take many seconds for a large photograph, to save a few percent of a restored file
# Chunks that would be invalid with recompressed rows: animation frames; Apple's table of offsets into the compressed rows,
# on which its readers rely; signatures over the file's bytes.
_BOUND = frozenset({b"acTL", b"fcTL", b"fdAT", b"iDOT", b"dSIG", b"caBX"})
_FILTER_BYTES = 2**20  # of rows filtered at a time: all candidates of a photograph would take too much memory


# First row and column, and steps between rows and columns, of each pass of interlacing.
_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


class Png:
    """A PNG without size and rows: its depth, colour type, interlacing, other chunks and trailing bytes.

    `before` and `after` are the chunks (type and body) before and after the rows, `tail` the bytes after IEND. Raises
    DamagedError if these cannot form a PNG, or if the rows could not be replaced between them. `palette`: uint8 [colours,
    3], or [colours, 4] if there is transparency; None if the samples are not indices.
    """

    exact = False
    extension = ".png"

    def __init__(
        self, depth: int, colour: int, interlaced: bool, before: list[bytes], after: list[bytes], tail: bytes
    ) -> None:
        if (depth, colour) not in _LAYOUTS:
            raise damaged("its depth or colour type is unknown")
        for chunk in (*before, *after):
            kind = chunk[:4]
            # An unknown critical chunk (first letter upper case) may change the meaning of the rows.
            if len(kind) < 4 or not kind.isalpha() or kind in _BOUND or (kind[:1].isupper() and kind != b"PLTE"):
                raise damaged("it has an unsupported chunk")
        self._depth, self._colour, self._interlaced = depth, colour, interlaced
        self._before, self._after, self._tail = before, after, tail
        self.layout = _LAYOUTS[depth, colour]
        self.palette = self._find_palette() if self.layout == Layout.INDEX else None
        # A palette may have more colours than indices of this depth can address.
        self.levels = 2**depth if self.palette is None else min(2**depth, len(self.palette))

    def _find_palette(self) -> np.ndarray:
        # With two palettes, or one after the rows, programs may differ in which one they use.
        entries = [chunk[4:] for chunk in self._before + self._after if chunk.startswith(b"PLTE")]
        size = len(entries[0]) if len(entries) == 1 else 0
        if any(chunk.startswith(b"PLTE") for chunk in self._after) or size % 3 or not 0 < size <= 3 * _MAX_COLOURS:
            raise damaged("it has no palette, or an invalid one")
        colours = np.frombuffer(entries[0], np.uint8).reshape(-1, 3)
        alphas = [chunk[4:] for chunk in self._before if chunk.startswith(b"tRNS")]
        if not alphas:
            return colours
        alpha = np.frombuffer(alphas[-1][: len(colours)].ljust(len(colours), b"\xff"), np.uint8)
        return np.concatenate([colours, alpha[:, None]], axis=1)

    def fields(self) -> list[bytes]:
        """Fields that determine this PNG, given its size and samples."""
        kind = bytes([self._depth, self._colour, 1] if self._interlaced else [self._depth, self._colour])
        return [kind, *self._before, b"", *self._after, *([b"", self._tail] if self._tail else [])]

    @classmethod
    def from_fields(cls, fields: list[bytes]) -> "Png":
        """Inverse of `fields`; DamagedError if there is no such PNG."""
        if len(fields) < 2 or len(fields[0]) not in (2, 3) or fields[0][2:] not in (b"", b"\1") or b"" not in fields:
            raise damaged("a field is missing")
        rows, tail = fields.index(b""), b""
        before, after = fields[1:rows], fields[rows + 1 :]
        if len(after) > 1 and after[-2] == b"" and after[-1]:
            after, tail = after[:-2], after[-1]
        return cls(fields[0][0], fields[0][1], len(fields[0]) == 3, before, after, tail)

    def write(self, samples: np.ndarray) -> bytes:
        """The PNG with uint8 `samples` [H, W, C]; DamagedError if they are not of its layout and range."""
        check_samples(samples, self.layout, self.levels)
        height, width, _ = samples.shape
        # Filters do not pay for palette indices, nor for bytes of several pixels.
        differences = self._depth == 8 and self.layout != Layout.INDEX
        deflater = zlib.compressobj(_LEVEL, strategy=zlib.Z_FILTERED if differences else zlib.Z_DEFAULT_STRATEGY)
        stream = b""
        for row, column, down, right in _ADAM7 if self._interlaced else _WHOLE:
            part = samples[row::down, column::right]
            if part.size and differences:
                stream += deflater.compress(_filter(part.reshape(len(part), -1), part.shape[2]).data)
            elif part.size:
                stream += deflater.compress(np.pad(_pack(part[:, :, 0], self._depth), ((0, 0), (1, 0))).data)
        stream += deflater.flush()
        header = _header(width, height, self._depth, self._colour, self._interlaced)
        return _join([header, *self._before, b"IDAT" + stream, *self._after]) + self._tail


def read_png(data: bytes) -> tuple[Png, np.ndarray]:
    """The file `data` as chunks and samples, uint8 [H, W, C]; DamagedError unless both can be restored completely."""
    chunks, tail = _split(data)
    kinds = [chunk[:4] for chunk in chunks]
    if chunks[-1:] != [b"IEND"] or kinds[0] != b"IHDR" or len(chunks[0]) != 17 or b"IDAT" not in kinds:
        raise damaged("its file is not a complete PNG")
    width, height, depth, colour, *methods, interlaced = struct.unpack(">IIBBBBB", chunks[0][4:])
    if any(methods) or interlaced > 1 or not 0 < width * height <= MAX_PIXELS:  # compression, filter
        raise damaged("its size or one of its methods is out of range")
    start, count = kinds.index(b"IDAT"), kinds.count(b"IDAT")
    # If the IDATs are not consecutive, one is left, which Png refuses.
    png = Png(depth, colour, interlaced == 1, chunks[1:start], chunks[start + count : -1], tail)
    stream = b"".join(chunk[4:] for chunk in chunks[start : start + count])
    _check_stream(stream, height, width, depth * png.layout.channels, interlaced == 1)
    # Pillow gets only what determines the samples. Declared as palette indices, grey of less than 8 bits is not scaled.
    header = _header(width, height, depth, colour if depth == 8 else _PALETTE_TYPE, interlaced == 1)
    try:
        with Image.open(io.BytesIO(_join([header, b"IDAT" + stream])), formats=("PNG",)) as image:
            samples = np.asarray(image).reshape(height, width, png.layout.channels)
    except Exception as error:  # Pillow raises many types; any of them means: not supported
        raise damaged("its rows cannot be read") from error
    check_samples(samples, png.layout, png.levels)
    return png, samples


def _check_stream(stream: bytes, height: int, width: int, bits: int, interlaced: bool) -> None:
    """Raise DamagedError unless `stream` is one zlib stream, of exactly these rows, each with a known filter.

    `bits` is per pixel. Pillow stops at the last row and does not notice excess data or a wrong checksum.
    """
    passes = []  # rows, and bytes of each
    for row, column, down, right in _ADAM7 if interlaced else _WHOLE:
        count, length = -((row - height) // down), -((column - width) // right)
        if count > 0 and length > 0:
            passes.append((count, 1 + (length * bits + 7) // 8))
    expected = sum(count * length for count, length in passes)
    inflater = zlib.decompressobj()
    try:
        rows = inflater.decompress(stream, expected + 1)
    except zlib.error as error:
        raise damaged("its rows cannot be inflated") from error
    if len(rows) != expected or not inflater.eof or inflater.unused_data:
        raise damaged("its rows do not match its header")
    start = 0
    for count, length in passes:
        if max(rows[start : start + count * length : length]) > _LAST_FILTER:
            raise damaged("its rows do not match its header")
        start += count * length


def _split(data: bytes) -> tuple[list[bytes], bytes]:
    """The chunks of a PNG, type and body, up to IEND, and the rest; DamagedError if one is truncated or a CRC is wrong."""
    chunks: list[bytes] = []
    at = len(SIGNATURE)
    while at < len(data) and chunks[-1:] != [b"IEND"]:
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        chunk = data[at + 4 : end]
        if end + 4 > len(data) or zlib.crc32(chunk) != int.from_bytes(data[end : end + 4], "big"):
            raise damaged("a chunk is truncated or has a wrong checksum")
        chunks.append(chunk)
        at = end + 4
    return chunks, data[at:]


def _join(chunks: list[bytes]) -> bytes:
    """The PNG file of the given chunks and IEND."""
    parts = [SIGNATURE]
    for chunk in (*chunks, b"IEND"):
        parts += [struct.pack(">I", len(chunk) - 4), chunk, struct.pack(">I", zlib.crc32(chunk))]
    return b"".join(parts)


def _header(width: int, height: int, depth: int, colour: int, interlaced: bool) -> bytes:
    return b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)


def _pack(samples: np.ndarray, depth: int) -> np.ndarray:
    """Samples uint8 [H, W] below 2^depth packed into rows of bytes, the leftmost in the highest bits, zero-padded."""
    each = 8 // depth
    height, width = samples.shape
    padded = np.pad(samples, ((0, 0), (0, -width % each))).reshape(height, -1, each)
    shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
    return np.bitwise_or.reduce(padded << shifts, axis=2)


def _filter(rows: np.ndarray, channels: int) -> np.ndarray:
    """Rows uint8 [H, bytes], each prefixed by the number of the filter with the least sum of absolute differences.

    The filters use unfiltered neighbours only, so all rows are filtered at once.
    """
    height, stride = rows.shape
    filtered = np.empty((height, 1 + stride), np.uint8)
    block = max(1, _FILTER_BYTES // stride)
    for start in range(0, height, block):
        here = rows[start : start + block]
        above, left, corner = np.zeros_like(here), np.zeros_like(here), np.zeros_like(here)
        above[1:] = here[:-1]
        if start:
            above[0] = rows[start - 1]
        left[:, channels:], corner[:, channels:] = here[:, :-channels], above[:, :-channels]
        mean = (left & above) + ((left ^ above) >> 1)  # half the sum, without overflow
        guesses = np.stack([np.zeros_like(here), left, above, mean, _paeth(left, above, corner)])
        rest = here - guesses  # modulo 256, as PNG has it
        best = np.minimum(rest, -rest).sum(axis=2, dtype=np.int64).argmin(axis=0)
        filtered[start : start + block, 0] = best
        filtered[start : start + block, 1:] = rest[best, np.arange(len(here))]
    return filtered


def _paeth(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Of three neighbours uint8 the one closest to left + above - corner; in a tie the first of these."""
    from_above, from_left = above.astype(np.int16) - corner, left.astype(np.int16) - corner
    to_left, to_above, to_corner = np.abs(from_above), np.abs(from_left), np.abs(from_above + from_left)
    other = np.where(to_above <= to_corner, above, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, other)
