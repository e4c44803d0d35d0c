"""Estimates of how long blocks take to code and to restore on this machine: from single steps, timed on noise.

Nothing that is stored depends on them.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from acncodec.archive.classes import METHOD_CODED, Class
from acncodec.block.elements import Group
from acncodec.block.plan import Way
from acncodec.coding.speed import StepTime, noise_codes, pixel_operations, time_prices, time_step
from acncodec.errors import DamagedError
from acncodec.images.picture import derived, layout, write_picture
from acncodec.images.raster import Layout
from acncodec.nets.model import Model
from acncodec.planning.schedule import Schedule
from acncodec.planning.tour import EFFORTS, Effort, short_path

LONG_OPERATIONS = 1 << 36  # from which timing takes a small share of the work: some seconds of two cores
STEP_OPERATIONS = 1 << 31  # of a step that is timed, unless one row takes more
MOST_LANES = 64  # of such a step: more take as long a pixel
FILES, FILE_SAMPLES = 16, 1 << 16  # files that are timed, and samples of each at most
PLANNED, KICKS = 256, 10  # codes of a tour that is timed, and batches of kicks


@dataclass(frozen=True)
class GroupWork:
    """So many elements of one group of a block, coded in so many lanes."""

    group: Group
    count: int
    lanes: int

    @property
    def steps(self) -> int:
        return len(Schedule(self.count, self.lanes))


@dataclass(frozen=True)
class Estimate:
    """Estimated seconds for coding so many images with the models of these names, and for restoring them.

    `encode_seconds` is None where nothing is encoded.
    """

    images: int
    models: tuple[str, ...]
    encode_seconds: float | None
    decode_seconds: float


class Seconds(NamedTuple):
    """Seconds for coding and for restoring."""

    encode: float
    decode: float


Estimated = Callable[[Estimate], None]  # called with an estimate before long work, and not before short work


def is_long(work: Iterable[GroupWork], models: Sequence[Model], share: float = 1.0) -> bool:
    """Whether `share` times this work, by its operations, is long enough to be worth an estimate: never on CUDA.

    There the first steps of a size are recorded, which takes longer than many of them.
    """
    operations = 0
    for each in work:
        group = each.group
        operations += each.count * group.height * group.width * pixel_operations(models[group.model])
    return share * operations >= LONG_OPERATIONS and all(model.networks.device.type == "cpu" for model in models)


def coding_seconds(work: Sequence[GroupWork], models: Sequence[Model], side_by_side: int = 1) -> Seconds:
    """Seconds for coding elements and for decoding them, so many blocks `side_by_side`.

    One step of each model is timed, of the size that it codes most of; other sizes are taken to need as long a pixel.
    """
    total = Seconds(0.0, 0.0)
    for index in sorted({each.group.model for each in work}):
        own = [each for each in work if each.group.model == index]
        largest = max(own, key=lambda each: each.count * each.group.height * each.group.width)
        encode = _Speed(models[index], largest, 1)
        decode = encode if side_by_side == 1 else _Speed(models[index], largest, side_by_side)
        shapes = {(each.group, size) for each in own for size in set(Schedule(each.count, each.lanes).sizes)}
        total = Seconds(
            total.encode + encode.first.encode * len(shapes) + sum(encode.of(each).encode for each in own),
            total.decode + decode.first.decode * len(shapes) + sum(decode.of(each).decode for each in own),
        )
    return total


class _Speed:
    """Speed of a model in steps of `like`'s size and lanes: a step takes a time of its own, and one for each lane.

    `first` is what the first step of a size takes beyond the others.
    """

    def __init__(self, model: Model, like: GroupWork, side_by_side: int) -> None:
        group = like.group
        lanes = max(2, min(like.lanes, MOST_LANES))
        rows = min(group.height, -(-STEP_OPERATIONS // (lanes * group.width * pixel_operations(model))))
        self._pixels = rows * group.width

        def timed(lanes: int) -> tuple[np.ndarray, np.ndarray]:
            """A step's StepTime, and how much longer the first one took."""
            first, again = (np.array(time_step(model, lanes, rows, group.width)) for _ in range(2))
            return again, np.maximum(first - again, 0)

        def mean(lanes: int) -> tuple[np.ndarray, np.ndarray]:
            with ThreadPoolExecutor(side_by_side) as pool:
                each = np.array(list(pool.map(timed, [lanes] * side_by_side)))
            again, more = each.mean(0) / side_by_side
            return again, more

        one, more = mean(1)
        wide, more_wide = mean(lanes)
        more = np.minimum(more, more_wide)  # the very first call pays for more
        self._lane = np.maximum(wide - one, 0) / (lanes - 1)
        self._step = np.maximum(one - self._lane, 0)
        self.first = Seconds(float(more[:2].sum()), float(more[2:].sum()))

    def of(self, work: GroupWork) -> Seconds:
        """Seconds for a group's elements."""
        size = work.group.height * work.group.width / self._pixels
        times = StepTime(*(self._step * work.steps + self._lane * work.count).tolist())
        return Seconds(times.encode_pixels * size + times.encode_latents, times.decode_pixels * size + times.decode_latents)


def planning_seconds(counts: Iterable[int], model: Model, effort: int) -> float:
    """Seconds for tours of so many of a model's codes each, and for the prices of their latents in every order."""
    codes, wanted = noise_codes(model, PLANNED), EFFORTS[effort]
    start = time.perf_counter()
    short_path(codes, Effort(wanted.neighbours, wanted.rounds, 0))
    plain = time.perf_counter() - start
    batch = 0.0
    if wanted.batches:
        start = time.perf_counter()
        short_path(codes, Effort(wanted.neighbours, wanted.rounds, KICKS))
        batch = max(0.0, time.perf_counter() - start - plain) / KICKS
    each = (plain + len(Way) * time_prices(model, codes)) / PLANNED
    return sum(each * count + batch * min(wanted.batches, count) for count in counts)


def writing_seconds(pictures: Sequence[tuple[Class, int]]) -> float:
    """Seconds for making files of so many pictures of each class, without storing them: timed on a few, of noise."""
    coded = [each for each in pictures if each[0].method == METHOD_CODED]
    if not coded:
        return 0.0
    ends = np.cumsum([count for _, count in coded])
    chosen = np.searchsorted(ends, np.linspace(0, ends[-1], FILES, endpoint=False), side="right")
    found = [_writing(coded[i][0]) for i in chosen]
    return float(np.mean(found) * ends[-1])


def _writing(each: Class) -> float:
    """Seconds for a picture's file; 0 for one that noise does not suit."""
    channels = layout(each.form).channels
    rows = max(1, min(each.height, FILE_SAMPLES // (each.width * channels)))
    plain = layout(each.form) not in (Layout.BILEVEL, Layout.INDEX) and not derived(each.form)
    levels = 256 if plain else 1
    samples = np.random.default_rng(0).integers(0, levels, (rows, each.width, channels), np.uint8)
    start = time.perf_counter()
    try:
        write_picture(each.form, samples)
    except DamagedError:
        return 0.0
    return (time.perf_counter() - start) * each.height / rows
