"""Plain black-and-white and grey images: the files of which pixels, mode and container tell everything.

A file becomes an `Element` only if writing the element gives an image file that opens with the same mode,
size, pixels, format and `info`. Instead of saving each file again to find out, the bytes are held against
the grammar of files that carry nothing else: that Pillow finds no `info` does not show it, since Pillow says
nothing of unknown chunks, comments, trailing bytes, or the 2 bits of a 2-bit grey.
"""

import io
import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

MAX_PIXELS = 2**26

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PBM = re.compile(rb"P4\s+(\d{1,10})\s+(\d{1,10})\s")
_PGM = re.compile(rb"P5\s+(\d{1,10})\s+(\d{1,10})\s+255\s")


@dataclass(frozen=True, eq=False)
class Element:
    """An image that the networks model.

    `mode`: '1' or 'L', as Pillow names them. `container`: 'PNG' or 'PPM' (PBM for mode '1', PGM for 'L').
    `pixels`: uint8 [H, W], both at least 1; 0 (black) or 1 (white) for mode '1', 0..255 for 'L'.
    """

    mode: str
    container: str
    pixels: np.ndarray


def read_element(data: bytes) -> Element | None:
    """The image that the file `data` holds, or None if it is no image that can be modelled and given back.

    Never raises: whatever is damaged, unknown or carries more than pixels is None, to be stored as it is.
    """
    if data.startswith(_SIGNATURE):
        container, plain = "PNG", _plain_png(data)
    else:
        container, plain = "PPM", _plain_ppm(data)
    if plain is None:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=(container,)) as image:
            if (image.mode, image.size) != plain or image.info:
                return None
            # Through 'L', whose white is 255: NumPy's view of mode '1' has bools that are not 0 or 1 inside.
            pixels = np.asarray(image.convert("L"))
    except Exception:  # Pillow raises many kinds; any of them means: not ours
        return None
    return Element(plain[0], container, pixels >> 7 if plain[0] == "1" else pixels)


def write_element(element: Element) -> bytes:
    """An image file that reads back as `element`; ValueError if mode, container or pixels are not as documented."""
    pixels = element.pixels
    if element.container not in ("PNG", "PPM") or pixels.dtype != np.uint8 or pixels.ndim != 2 or not pixels.size:
        raise ValueError("not an element: container, dtype or shape is wrong")
    size = (pixels.shape[1], pixels.shape[0])
    if element.mode == "L":
        image = Image.frombytes("L", size, pixels.tobytes())
    elif element.mode == "1" and pixels.max() <= 1:
        image = Image.frombytes("1", size, np.packbits(pixels, axis=1).tobytes())
    else:
        raise ValueError("not an element: mode or pixel values are wrong")
    file = io.BytesIO()
    image.save(file, element.container)
    return file.getvalue()


def _plain_png(data: bytes) -> tuple[str, tuple[int, int]] | None:
    """Mode and (width, height) if the PNG is just IHDR, IDAT..., IEND, all of it pixels; else None."""
    chunks = _chunks(data)
    if chunks is None or len(chunks) < 3 or any(kind != b"IDAT" for kind, _ in chunks[1:-1]):
        return None
    (first, header), (last, nothing) = chunks[0], chunks[-1]
    if (first, len(header), last, nothing) != (b"IHDR", 13, b"IEND", b""):
        return None
    width, height, depth, *others = struct.unpack(">IIBBBBB", header)
    # Colour type, compression, filter, interlace. An interlaced file has info {'interlace': 1}, which is lost.
    if others != [0, 0, 0, 0] or depth not in (1, 8) or not 0 < width * height <= MAX_PIXELS:
        return None
    # Pillow stops at the last row: what the compressed data holds beyond it, or a wrong checksum, it does not see.
    expected = height * (1 + (width * depth + 7) // 8)
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(b"".join(body for _, body in chunks[1:-1]), expected + 1)
    except zlib.error:
        return None
    if len(raw) != expected or not inflater.eof or inflater.unused_data:
        return None
    return ("1" if depth == 1 else "L"), (width, height)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]] | None:
    """The (type, body) chunks after a PNG's signature; None if they do not fill the file or a CRC is wrong."""
    chunks = []
    at = len(_SIGNATURE)
    while at < len(data):
        if at + 12 > len(data):
            return None
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(data) or zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return None
        chunks.append((data[at + 4 : at + 8], data[at + 8 : end]))
        at = end + 4
    return chunks


def _plain_ppm(data: bytes) -> tuple[str, tuple[int, int]] | None:
    """Mode and (width, height) if `data` is one binary PBM, or PGM of maximum 255, without comment; else None."""
    mode, depth, header = ("1", 1, _PBM.match(data)) if data.startswith(b"P4") else ("L", 8, _PGM.match(data))
    if header is None:
        return None
    width, height = int(header[1]), int(header[2])
    body = height * ((width * depth + 7) // 8)
    if not 0 < width * height <= MAX_PIXELS or len(data) != header.end() + body:
        return None
    return mode, (width, height)
