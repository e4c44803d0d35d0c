"""Data sets of torchvision by name, for training and for testing."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acncodec.errors import InputError
from acncodec.images.source import MemoryImages, named

PREFIX = "torchvision:"
SPLITS = ("train", "test")


def open_dataset(name: str, root: Path, split: str | None = None, download: bool = False) -> MemoryImages:
    """The images of `torchvision:NAME`, kept below `root`, as `split/class/number`; all of SPLITS unless one is given.

    Raises InputError if there is no such data set, if it is not below `root`, or if it does not give images.
    """
    from torchvision import datasets

    dataset = getattr(datasets, name.removeprefix(PREFIX), None)
    if not name.startswith(PREFIX) or not inspect.isclass(dataset) or not issubclass(dataset, datasets.VisionDataset):
        raise InputError(f"there is no data set '{name}'; give torchvision's name of one, as in {PREFIX}CIFAR10")
    wanted = (split,) if split else SPLITS
    return MemoryImages({path: image for each in wanted for path, image in _pictures(dataset, root, each, download)})


def _pictures(dataset: Any, root: Path, split: str, download: bool) -> Iterator[tuple[str, Any]]:
    """Paths and images of one split."""
    parameters, called = inspect.signature(dataset).parameters, dataset.__name__
    if not {"train", "split"} & set(parameters):
        raise InputError(f"torchvision's {called} has no splits to choose from; compress the directory of its files")
    if "split" not in parameters and split not in SPLITS:
        raise InputError(f"torchvision's {called} has the splits {' and '.join(SPLITS)}, none called '{split}'")
    options: dict[str, Any] = {"train": split == "train"} if "train" in parameters else {"split": split}
    if "download" in parameters:
        options["download"] = download
    try:
        for path, image in named(dataset(root, **options)):
            yield f"{split}/{path}", image
    except (OSError, RuntimeError, ValueError, TypeError, ImportError) as error:
        raise InputError(f"torchvision's {called} cannot be read from '{root}': {error}") from error
