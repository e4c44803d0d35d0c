"""The images of an archive for programs: as a sequence, and as a map-style torch dataset."""

import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, overload

from PIL import Image
from torch.utils.data import Dataset

from acncodec.archive.classes import METHOD_FILE
from acncodec.codec.directory import Entry
from acncodec.codec.reader import Archive
from acncodec.coding.selftest import device_of


class Images(Sequence[Image.Image]):
    """The images of an archive in the order of their names, decoded when they are asked for. A context manager.

    `names` are their paths. An image's whole block is decoded and the last two are kept, so that going through in order is
    fast and random access costs a block each time. Stored files that Pillow does not take for an image are left out.
    """

    def __init__(
        self, path: str | os.PathLike[str], models: Iterable[str | os.PathLike[str]] = (), device: str = "auto"
    ) -> None:
        """Raises InputError, DamagedError, UnsupportedError."""
        self._archive = Archive(Path(path), models, device_of(device))
        self._entries = [entry for entry in self._archive.entries if self._is_image(entry)]
        self.names = [os.fsdecode(entry.name) for entry in self._entries]

    def _is_image(self, entry: Entry) -> bool:
        if self._archive.kind(entry.content).method != METHOD_FILE:
            return True
        try:
            Image.open(io.BytesIO(self._archive.read(entry.content))).close()
        except Exception:  # Pillow raises many kinds; any of them means: no image
            return False
        return True

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image.Image]: ...
    def __getitem__(self, index: int | slice) -> Image.Image | list[Image.Image]:
        """The image at a place, as Pillow opens its file. Raises DamagedError, ModelMissingError."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        image = Image.open(io.BytesIO(self._archive.read(self._entries[index].content)))
        image.load()
        return image

    def __enter__(self) -> "Images":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._archive.close()


def open_images(
    path: str | os.PathLike[str], models: Iterable[str | os.PathLike[str]] = (), device: str = "auto"
) -> Images:
    """Open an archive's images; `models` are files to look for its models, beside the bundled ones. Raises as `Images`."""
    return Images(path, models, device)


class AcnDataset(Dataset[Any]):
    """A map-style dataset of an archive's images, `transform(image)` if there is one.

    Every worker process opens the archive for itself and keeps two decoded blocks: sample within blocks, or make these
    small.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        transform: Callable[[Image.Image], Any] | None = None,
        models: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        """Raises InputError, DamagedError, UnsupportedError."""
        self._path, self._models, self.transform = Path(path), list(models), transform
        self._images: Images | None = None
        self._process = -1
        self.names = self._opened().names

    def _opened(self) -> Images:
        # A forked worker must not share its parent's file position.
        if self._images is None or self._process != os.getpid():
            self._images, self._process = Images(self._path, self._models), os.getpid()
        return self._images

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Any:
        image = self._opened()[index]
        return image if self.transform is None else self.transform(image)
