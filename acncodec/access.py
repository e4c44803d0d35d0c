"""Access to an archive's images from Python: a sequence, a map-style torch dataset, and a sharded iterable one."""

import bisect
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, overload

import numpy as np
import torch.distributed
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, default_collate, get_worker_info

from acncodec.archive.remote import location
from acncodec.block.directory import Entry
from acncodec.coding.selftest import device_of
from acncodec.errors import DamagedError, InputError
from acncodec.reading.parts import PartImages, Parts
from acncodec.reading.reader import CACHE_BYTES
from acncodec.reading.shuffle import shuffled

OPEN_PARTS = 2  # open at once, each with its own cache
BUFFER_BLOCKS = 4  # of a shuffled stream, by default
PathLike = str | os.PathLike[str]
Transform = Callable[[Any], Any]  # of a Pillow image or, with `tensors`, of a tensor


class Images(Sequence[Image.Image]):
    """The images of an archive in the order of their names, part by part if there are several. A context manager.

    Images are decoded on access. An image's whole block is decoded; at most `cache` bytes of samples are cached:
    sequential access is fast, random access decodes a block each time unless it is cached. Stored files that Pillow cannot
    open as images are left out. A part is opened on the first access to one of its images.
    """

    def __init__(
        self, path: PathLike, models: Iterable[PathLike] = (), device: str = "cpu", cache: int = CACHE_BYTES
    ) -> None:
        """Raises InputError, DamagedError, UnsupportedError."""
        self._parts = Parts(location(path), models, device_of(device), cache=cache)
        self._open: dict[int, PartImages] = {}
        self._counts: dict[int, int] = {}  # images by block, cached: a part may be closed when a stream needs them again
        self._closed = False
        manifest = self._parts.manifest
        counts = [part.pictures for part in manifest.parts] if manifest else [len(self.names)]
        self._ends = list(itertools.accumulate(counts))

    def _opened(self, number: int) -> PartImages:
        """A part, opened if it is not, closing the oldest if too many are open."""
        self._require_open()
        if number not in self._open:
            while len(self._open) >= OPEN_PARTS:
                self._open.pop(next(iter(self._open))).archive.close()
            self._open[number] = PartImages(self._parts.open(number))
        part, manifest = self._open[number], self._parts.manifest
        if manifest and len(part.entries) != manifest.parts[number].pictures:
            name = self._parts.name(number)
            raise DamagedError(f"the images that Pillow opens in '{name}' differ from those when the archive was made")
        return part

    def _require_open(self) -> None:
        if self._closed:
            raise InputError("the archive has been closed; open it again to read its images")

    @cached_property
    def names(self) -> list[str]:
        """Paths of all images; opens every part."""
        each = (self._opened(number) for number in range(len(self._parts)))
        return [os.fsdecode(entry.name) for part in each for entry in part.entries]

    def __len__(self) -> int:
        return self._ends[-1]

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image.Image]: ...
    def __getitem__(self, index: int | slice) -> Image.Image | list[Image.Image]:
        """The image at an index, as Pillow opens its file. Raises DamagedError, ModelMissingError, InputError."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        part, entry = self._find(index)
        return part.read(entry)

    def tensor(self, index: int) -> Tensor:
        """Intensities of the image at an index, uint8 [C, H, W], without a detour through a PNG file.

        Channels are grey, grey and alpha, RGB or RGBA; palettes are applied, 1-bit pixels are 0 and 255. Raises InputError
        for more than 8 bits a sample, and errors as `images[index]`.
        """
        return _tensor(*self._find(index))

    def _find(self, index: int) -> tuple[PartImages, Entry]:
        """The part and the entry of the image at an index. Raises IndexError."""
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} images")
        number = bisect.bisect_right(self._ends, position)
        part = self._opened(number)
        return part, part.entries[position - (self._ends[number - 1] if number else 0)]

    @cached_property
    def blocks(self) -> list[tuple[int, int]]:
        """All blocks, and sections of stored files: part, and section in it."""
        self._require_open()
        return [(number, section) for number in range(len(self._ends)) for section in range(self._sections(number))]

    def count(self, block: int) -> int:
        """How many images a block has, by its index in `blocks`; nothing is decoded."""
        if block not in self._counts:
            number, section = self.blocks[block]
            self._counts[block] = len(self._opened(number).within(section))
        return self._counts[block]

    def block(self, block: int, tensors: bool = False) -> list[tuple[str, Any]]:
        """Paths and images of a block, by its index in `blocks`, or with `tensors` what `tensor` gives for these images.

        Raises as an access to one of them.
        """
        number, section = self.blocks[block]
        part = self._opened(number)
        read = partial(_tensor, part) if tensors else part.read
        return [(os.fsdecode(entry.name), read(entry)) for entry in part.within(section)]

    def _sections(self, number: int) -> int:
        manifest = self._parts.manifest
        return manifest.parts[number].sections if manifest else self._opened(number).sections

    def __enter__(self) -> "Images":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
        while self._open:
            self._open.popitem()[1].archive.close()
        self._parts.close()


def _tensor(part: PartImages, entry: Entry) -> Tensor:
    """A copy of its own: pixels of coded images are those of the archive's cache."""
    return torch.from_numpy(part.pixels(entry).transpose(2, 0, 1).copy())


def open_images(path: PathLike, models: Iterable[PathLike] = (), device: str = "cpu", cache: int = CACHE_BYTES) -> Images:
    """Open the images of an archive, by its path or a URL that fsspec reads. Raises as `Images`.

    `models` are model files to search beside the bundled ones, `cache` is how many bytes of decoded samples are kept.
    """
    return Images(path, models, device, cache)


