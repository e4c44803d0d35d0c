"""Pictures of palette indices whose samples are the palette's colours, and palettes that follow from the colours in use."""

import numpy as np

from acncodec.errors import DamagedError
from acncodec.images.png import Png
from acncodec.images.raster import Layout, Raster, check_samples, damaged

_MAX_COLOURS = 256
_PALETTE, _ALPHA = b"PLTE", b"tRNS"  # types of a PNG's chunks


class Expanded:
    """A file of palette indices that is written from colours: RGB, or RGBA if its palette has four channels."""

    def __init__(self, file: Png | Raster) -> None:
        if file.palette is None:
            raise damaged("it has no palette to expand")
        self._file, self._palette = file, file.palette
        self.exact, self.extension = file.exact, file.extension
        self.layout = _layout(self._palette.shape[1])
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


class Derived:
    """A PNG whose palette has the colours in use and some others, sorted by alpha, red, green and blue.

    Its fields are those of the PNG, but PLTE holds the colours alone that are not in use, with their alpha if there is a
    tRNS chunk, and that one is empty.
    """

    exact, extension = Png.exact, Png.extension

    def __init__(self, fields: list[bytes]) -> None:
        """Raises DamagedError if there is no such PNG."""
        kinds = [field[:4] for field in fields]
        if kinds.count(_PALETTE) != 1 or kinds.count(_ALPHA) > 1 or (_ALPHA in kinds and _ALPHA not in fields):
            raise damaged("its palette cannot be derived")
        channels = 4 if _ALPHA in kinds else 3
        unused = fields[kinds.index(_PALETTE)][4:]
        if len(unused) % channels or len(unused) > channels * _MAX_COLOURS:
            raise damaged("its palette has parts of colours, or too many")
        self._fields, self.layout = fields, _layout(channels)
        self._unused = np.frombuffer(unused, np.uint8).reshape(-1, channels)
        if not np.array_equal(_sorted(self._unused), self._unused):
            raise damaged("its palette is not sorted")
        Png.from_fields(self._filled(np.zeros((1, channels), np.uint8)))  # checks the rest

    @classmethod
    def of(cls, file: Png, samples: np.ndarray) -> list[bytes] | None:
        """The fields for a PNG with a palette whose colours in use are those of `samples`, None if that has another one."""
        assert file.palette is not None
        palette, fields = file.palette, file.fields()
        used = np.isin(_keys(palette), _keys(samples))
        bodies = {_PALETTE: _PALETTE + palette[~used].tobytes(), _ALPHA: _ALPHA}
        found = [bodies.get(field[:4], field) for field in fields]
        try:
            own = cls(found)
        except DamagedError:
            return None
        return found if own._filled(own._palette(samples)) == fields else None

    def write(self, samples: np.ndarray) -> bytes:
        """The file with the colours uint8 [H, W, C]; DamagedError if they are too many."""
        check_samples(samples, self.layout, 256)
        palette = self._palette(samples)
        if len(palette) > _MAX_COLOURS or np.isin(_keys(self._unused), _keys(samples)).any():
            raise damaged("it has more colours than a palette, or uses one that it says it does not use")
        return Expanded(Png.from_fields(self._filled(palette))).write(samples)

    def _palette(self, samples: np.ndarray) -> np.ndarray:
        return _sorted(np.concatenate([self._unused, samples.reshape(-1, samples.shape[-1])]))

    def _filled(self, palette: np.ndarray) -> list[bytes]:
        """The PNG's fields with a palette uint8 [colours, 3 or 4]; full alpha at its end is left out."""
        alpha = palette[:, 3:].tobytes().rstrip(b"\xff")
        bodies = {_PALETTE: _PALETTE + palette[:, :3].tobytes(), _ALPHA: _ALPHA + alpha}
        return [bodies.get(field[:4], field) for field in self._fields]


def _layout(channels: int) -> Layout:
    return Layout.RGB if channels == 3 else Layout.RGBA


def _keys(colours: np.ndarray) -> np.ndarray:
    """Colours uint8 [..., 3 or 4] as one number each, uint32 [...], which are in the order of alpha, red, green, blue."""
    order = [3, 0, 1, 2] if colours.shape[-1] == 4 else [0, 1, 2]
    total = np.zeros(colours.shape[:-1], np.uint32)
    for channel in order:
        total = total << np.uint32(8) | colours[..., channel]
    return total


def _sorted(colours: np.ndarray) -> np.ndarray:
    """The distinct ones of colours uint8 [N, 3 or 4], sorted."""
    return colours[np.unique(_keys(colours), return_index=True)[1]]
