"""Copy candidates for the next pixel: from earlier places with the same neighbourhood, and from the parent image.

For each pixel CANDIDATES pixels are given to the decoder network, as uint8 [CANDIDATES, colours + 1]: their colours, and a
strength from 0 (none) to 13. For each colour but the first there are also COMPLETIONS: the values that came last after the
same first colours of a pixel. All come from complete images of a block, those of earlier steps and groups, and from earlier
pixels of the same image, so that Bob has them too. The numpy version here defines them; the compiled one is the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from acncodec.kernel.candidates import CompiledImages, CompiledMemory
from acncodec.kernel.compiled import native
from acncodec.kernel.copies import CONTEXTS, PREFIXES, SHARED
from acncodec.nets.architecture import CANDIDATES, OFFERS
from acncodec.planning.schedule import Schedule

ABOVE, LEFT, RIGHT = 3, 3, 2  # border of zeros around an image in memory
# Neighbours as (row, column) from the pixel: contexts are the first 6, 4, 2 and 1 of them.
NEAR = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2), (-2, -1), (-2, 1), (0, -3), (-3, 0))
LENGTHS = (6, 4, 2, 1)
FACTORS = np.array(
    [
        *(0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9),
        *(0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB),
    ],
    np.uint64,
)
RECENT = 16  # distinct pixels of an image that are remembered
LONGER = 5  # spots that are judged by how many neighbours agree
LEAST_BITS, MOST_BITS, LEAST_OWN_BITS, MOST_OWN_BITS = 8, 22, 4, 14  # of tables' numbers of slots


class NumpyMemory:
    """Pixels of a block's images, as uint32 [size], and where contexts were last, as (index, stride)."""

    def __init__(self, size: int, bits: int) -> None:
        self.pixels = np.zeros(size, np.uint32)
        self.tables = np.zeros((SHARED + PREFIXES, 1 << bits, 2), np.int64)
        self.bits, self.complete = bits, 0

    def begin(self, complete: int) -> None:
        """Images up to this index are complete, those of the next step come after it."""
        self.complete = complete


