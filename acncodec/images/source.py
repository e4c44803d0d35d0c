"""Where the files of an archive come from: a directory, or images in memory."""

import io
import operator
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from acncodec.errors import DamagedError, InputError
from acncodec.images.scan import Listing, collisions, read_file, safe_path, scan

SUFFIX = ".png"
CHANNELS = (1, 2, 3, 4)  # of arrays: grey, grey with alpha, RGB, RGBA


@runtime_checkable
class Source(Protocol):
    """Files by raw relative path, each of which can be read again."""

    def listing(self) -> Listing:
        """All files. Raises InputError."""

    def read(self, name: bytes) -> bytes:
        """A file's bytes. Raises InputError."""

    def holds(self, name: bytes, path: Path) -> bool:
        """Whether the file `name` is the one at `path`."""


class Folder:
    """The files of a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def listing(self) -> Listing:
        return scan(self.root)

    def read(self, name: bytes) -> bytes:
        return read_file(self.root, name)

    def holds(self, name: bytes, path: Path) -> bool:
        try:
            return path.exists() and (self.root / os.fsdecode(name)).samefile(path)
        except OSError:  # it is gone; `read` will report that
            return False


class Files:
    """Files in memory, by path, and empty directories."""

    def __init__(self, files: dict[bytes, bytes], empty: list[bytes] | None = None) -> None:
        self._files, self._empty = files, empty or []

    def __len__(self) -> int:
        return len(self._files)

    def listing(self) -> Listing:
        return Listing(files=sorted(self._files), empty=sorted(self._empty))

    def read(self, name: bytes) -> bytes:
        return self._files[name]

    def holds(self, name: bytes, path: Path) -> bool:
        return False


class MemoryImages(Files):
    """Images in memory, encoded as PNG files.

    `images` is a mapping from paths to images, or an iterable of images or of (image, label) pairs, as in data sets of
    torchvision: these are numbered, in folders by label. An image is a Pillow image or an array: bool or uint8 [H, W], or
    uint8 [H, W, C] of 1, 2, 3 or 4 channels. Raises InputError.
    """

    def __init__(self, images: Mapping[str, Any] | Iterable[Any]) -> None:
        files: dict[bytes, bytes] = {}
        for key, image in named(images):
            try:
                name = os.fspath(key)
                raw = os.fsencode(name if name.endswith(SUFFIX) else name + SUFFIX)
                safe_path(raw)
            except (DamagedError, TypeError, UnicodeError) as error:
                raise InputError(f"{key!r} is not a valid relative path of an image") from error
            if raw in files:
                raise InputError(f"there are two images with the name '{name}'")
            files[raw] = as_png(image, name)
        if pairs := collisions(sorted(files)).examples:
            first, second = (os.fsdecode(each) for each in pairs[0])
            raise InputError(f"'{first}' and '{second}' cannot both be files in one directory on every file system")
        super().__init__(files)


def named(images: Mapping[str, Any] | Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Paths and images; those of a data set are numbered, in folders by label. Raises InputError."""
    if isinstance(images, Mapping):
        yield from images.items()
        return
    try:
        items = list(_items(images))
    except TypeError as error:
        raise InputError(f"images are a path, a mapping or an iterable, not {type(images).__name__}") from error
    digits = len(str(max(0, len(items) - 1)))
    for number, item in enumerate(items):
        if not isinstance(item, tuple):
            yield f"{number:0{digits}}", item
            continue
        if len(item) != 2:
            raise InputError(f"item {number} is neither an image nor a pair of an image and its label")
        yield f"{_folder_of_label(images, item[1])}/{number:0{digits}}", item[0]


def _folder_of_label(data: Any, label: Any) -> str:
    """The folder for images with this label: for an integer the name in the data's classes if any, else its text."""
    classes = getattr(data, "classes", None)
    try:
        label = operator.index(label)
    except TypeError:
        return str(label).replace("/", "_")
    return str(label if classes is None else classes[label]).replace("/", "_")


def _items(images: Any) -> Iterator[Any]:
    """Data sets of torch have a length and items but need not be iterable."""
    if hasattr(images, "__len__") and hasattr(images, "__getitem__"):
        return (images[i] for i in range(len(images)))
    return iter(images)


def as_png(image: Any, name: str) -> bytes:
    """An image as a PNG file with the same samples. Raises InputError, naming `name`, for one that PNG cannot hold."""
    if isinstance(image, np.ndarray):
        image = _from_array(image, name)
    if not isinstance(image, Image.Image):
        raise InputError(f"the image '{name}' is neither an array nor a Pillow image but {type(image).__name__}")
    out = io.BytesIO()
    try:
        image.save(out, "PNG")
    except (OSError, ValueError) as error:
        raise InputError(f"the image '{name}' of mode {image.mode} cannot be stored as PNG: {error}") from error
    return out.getvalue()


def _from_array(values: np.ndarray, name: str) -> Image.Image:
    flat = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    shaped = flat.ndim == 2 or (flat.ndim == 3 and flat.shape[2] in CHANNELS)
    if not shaped or not flat.size or flat.dtype not in (np.uint8, np.bool_) or (flat.ndim == 3 and flat.dtype == np.bool_):
        raise InputError(
            f"the array '{name}' is {values.dtype} {list(values.shape)}; images are bool or uint8 [H, W] or uint8 [H, W, C]"
        )
    return Image.fromarray(np.ascontiguousarray(flat))
