"""Pictures: image files split into samples, which networks can code, and a form, which is everything else.

A form's first byte gives its kind: 1 a PNG, 2 a raster, each as length-prefixed fields; 3 the form of a picture of palette
indices whose samples have been expanded to colours; 4 the same of a PNG whose palette follows from the colours in use.
"""

from dataclasses import dataclass

import numpy as np

from acncodec.errors import DamagedError
from acncodec.images.palette import Derived, Expanded
from acncodec.images.png import SIGNATURE, Png, read_png
from acncodec.images.raster import Layout, Raster, check_samples, damaged, read_raster

MAX_FORM_BYTES = 2**24

_PNG, _RASTER, _EXPANDED, _DERIVED = b"\x01", b"\x02", b"\x03", b"\x04"
_MAX_FIELDS = 2**16  # a form full of empty ones would take many times its size in memory
_LENGTH_BYTES = 4  # 7 bits each: enough for MAX_FORM_BYTES


@dataclass(frozen=True, eq=False)
class Picture:
    """An image file split into form and samples.

    `form`: everything about the file except its samples and, for a PNG, its size; equal forms have equal bytes.
    `samples`: uint8 [H, W, C], C contiguous; those of a file that has been read may be read-only.
    """

    form: bytes
    samples: np.ndarray


def read_picture(data: bytes) -> Picture | None:
    """The file `data` split, or None if it is not an image that can be restored; such a file is stored unchanged.

    Never raises: None for whatever is damaged, unknown or beyond MAX_PIXELS or MAX_FORM_BYTES.
    """
    try:
        if data.startswith(SIGNATURE):
            png, samples = read_png(data)
            return Picture(_pack(_PNG, png.fields()), samples)
        raster, samples = read_raster(data)
        return Picture(_pack(_RASTER, raster.fields()), samples)
    except DamagedError:
        return None


def write_picture(form: bytes, samples: np.ndarray) -> bytes:
    """The file of a form and samples uint8 [H, W, C]; DamagedError if the form is invalid or they do not match it."""
    return _unpack(form).write(samples)


def pixels(form: bytes, samples: np.ndarray) -> np.ndarray:
    """Intensities from 0 to 255 of a picture's samples: uint8 [H, W, C], grey, grey and alpha, RGB or RGBA; may be a view.

    Palettes are applied; a colour that a PNG declares transparent is not. DamagedError for an invalid form or samples that
    do not match it.
    """
    file = _unpack(form)
    palette = None if isinstance(file, Expanded | Derived) else file.palette
    levels = file.levels if isinstance(file, Png) else 2 if file.layout == Layout.BILEVEL else 256
    check_samples(samples, file.layout, levels if palette is None else min(levels, len(palette)))
    if palette is not None:
        return palette[samples[:, :, 0]]
    return samples if levels == 256 else samples * np.uint8(255 // (levels - 1))


def layout(form: bytes) -> Layout:
    """The layout of the samples; DamagedError for an invalid form."""
    return _unpack(form).layout


def suffix(form: bytes) -> str:
    """The usual suffix of such a file, e.g. '.png'; DamagedError for an invalid form."""
    return _unpack(form).extension


def exact(form: bytes) -> bool:
    """True if the file is restored byte for byte, False if its rows are recompressed; DamagedError for an invalid form.

    A recompressed file has the same pixels and the same chunks except IDAT.
    """
    return _unpack(form).exact


def expand(picture: Picture) -> Picture | None:
    """The same picture with its palette indices as colours, RGB, or RGBA if its palette has transparency.

    None if the samples are not indices, or if the colours do not determine the indices: one in use is not the first of its
    colour. The form is without the palette if that follows from the colours. DamagedError if the picture is not one that
    `read_picture` returns.
    """
    file = _unpack(picture.form)
    if isinstance(file, Expanded | Derived) or file.layout != Layout.INDEX or len(picture.form) == MAX_FORM_BYTES:
        return None
    samples = Expanded(file).read(picture.samples)
    if samples is None:
        return None
    derived = Derived.of(file, samples) if isinstance(file, Png) else None
    return Picture(_EXPANDED + picture.form if derived is None else _pack(_DERIVED, derived), samples)


def derived(form: bytes) -> bool:
    """Whether the palette follows from the samples."""
    return form.startswith(_DERIVED)


def _pack(kind: bytes, fields: list[bytes]) -> bytes:
    """A kind and its fields, each prefixed by its length as an unsigned LEB128; DamagedError if that is too long."""
    if len(fields) > _MAX_FIELDS or sum(map(len, fields)) > MAX_FORM_BYTES:
        raise damaged("it is too long")
    form = bytearray(kind)
    for field in fields:
        length = len(field)
        while length >= 0x80:
            form.append(length & 0x7F | 0x80)
            length >>= 7
        form.append(length)
        form += field
    if len(form) > MAX_FORM_BYTES:
        raise damaged("it is too long")
    return bytes(form)


def _unpack(form: bytes) -> Png | Raster | Expanded | Derived:
    """The file that a form describes; DamagedError if the form is invalid."""
    if len(form) > MAX_FORM_BYTES:
        raise damaged("it is too long")
    expanded = form.startswith(_EXPANDED)
    at = 2 if expanded else 1
    kind = form[at - 1 : at]
    fields: list[bytes] = []
    while at < len(form):
        at, length = _length(form, at)
        if at + length > len(form) or len(fields) == _MAX_FIELDS:
            raise damaged("a field is truncated, or there are too many")
        fields.append(form[at : at + length])
        at += length
    if kind == _DERIVED and not expanded:
        return Derived(fields)
    if kind not in (_PNG, _RASTER):
        raise damaged("it is of an unknown kind")
    file = Png.from_fields(fields) if kind == _PNG else Raster.from_fields(fields)
    return Expanded(file) if expanded else file


def _length(form: bytes, at: int) -> tuple[int, int]:
    """The position after the LEB128 at `at`, and its value; DamagedError if it is truncated, padded or too long."""
    value = 0
    for index, byte in enumerate(form[at : at + _LENGTH_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index > 0:
                break
            return at + index + 1, value
    raise damaged("a length is wrong")
