"""What a directory holds, sorted out: groups of elements that the networks model, and files to be stored."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from acncodec.archive.header import Group
from acncodec.images.element import Element, read_element
from acncodec.images.scan import read_file, scan

MODES = ("1", "L")  # as the header numbers them
CONTAINERS = ("PNG", "PPM")
SUFFIXES = {("PNG", "1"): ".png", ("PNG", "L"): ".png", ("PPM", "1"): ".pbm", ("PPM", "L"): ".pgm"}
LEVELS = {"1": 2, "L": 256}


@dataclass(frozen=True, order=True)
class Kind:
    """What all elements of a group share; groups are in the order of their kinds."""

    mode: int
    container: int
    height: int
    width: int

    @classmethod
    def of(cls, element: Element) -> "Kind":
        height, width = element.pixels.shape
        return cls(MODES.index(element.mode), CONTAINERS.index(element.container), height, width)

    @classmethod
    def of_group(cls, group: Group) -> "Kind":
        return cls(group.mode, group.container, group.height, group.width)

    @property
    def levels(self) -> int:
        return LEVELS[MODES[self.mode]]

    @property
    def suffix(self) -> str:
        return SUFFIXES[CONTAINERS[self.container], MODES[self.mode]]

    def element(self, pixels: np.ndarray) -> Element:
        """The element of this kind with pixels uint8 [height, width]."""
        return Element(MODES[self.mode], CONTAINERS[self.container], pixels)


@dataclass
class Collection:
    """A directory's regular files, `names` sorted by bytes.

    `groups` maps a kind to its members' indices into `names`; `pixels` holds the same images, uint8 [N, H, W] a kind;
    `stored` lists the indices of all other files; `skipped` lists what is no regular file, with the reason.
    """

    root: Path
    names: list[bytes]
    skipped: list[tuple[bytes, str]]
    groups: dict[Kind, list[int]] = field(default_factory=dict)
    pixels: dict[Kind, np.ndarray] = field(default_factory=dict)
    stored: list[int] = field(default_factory=list)
    source_bytes: int = 0

    @property
    def images(self) -> int:
        return sum(len(members) for members in self.groups.values())

    @property
    def dims(self) -> int:
        """Sub-pixels of all groups."""
        return sum(pixels.size for pixels in self.pixels.values())


def collect(root: Path, target: Path, advance: Callable[[int], None]) -> Collection:
    """Read a directory; `advance` is called with 1 for every file. Raises InputError.

    An archive that is to be overwritten at `target`, within the directory, is left out and reported as skipped.
    """
    listing = scan(root)
    own = [name for name in listing.files if target.exists() and (root / os.fsdecode(name)).samefile(target)]
    names = [name for name in listing.files if name not in own]
    collection = Collection(root, names, listing.skipped + [(name, "the archive to be written") for name in own])
    found: dict[Kind, list[np.ndarray]] = {}
    for index, name in enumerate(names):
        data = read_file(root, name)
        collection.source_bytes += len(data)
        element = read_element(data)
        if element is None:
            collection.stored.append(index)
        else:
            kind = Kind.of(element)
            collection.groups.setdefault(kind, []).append(index)
            found.setdefault(kind, []).append(element.pixels)
        advance(1)
    collection.groups = {kind: collection.groups[kind] for kind in sorted(collection.groups)}
    collection.pixels = {kind: np.stack(found.pop(kind)) for kind in collection.groups}
    return collection