class NumpyImages:
    """The images of a step, n of them, of one size; methods as those of `CompiledImages`."""

    def __init__(
        self, memory: NumpyMemory, first: np.ndarray, parents: np.ndarray, stride: int, bits: int, colours: int
    ) -> None:
        """Their first pixels are at `first` int64 [n] of the memory, those of their parents at `parents`, 0 for none."""
        n = len(first)
        self._memory, self._first, self._parents, self._stride = memory, first, parents, stride
        self._bits, self._colours = bits, colours
        self._tables = np.zeros((n, CONTEXTS + PREFIXES, 1 << bits, 2), np.int64)
        self._next, self.best = np.zeros((n, 2), np.int64), np.zeros((n, 2), np.int64)
        self._contexts = np.zeros((CONTEXTS, n), np.int64)
        self._recent: list[list[int]] = [[] for _ in range(n)]
        self._lanes = np.arange(n)

    def find(self, row: int, column: int) -> np.ndarray:
        memory, lanes = self._memory, self._lanes
        at = self._first + row * self._stride + column
        near = np.stack([memory.pixels[at + y * self._stride + x] for y, x in NEAR])
        self._contexts = np.stack([_hashes(near[:length]) for length in LENGTHS])
        spots = [self._next]
        for k, hashes in enumerate(self._contexts):
            spots.append(self._tables[lanes, k, hashes >> 32 - self._bits])
            if k < SHARED:
                spots.append(memory.tables[k, hashes >> 32 - memory.bits])
        equal = np.stack([np.where(spot[:, 0] > 0, self._agreement(spot, near), -1) for spot in spots[:LONGER]])
        best = equal.argmax(0)  # the first of the largest
        self.best = np.where(equal.max(0)[:, None] >= 0, np.stack(spots)[best, lanes], 0)
        there = np.stack([self._parents + at - self._first, np.full(len(at), self._stride)], 1)
        agreement = np.where(self._parents > 0, 1 + self._agreement(there * (self._parents > 0)[:, None], near), 0)
        first = np.where(self.best[:, 0] > 0, memory.pixels[self.best[:, 0]], 0)
        second = np.where(self._parents > 0, memory.pixels[there[:, 0] * (self._parents > 0)], 0)
        found = np.zeros((len(at), CANDIDATES, self._colours + 1), np.uint8)
        found[:, 0, -1], found[:, 1, -1] = 1 + equal.max(0), agreement
        found[:, 0, :-1], found[:, 1, :-1] = self._bytes(first), self._bytes(second)
        offered = [(spot[:, 0], memory.pixels[spot[:, 0]]) for spot in spots]
        for lane in lanes.tolist():
            known = [*near[:4, lane].tolist(), int(first[lane]), int(second[lane])]
            others = [(k, int(pixels[lane])) for k, (places, pixels) in enumerate(offered) if places[lane]]
            others += list(enumerate(self._recent[lane], len(offered)))
            written = 2
            for k, pixel in others:
                if written < CANDIDATES and pixel not in known:
                    known.append(pixel)
                    found[lane, written, :-1] = self._bytes(np.array(pixel))
                    found[lane, written, -1] = 1 if k < LONGER else min(k - 3, len(NEAR))
                    written += 1
        return found

    def completions(self, prefixes: np.ndarray, known: int) -> np.ndarray:
        memory, hashes = self._memory, _hashes(prefixes[None])
        own = self._tables[self._lanes, CONTEXTS + known - 1, hashes >> 32 - self._bits, 0]
        places = np.stack([own, memory.tables[SHARED + known - 1, hashes >> 32 - memory.bits, 0]], 1)
        pixels = memory.pixels[places]
        found = (places > 0) & (_prefixes(pixels, known) == prefixes[:, None])
        return np.stack([(pixels >> 8 * known & 255) * found, found], 1).astype(np.uint8)

    def learn(self, row: int, column: int, last: bool) -> None:
        memory, best = self._memory, self.best
        at = self._first + row * self._stride + column
        pixels = memory.pixels[at]
        goes_on = (best[:, 0] > 0) & (memory.pixels[best[:, 0]] == pixels) & (not last)
        goes_on &= (best[:, 0] >= self._first) | (best[:, 0] + 1 < memory.complete)
        self._next = np.where(goes_on[:, None], best + np.array([1, 0]), 0)
        for k, hashes in enumerate(self._contexts):
            self._tables[self._lanes, k, hashes >> 32 - self._bits] = np.stack([at, np.full(len(at), self._stride)], 1)
        for known in range(1, self._colours):
            slots = _hashes(_prefixes(pixels, known)[None]) >> 32 - self._bits
            self._tables[self._lanes, CONTEXTS + known - 1, slots] = np.stack([at, np.full(len(at), self._stride)], 1)
        for recent, pixel in zip(self._recent, pixels.tolist(), strict=True):
            if pixel in recent:
                recent.remove(pixel)
            recent.insert(0, pixel)
            del recent[RECENT:]

    def whole(self, height: int, width: int) -> np.ndarray:
        found = np.zeros((len(self._first), height, width, OFFERS, self._colours + 1), np.uint8)
        for row in range(height):
            for column in range(width):
                now = found[:, row, column]
                now[:, :CANDIDATES] = self.find(row, column)
                pixels = self._memory.pixels[self._first + row * self._stride + column]
                for known in range(1, self._colours):
                    write_completions(now, self.completions(_prefixes(pixels, known), known), known)
                self.learn(row, column, column == width - 1)
        return found

    def complete(self, height: int, width: int) -> None:
        memory, stride = self._memory, self._stride
        at = self._first[:, None, None] + np.arange(height)[:, None] * stride + np.arange(width)
        at = at.reshape(-1)
        near = np.stack([memory.pixels[at + y * stride + x] for y, x in NEAR[: LENGTHS[0]]])
        keys = [near[: LENGTHS[k]] for k in range(SHARED)]
        keys += [_prefixes(memory.pixels[at], known)[None] for known in range(1, self._colours)]
        for table, key in zip(memory.tables, keys, strict=False):
            slots = _hashes(key) >> 32 - memory.bits
            latest = len(slots) - 1 - np.unique(slots[::-1], return_index=True)[1]  # the last one wins
            table[slots[latest]] = np.stack([at[latest], np.full(len(latest), stride)], 1)

    def _agreement(self, spots: np.ndarray, near: np.ndarray) -> np.ndarray:
        places = np.where(spots[:, 0] > 0, spots[:, 0], ABOVE * spots[:, 1].max(initial=0) + LEFT)
        pixels = self._memory.pixels
        return np.stack([pixels[places + y * spots[:, 1] + x] == own for (y, x), own in zip(NEAR, near, strict=True)]).sum(
            0
        )

    def _bytes(self, pixels: np.ndarray) -> np.ndarray:
        return (pixels[..., None].astype(np.int64) >> 8 * np.arange(self._colours)) & 255


