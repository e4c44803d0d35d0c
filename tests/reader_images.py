"""Image files of the second reader (`reader.py`): forms, and files written from form and samples (section 3)."""

import re
import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image
from reader_coders import Fields, check

BILEVEL, GREY, GREY_ALPHA, RGB, RGBA, INDEX = range(6)
CHANNELS = (1, 1, 2, 3, 4, 1)
# First row and column, steps between rows and columns, of the passes over an interlaced PNG.
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


class Form:
    """Everything of an image file but its samples."""

    def __init__(self, data: bytes) -> None:
        self.expanded, self.derived = data[0] in (3, 4), data[0] == 4
        self.kind = 1 if self.derived else data[1 if self.expanded else 0]
        fields = Fields(data[2 if data[0] == 3 else 1 :])
        self.fields = []
        while fields.at < len(fields.data):
            self.fields.append(fields.blob())
        if self.derived:
            self.stated = self.fields
            channels = 4 if b"tRNS" in self.fields else 3
            (entries,) = (field[4:] for field in self.fields if field[:4] == b"PLTE")
            self.unused = np.frombuffer(entries, np.uint8).reshape(-1, channels)
            self._derive(np.zeros((0, channels), np.uint8))
        self.palette = np.zeros((0, 3), np.uint8)
        self.suffix = ".png"
        check(self.kind in (1, 2), "a form is of an unknown kind")
        if self.kind == 1:
            self._png()
        else:
            self._raster()
        self.layout = (RGB if self.palette.shape[1] == 3 else RGBA) if self.expanded else self.own

    def _derive(self, colours: np.ndarray) -> None:
        """The fields with a palette of these colours and those not in use."""
        channels = self.unused.shape[1]
        found = {tuple(colour) for colour in np.concatenate([self.unused, colours]).tolist()} or {(0,) * channels}
        palette = sorted(found, key=lambda colour: (*colour[3:], *colour[:3]))
        plain = b"".join(bytes(colour[:3]) for colour in palette)
        alpha = b"".join(bytes(colour[3:]) for colour in palette).rstrip(b"\xff")
        bodies = {b"PLTE": b"PLTE" + plain, b"tRNS": b"tRNS" + alpha}
        self.fields = [bodies.get(field[:4], field) for field in self.stated]

    def _png(self) -> None:
        self.depth, colour, *interlaced = self.fields[0]
        check(interlaced in ([], [1]), "a PNG's rows are in an unknown order")
        self.colour, self.passes = colour, ADAM7 if interlaced else ((0, 0, 1, 1),)
        rows = self.fields.index(b"")
        self.before, self.after, self.tail = self.fields[1:rows], self.fields[rows + 1 :], b""
        if b"" in self.after:
            *self.after, empty, self.tail = self.after
            check(not empty and self.tail and b"" not in self.after, "a PNG has an empty chunk")
        self.own = (
            BILEVEL if (self.depth, colour) == (1, 0) else {0: GREY, 2: RGB, 3: INDEX, 4: GREY_ALPHA, 6: RGBA}[colour]
        )
        if self.own == INDEX:
            (entries,) = (chunk[4:] for chunk in self.before if chunk[:4] == b"PLTE")
            self.palette = np.frombuffer(entries, np.uint8).reshape(-1, 3)
            alphas = [chunk[4:] for chunk in self.before if chunk[:4] == b"tRNS"]
            if alphas:
                alpha = alphas[-1][: len(self.palette)].ljust(len(self.palette), b"\xff")
                self.palette = np.column_stack([self.palette, np.frombuffer(alpha, np.uint8)])

    def _raster(self) -> None:
        prefix, hole, suffix = self.fields
        whole = prefix + bytes(int.from_bytes(hole, "little")) + suffix
        self.flip = self.blue_first = False
        if prefix[:1] == b"P":
            kind = prefix[1:2]
            self.suffix, self.own = {b"4": (".pbm", BILEVEL), b"5": (".pgm", GREY), b"6": (".ppm", RGB)}[kind]
            text = re.sub(rb"#[^\r\n]*[\r\n]", b" ", prefix)
            self.width, self.height = map(int, text[2:].split()[:2])
            self.stride = (self.width + 7) // 8 if self.own == BILEVEL else self.width * CHANNELS[self.own]
        elif prefix[:2] == b"BM":
            self.suffix = ".bmp"
            header, self.width, height, _, bits = struct.unpack_from("<IiiHH", whole, 14)
            (used,) = struct.unpack_from("<I", whole, 46)
            self.height, self.flip, self.stride = abs(height), height > 0, -(-self.width * bits // 32) * 4
            self.own = RGB if bits == 24 else INDEX
            self.blue_first = bits == 24
            if bits == 8:
                table = np.frombuffer(whole, np.uint8, 4 * (used or 256), 14 + header).reshape(-1, 4)
                self.palette = np.ascontiguousarray(table[:, 2::-1])
                if np.array_equal(self.palette, np.repeat(np.arange(256)[:, None], 3, 1)):
                    self.own = GREY
        else:
            self.suffix = ".tif"
            tags = self._tiff(whole)
            self.width, self.height = tags[256], tags[257]
            self.own = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGBA}[tags.get(277, 1)]
            self.stride = self.width * CHANNELS[self.own]

    @staticmethod
    def _tiff(whole: bytes) -> dict[int, int]:
        """The values of those tags that have one of 2 or 4 bytes."""
        order = "<" if whole[:2] == b"II" else ">"
        (start,) = struct.unpack_from(order + "I", whole, 4)
        (count,) = struct.unpack_from(order + "H", whole, start)
        tags = {}
        for i in range(count):
            tag, kind, number = struct.unpack_from(order + "HHI", whole, start + 2 + 12 * i)
            if number == 1 and kind in (3, 4):
                (tags[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), whole, start + 10 + 12 * i)
        return tags

    def write(self, samples: np.ndarray) -> bytes:
        """The file with samples uint8 [H, W, C]."""
        if self.derived:
            self._derive(samples.reshape(-1, samples.shape[2]))
            self._png()
        if self.expanded:
            first = {tuple(colour): i for i, colour in reversed(list(enumerate(self.palette.tolist())))}
            indices = [first[tuple(colour)] for colour in samples.reshape(-1, samples.shape[2]).tolist()]
            samples = np.array(indices, np.uint8).reshape(*samples.shape[:2], 1)
        return self._write_png(samples) if self.kind == 1 else self._write_raster(samples)

    def _write_png(self, samples: np.ndarray) -> bytes:
        height, width, channels = samples.shape
        filtered = self.depth == 8 and self.own != INDEX
        body = b""
        for top, left, down, right in self.passes:
            part = samples[top::down, left::right]
            if not part.size:
                continue
            rows = part.reshape(len(part), -1)
            if self.depth < 8:
                bits = np.unpackbits(part[:, :, :1], axis=2)[:, :, 8 - self.depth :]
                rows = np.packbits(bits.reshape(len(part), -1), axis=1)
            body += filter_rows(rows, channels) if filtered else b"".join(b"\0" + row.tobytes() for row in rows)
        deflate = zlib.compressobj(6, strategy=zlib.Z_FILTERED if filtered else zlib.Z_DEFAULT_STRATEGY)
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, self.depth, self.colour, 0, 0, len(self.passes) > 1)
        chunks = [header, *self.before, b"IDAT" + deflate.compress(body) + deflate.flush(), *self.after, b"IEND"]
        parts = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + self.tail

    def _write_raster(self, samples: np.ndarray) -> bytes:
        check(samples.shape[:2] == (self.height, self.width), "a file is of another size than its samples")
        samples = samples[:: -1 if self.flip else 1, :, :: -1 if self.blue_first else 1]
        rows = np.packbits(1 - samples[:, :, 0], 1) if self.own == BILEVEL else samples.reshape(self.height, -1)
        body = np.pad(rows, ((0, 0), (0, self.stride - rows.shape[1]))).tobytes()
        check(len(body) == int.from_bytes(self.fields[1], "little"), "a file's rows are of another length")
        return self.fields[0] + body + self.fields[2]


def filter_rows(rows: np.ndarray, channels: int) -> bytes:
    """PNG filtering; each row gets the filter with the least sum of absolute differences."""
    out, above = bytearray(), np.zeros(rows.shape[1], np.int64)
    for row in rows.astype(np.int64):
        left = np.concatenate([np.zeros(channels, np.int64), row[:-channels]])
        corner = np.concatenate([np.zeros(channels, np.int64), above[:-channels]])
        guess = left + above - corner
        order = np.stack([left, above, corner])
        paeth = np.take_along_axis(order, np.abs(order - guess).argmin(0)[None], 0)[0]
        rests = [(row - each) % 256 for each in (0 * row, left, above, (left + above) // 2, paeth)]
        best = min(range(5), key=lambda i: int(np.minimum(rests[i], 256 - rests[i]).sum()))
        out += bytes([best]) + rests[best].astype(np.uint8).tobytes()
        above = row
    return bytes(out)


def read_webp(data: bytes, channels: int) -> np.ndarray:
    with Image.open(BytesIO(data), formats=("WEBP",)) as image:
        samples = np.asarray(image.convert("RGBA" if channels in (2, 4) else "RGB"))
    return samples if channels > 2 else samples[..., :: 3 if channels == 2 else 1][..., :channels]
