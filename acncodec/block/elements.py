"""From the pictures of a block to groups of elements, and back.

A picture's channels form planes: colours together, alpha with them or by itself. A plane is one element, or cut into
tiles that are. Elements of one size under one model make a group, in the order of their pictures.
"""

from dataclasses import dataclass

import numpy as np

from acncodec.archive.classes import Class
from acncodec.errors import DamagedError
from acncodec.images.picture import layout
from acncodec.images.raster import Layout
from acncodec.images.tiles import tiles
from acncodec.nets.architecture import Architecture

OPAQUE = 255
PLANES = {  # ways to group a layout's channels into planes, at most one per plane count
    Layout.BILEVEL: ((1,),),
    Layout.GREY: ((1,),),
    Layout.GREY_ALPHA: ((1, 1),),
    Layout.RGB: ((3,),),
    Layout.RGBA: ((3, 1), (4,)),
    Layout.INDEX: ((1,),),
}


@dataclass(frozen=True, order=True)
class Group:
    """What elements that are coded together share; a block's groups come in the order of these."""

    model: int
    height: int
    width: int


def channels(form: bytes) -> int:
    """Channels of a picture's samples. Raises DamagedError for an invalid form."""
    return sum(PLANES[layout(form)][0])


def planes(form: bytes, count: int) -> tuple[int, ...]:
    """Channels of each of so many planes of a picture. Raises DamagedError if its form is invalid or has no such way."""
    for way in PLANES[layout(form)]:
        if len(way) == count:
            return way
    raise DamagedError("the archive codes a picture in another number of planes than it can have")


def fits(arch: Architecture, form: bytes, colours: int) -> bool:
    """Whether a model of this architecture can code planes of so many channels of pictures of this form.

    Three colours may be coded by a model of four that looks for copies, with full alpha.
    """
    if (colours, arch.colours) == (3, 4) and arch.candidates:
        return True
    return (arch.levels, arch.colours) == (2 if layout(form) == Layout.BILEVEL else 256, colours)


def fill(samples: np.ndarray, arch: Architecture) -> np.ndarray:
    """Samples uint8 [..., C] with as many channels as the model has colours: full alpha is added where it lacks."""
    return samples if samples.shape[-1] == arch.colours else opaque(samples)


def opaque(samples: np.ndarray) -> np.ndarray:
    """Samples uint8 [..., 3 or 4] with alpha, which is full where there was none."""
    if samples.shape[-1] == 4:
        return samples
    return np.concatenate([samples, np.full_like(samples[..., :1], OPAQUE)], -1)


def cells(each: Class) -> list[tuple[Group, slice, slice, slice]]:
    """The elements of every picture of a class: group, rows, columns and channels of each, in coding order."""
    found = []
    start = 0
    for coding, width in zip(each.planes, planes(each.form, len(each.planes)), strict=True):
        for rows, columns in tiles(each.height, each.width, coding.tile):
            group = Group(coding.model, rows.stop - rows.start, columns.stop - columns.start)
            found.append((group, rows, columns, slice(start, start + width)))
        start += width
    return found


def cut(
    classes: list[Class], sequence: np.ndarray, pictures: list[np.ndarray], architectures: list[Architecture]
) -> tuple[dict[Group, np.ndarray], dict[Group, np.ndarray]]:
    """Samples uint8 [H, W, C] of every picture, whose class is classes[sequence[i]], as elements by group.

    `architectures` are those of all models. Returns the elements uint8 [N, h, w, c] and the indices of their pictures,
    int64 [N].
    """
    found: dict[Group, list[np.ndarray]] = {}
    owners: dict[Group, list[int]] = {}
    layouts = [cells(each) for each in classes]
    for index, (number, samples) in enumerate(zip(sequence.tolist(), pictures, strict=True)):
        for group, rows, columns, part in layouts[number]:
            found.setdefault(group, []).append(fill(samples[rows, columns, part], architectures[group.model]))
            owners.setdefault(group, []).append(index)
    groups = sorted(found)
    return {group: np.stack(found.pop(group)) for group in groups}, {group: np.array(owners[group]) for group in groups}


def count(classes: list[Class], counts: list[int]) -> dict[Group, int]:
    """Elements of each group that so many pictures of each class make, groups in order."""
    found: dict[Group, int] = {}
    for each, pictures in zip(classes, counts, strict=True):
        for group, *_ in cells(each):
            found[group] = found.get(group, 0) + pictures
    return {group: found[group] for group in sorted(found)}


def join(classes: list[Class], sequence: np.ndarray, elements: dict[Group, np.ndarray]) -> list[np.ndarray]:
    """Undo `cut`."""
    layouts = [cells(each) for each in classes]
    taken = dict.fromkeys(elements, 0)
    pictures = []
    for number in sequence.tolist():
        each = classes[number]
        samples = np.empty((each.height, each.width, channels(each.form)), dtype=np.uint8)
        for group, rows, columns, part in layouts[number]:
            samples[rows, columns, part] = elements[group][taken[group]][..., : part.stop - part.start]
            taken[group] += 1
        pictures.append(samples)
    return pictures


def check(each: Class, architectures: list[Architecture]) -> None:
    """Raise DamagedError unless the class's planes fit its form and its models."""
    for coding, width in zip(each.planes, planes(each.form, len(each.planes)), strict=True):
        if not fits(architectures[coding.model], each.form, width):
            raise DamagedError("the archive names a model that does not fit its images")