def _hashes(near: np.ndarray) -> np.ndarray:
    """32 bits of a hash of pixels uint32 [length, n]: int64 [n]."""
    total = ((near.astype(np.uint64) + np.uint64(1)) * FACTORS[: len(near), None]).sum(0, dtype=np.uint64)
    return (((total ^ total >> np.uint64(32)) * FACTORS[0]) >> np.uint64(32)).astype(np.int64)


def _prefixes(pixels: np.ndarray, known: int) -> np.ndarray:
    """The first colours of pixels uint32 [...], the others 0."""
    return pixels & np.uint32((1 << 8 * known) - 1)


def write_completions(offers: np.ndarray, found: np.ndarray, colour: int) -> None:
    """Enter completions uint8 [n, 2, COMPLETIONS] of a colour into offers uint8 [n, OFFERS, colours + 1]."""
    offers[:, CANDIDATES:, colour] = found[:, 0]
    offers[:, CANDIDATES:, -1] |= found[:, 1] << colour


class History:
    """All images of a block of one number of colours, in the order in which they are coded: groups, steps, lanes."""

    def __init__(self, sizes: Sequence[tuple[int, int, int]], colours: int, compiled: bool = native is not None) -> None:
        """For groups of (count, height, width) images."""
        size = sum(count * _padded(height, width) for count, height, width in sizes)
        pixels = sum(count * height * width for count, height, width in sizes)
        bits = max(LEAST_BITS, min(MOST_BITS, pixels.bit_length()))
        self._colours, self._compiled = colours, compiled
        self._memory: CompiledMemory | NumpyMemory = (CompiledMemory if compiled else NumpyMemory)(size + RIGHT, bits)
        self._end = 0

    def begin(self, count: int, height: int, width: int, parents: np.ndarray | None) -> "StepImages":
        """`count` images to be coded side by side; `parents` are the places of their parents, as in `StepImages.places`."""
        apart, stride = _padded(height, width), width + LEFT + RIGHT
        places = self._end + ABOVE * stride + LEFT + apart * np.arange(count)
        self._memory.begin(self._end)
        self._end += count * apart
        parents = np.zeros(count, np.int64) if parents is None else parents
        return StepImages(self._memory, places, parents, height, width, self._colours)


