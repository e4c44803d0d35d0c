"""Pictures: image files split into samples, which networks can code, and a form, which is everything else.

A form's first byte gives its kind: 1 a PNG, 2 a raster, each as length-prefixed fields; 3 the form of a picture of palette
indices whose samples have been expanded to colours.
"""

from dataclasses import dataclass

import numpy as np

from acncodec.errors import DamagedError
from acncodec.images.png import SIGNATURE, Png, read_png
from acncodec.images.raster import Layout, Raster, check_samples, damaged, read_raster

MAX_FORM_BYTES = 2**24

_PNG, _RASTER, _EXPANDED = b"\x01", b"\x02", b"\x03"
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


class _Expanded:
    """A file of palette indices that is written from colours: RGB, or RGBA if its palette has four channels."""

    def __init__(self, file: Png | Raster) -> None:
        if file.palette is None:
            raise damaged("it has no palette to expand")
        self._file, self._palette = file, file.palette
        self.exact, self.extension = file.exact, file.extension
        self.layout = Layout.RGB if self._palette.shape[1] == 3 else Layout.RGBA
        # The distinct colours, sorted, each with its first index.
        self._colours, self._first = np.unique(_keys(self._palette), return_index=True)

    def read(self, indices: np.ndarray) -> np.ndarray | None:
        """Indices uint8 [H, W, 1] as colours [H, W, C]; None if an index is not the first one of its colour."""
        check_samples(indices, Layout.INDEX, len(self._palette))
        first = self._first[np.searchsorted(self._colours, _keys(self._palette))]
        samples = np.ascontiguousarray(self._palette[indices[:, :, 0]])
        return samples if (first[indices] == indices).all() else None

    def write(self, samples: np.ndarray) -> bytes:
        """The file with the colours uint8 [H, W, C]; DamagedError if one is not in the palette."""
        check_samples(samples, self.layout, 256)
        keys = _keys(samples)
        places = np.searchsorted(self._colours, keys).clip(max=len(self._colours) - 1)
        if (self._colours[places] != keys).any():
            raise damaged("a colour is not in its palette")
        return self._file.write(self._first[places].astype(np.uint8)[:, :, None])


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
    colour. DamagedError if the picture is not one that `read_picture` returns.
    """
    file = _unpack(picture.form)
    if isinstance(file, _Expanded) or file.layout != Layout.INDEX or len(picture.form) == MAX_FORM_BYTES:
        return None
    samples = _Expanded(file).read(picture.samples)
    return None if samples is None else Picture(_EXPANDED + picture.form, samples)


def _keys(colours: np.ndarray) -> np.ndarray:
    """Colours uint8 [..., 3 or 4] as one number each, uint32 [...]."""
    padded = np.zeros((*colours.shape[:-1], 4), np.uint8)
    padded[..., : colours.shape[-1]] = colours
    return padded.view(np.uint32)[..., 0]


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


def _unpack(form: bytes) -> Png | Raster | _Expanded:
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
    if kind not in (_PNG, _RASTER):
        raise damaged("it is of an unknown kind")
    file = Png.from_fields(fields) if kind == _PNG else Raster.from_fields(fields)
    return _Expanded(file) if expanded else file


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
