"""Where the files of an archive come from: a directory, or images that a program has at hand."""

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from acncodec.errors import DamagedError, InputError
from acncodec.images.scan import Listing, read_file, safe_path, scan

SUFFIX = ".png"
CHANNELS = (1, 2, 3, 4)  # of arrays: grey, grey with alpha, RGB, RGBA


class Source(Protocol):
    """Files by raw relative path, each of which can be read again."""

    def listing(self) -> Listing:
        """What there is. Raises InputError."""

    def read(self, name: bytes) -> bytes:
        """A file's bytes. Raises InputError."""

    def holds(self, name: bytes, path: Path) -> bool:
        """Whether a file of it is the one at `path`."""


class Folder:
    """The files of a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def listing(self) -> Listing:
        return scan(self.root)

    def read(self, name: bytes) -> bytes:
        return read_file(self.root, name)

    def holds(self, name: bytes, path: Path) -> bool:
        return path.exists() and (self.root / os.fsdecode(name)).samefile(path)


class Images:
    """Images of a program as PNG files, which are kept in memory.

    `images` is a mapping from paths to images, or an iterable of images or of pairs of an image and its label, as data sets
    of torchvision have them: these are numbered, in folders by label. An image is one of Pillow's, or an array: bool or
    uint8 [H, W], or uint8 [H, W, C] of 1, 2, 3 or 4 channels. Raises InputError.
    """

    def __init__(self, images: Mapping[str, Any] | Iterable[Any]) -> None:
        self._files: dict[bytes, bytes] = {}
        for name, image in _named(images):
            raw = os.fsencode(name if name.endswith(SUFFIX) else name + SUFFIX)
            try:
                safe_path(raw)
            except DamagedError as error:
                raise InputError(f"'{name}' is not a relative path that an image could have") from error
            if raw in self._files:
                raise InputError(f"there are two images of the name '{name}'")
            self._files[raw] = as_png(image, name)

    def __len__(self) -> int:
        return len(self._files)

    def listing(self) -> Listing:
        return Listing(files=sorted(self._files))

    def read(self, name: bytes) -> bytes:
        return self._files[name]

    def holds(self, name: bytes, path: Path) -> bool:
        return False


def _named(images: Mapping[str, Any] | Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Paths and images."""
    if isinstance(images, Mapping):
        yield from images.items()
        return
    items = list(_items(images))
    digits = len(str(max(0, len(items) - 1)))
    classes = getattr(images, "classes", None)
    for number, item in enumerate(items):
        if not isinstance(item, tuple):
            yield f"{number:0{digits}}", item
            continue
        image, label = item
        folder = classes[label] if classes is not None and isinstance(label, int) else label
        yield f"{str(folder).replace('/', '_')}/{number:0{digits}}", image


def _items(images: Any) -> Iterator[Any]:
    """Data sets of torch have a length and items and need not be iterable."""
    if hasattr(images, "__len__") and hasattr(images, "__getitem__"):
        return (images[i] for i in range(len(images)))
    return iter(images)


def as_png(image: Any, name: str) -> bytes:
    """An image as a PNG file with the same samples. Raises InputError for one that PNG cannot hold, and calls it `name`."""
    if isinstance(image, np.ndarray):
        image = _from_array(image, name)
    if not isinstance(image, Image.Image):
        raise InputError(f"the image '{name}' is neither an array nor one of Pillow's images but {type(image).__name__}")
    out = io.BytesIO()
    try:
        image.save(out, "PNG")
    except (OSError, ValueError) as error:
        raise InputError(f"the image '{name}' of mode {image.mode} cannot be kept as PNG: {error}") from error
    return out.getvalue()


def _from_array(values: np.ndarray, name: str) -> Image.Image:
    flat = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    shaped = flat.ndim == 2 or (flat.ndim == 3 and flat.shape[2] in CHANNELS)
    if not shaped or not flat.size or flat.dtype not in (np.uint8, np.bool_) or (flat.ndim == 3 and flat.dtype == np.bool_):
        raise InputError(
            f"the array '{name}' is {values.dtype} {list(values.shape)}; images are bool or uint8 [H, W] or uint8 [H, W, C]"
        )
    return Image.fromarray(np.ascontiguousarray(flat))