class AcnDataset(Dataset[Any]):
    """A map-style dataset of an archive's images, passed through `transform` if given.

    Images are Pillow's, or with `tensors` those of `Images.tensor`: uint8 [C, H, W], in host memory. With `target` items
    are pairs: the image, and what `target` makes of its path, a label for instance. Networks run on `device`. Every worker
    process opens the archive itself and keeps decoded samples of `cache` bytes. For speed use `stream`, or an archive that
    was made for random access.
    """

    def __init__(
        self,
        path: PathLike,
        transform: Transform | None = None,
        models: Iterable[PathLike] = (),
        target: Callable[[str], Any] | None = None,
        cache: int = CACHE_BYTES,
        tensors: bool = False,
        device: str = "cpu",
    ) -> None:
        """Raises InputError, DamagedError, UnsupportedError."""
        self._path, self._models, self._cache = os.fspath(path), list(models), cache
        self.transform, self.target, self.tensors, self.device = transform, target, tensors, device
        self._images: Images | None = None
        self._process = -1
        self._length = len(self.images)

    @property
    def images(self) -> Images:
        """The images, opened by this process."""
        # A forked worker must not share its parent's file position.
        if self._images is None or self._process != os.getpid():
            self._images = Images(self._path, self._models, self.device, self._cache)
            self._process = os.getpid()
        return self._images

    @property
    def names(self) -> list[str]:
        return self.images.names

    def stream(self, shuffle: bool = False, seed: int = 0, buffer: int = BUFFER_BLOCKS) -> "AcnStream":
        """The same images as an iterable dataset, sharded over the workers of all ranks; options as for `AcnStream`."""
        return AcnStream(self, shuffle, seed, buffer)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        image = self.images.tensor(index) if self.tensors else self.images[index]
        return self.item("" if self.target is None else self.names[index], image)

    def item(self, name: str, image: Any) -> Any:
        """The dataset's item for an image with this path."""
        given = image if self.transform is None else self.transform(image)
        return given if self.target is None else (given, self.target(name))


class AcnStream(IterableDataset[Any]):
    """An iterable dataset of an archive's images, each once, in the order of its blocks or shuffled.

    Blocks are distributed over the ranks of torch.distributed, if it is initialised when the stream is made, and within a
    rank over the workers of its DataLoader: no block is decoded twice. Shares differ in size by up to a block.

    With `shuffle` blocks come in an order that depends on `seed` and epoch alone, and images are drawn at random from a
    pool that `buffer` blocks fill, which every worker holds in memory. `state_dict` and `load_state_dict` resume a stream
    where it stands, in the process that iterates over it.
    """

    def __init__(self, dataset: AcnDataset, shuffle: bool = False, seed: int = 0, buffer: int = BUFFER_BLOCKS) -> None:
        """Raises InputError if `buffer` is below 1."""
        if buffer < 1:
            raise InputError("the buffer must hold at least one block")
        self._dataset, self._shuffle, self._seed, self._buffer = dataset, shuffle, seed, buffer
        self._epoch = self._done = self._skipped = 0
        self._rank, self._ranks = 0, 1
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            self._rank, self._ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()

    def set_epoch(self, epoch: int) -> None:
        """Begin another epoch at its start: another order, if images are shuffled."""
        self._epoch, self._skipped, self._done = epoch, 0, 0

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its images this process has given."""
        return {"epoch": self._epoch, "done": self._done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume where `state_dict` was taken, in a stream with the same options, workers and ranks."""
        self._epoch, self._skipped = state["epoch"], state["done"]

    def batches(self, size: int) -> Iterator[Any]:
        """Batches of `size` items, the last one smaller, on the dataset's device; collated as a DataLoader does.

        For a process without workers. Of a dataset with `tensors` and no transform images are uint8 [n, C, H, W]. Raises
        InputError if images of a batch differ in size, and errors as an access to one of them.
        """
        items, device = iter(self), device_of(self._dataset.device)
        while batch := list(itertools.islice(items, size)):
            images = [item if self._dataset.target is None else item[0] for item in batch]
            if len({image.shape for image in images if isinstance(image, Tensor)}) > 1:
                raise InputError("images of different sizes cannot be one batch; pass a transform that makes them equal")
            yield _moved(default_collate(batch), device)

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        mine, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        images = self._dataset.images
        loaded: dict[int, dict[int, tuple[str, Any]]] = {}
        given: Counter[int] = Counter()  # of each block that is not used up
        skipped, self._skipped, self._done = self._skipped, 0, 0
        for block, index in self._order(images, self._rank * workers + mine, self._ranks * workers):
            self._done += 1
            given[block] += 1
            if self._done > skipped:
                if block not in loaded:
                    loaded[block] = dict(enumerate(images.block(block, self._dataset.tensors)))
                yield self._dataset.item(*loaded[block].pop(index))
            if given[block] == images.count(block):
                del given[block]
                loaded.pop(block, None)
        self._done = 0

    def _order(self, images: Images, share: int, shares: int) -> Iterator[tuple[int, int]]:
        """The images of a share, as (block, index in it)."""
        if not self._shuffle:
            blocks = range(share, len(images.blocks), shares)
            return ((block, index) for block in blocks for index in range(images.count(block)))
        order = np.random.default_rng((self._seed, self._epoch)).permutation(len(images.blocks))
        random = np.random.default_rng((self._seed, self._epoch, share))
        mine = order[share::shares].tolist()
        sizes = {block: images.count(block) for block in sorted(mine)}  # part by part, so that each is opened once
        return shuffled(mine, sizes.__getitem__, self._buffer, random)


def _moved(batch: Any, device: torch.device) -> Any:
    """A tensor, or a sequence with tensors among its items, on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    return [_moved(item, device) for item in batch] if isinstance(batch, list | tuple) else batch


__all__ = ["AcnDataset", "AcnStream", "Images", "open_images"]