class StepImages:
    """Images that are coded side by side: their pixels go in, candidates come out."""

    def __init__(
        self,
        memory: CompiledMemory | NumpyMemory,
        places: np.ndarray,
        parents: np.ndarray,
        height: int,
        width: int,
        colours: int,
    ) -> None:
        self.places, self._parents, self._memory = places, parents, memory
        self._height, self._width, self._colours = height, width, colours
        stride = width + LEFT + RIGHT
        self._at = places[:, None, None] + stride * np.arange(height)[:, None] + np.arange(width)
        bits = max(LEAST_OWN_BITS, min(MOST_OWN_BITS, (height * width - 1).bit_length()))
        make: type[Any] = CompiledImages if isinstance(memory, CompiledMemory) else NumpyImages
        self._images: CompiledImages | NumpyImages = make(memory, places, parents, stride, bits, colours)
        self._now = 0, 0

    @property
    def compiled(self) -> CompiledImages | None:
        """They as the compiled decoder takes them, if they are."""
        return self._images if isinstance(self._images, CompiledImages) else None

    def part(self, lanes: slice) -> "StepImages":
        """Some of the images by themselves, before the first pixel."""
        size = self._height, self._width
        return StepImages(self._memory, self.places[lanes], self._parents[lanes], *size, self._colours)

    def whole(self, pixels: np.ndarray) -> np.ndarray:
        """Offers for all pixels of the images uint8 [n, H, W, colours], which are complete after that.

        Returns uint8 [n, H, W, OFFERS, colours + 1].
        """
        self._memory.pixels[self._at] = _packed(pixels)
        found = self._images.whole(self._height, self._width)
        self._images.complete(self._height, self._width)
        return found

    def find(self, row: int, column: int) -> np.ndarray:
        """Candidates of a pixel of every image, uint8 [n, CANDIDATES, colours + 1]; the pixels before it are known."""
        self._now = row, column
        return self._images.find(row, column)

    @property
    def first_candidates(self) -> np.ndarray:
        """Places of the first candidates that were found last, int64 [n], 0 for none."""
        return self._images.best[:, 0] if isinstance(self._images, NumpyImages) else self._images.words["best"]["at"]

    def completions(self, values: np.ndarray) -> np.ndarray:
        """Of the pixels' next colour, their first ones uint8 [n, 1 to 3]: uint8 [n, 2, COMPLETIONS], values and flags."""
        return self._images.completions(_packed(values), values.shape[1])

    def learn(self, values: np.ndarray) -> None:
        """Set the pixel that candidates were found for last: uint8 [n, colours]."""
        row, column = self._now
        self._memory.pixels[self._at[:, row, column]] = _packed(values)
        self._images.learn(row, column, column == self._width - 1)

    def complete(self, pixels: np.ndarray) -> None:
        """All pixels are known, uint8 [n, H, W, colours]: from now on they are candidates for later steps."""
        self._memory.pixels[self._at] = _packed(pixels)
        self._images.complete(self._height, self._width)


def along(images: np.ndarray, schedule: Schedule, others: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Offers for images uint8 [N, H, W, colours], coded in this order by `schedule`, after `others`, groups of any sizes.

    Returns uint8 [N, H, W, OFFERS, colours + 1].
    """
    count, height, width, colours = images.shape
    history = History([*((len(other), *other.shape[1:3]) for other in others), (count, height, width)], colours)
    for other in others:
        number, h, w, _ = other.shape
        history.begin(number, h, w, None).complete(other)
    found = np.empty((count, height, width, OFFERS, colours + 1), np.uint8)
    places = np.zeros(count, np.int64)
    for start, size, parents in schedule:
        now = slice(start, start + size)
        step = history.begin(size, height, width, places[parents] if start else None)
        found[now], places[now] = step.whole(images[now]), step.places
    return found


def _padded(height: int, width: int) -> int:
    return (height + ABOVE) * (width + LEFT + RIGHT)


def _packed(pixels: np.ndarray) -> np.ndarray:
    """uint8 [..., colours] -> uint32 [...], the first colour lowest."""
    shifts = 8 * np.arange(pixels.shape[-1], dtype=np.uint32)
    return (pixels.astype(np.uint32) << shifts).sum(-1, dtype=np.uint32)
