"""Copy candidates and completions [7.5] of the second reader: pixel history and context tables, of block and image."""

from typing import Any

import numpy as np

CANDIDATES = 6
NEAR = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2), (-2, -1), (-2, 1), (0, -3), (-3, 0))
FACTORS = (
    *(0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9),
    *(0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB),
)
WHOLE = 1 << 64


def context(near: list[int], length: int) -> int:
    """32 bits of a hash of the first neighbours."""
    total = sum((pixel + 1) * factor for pixel, factor in zip(near[:length], FACTORS, strict=False)) % WHOLE
    return (total ^ total >> 32) * FACTORS[0] % WHOLE >> 32


class Memory:
    """All pixels of a block's images, one after the other, each image with 3 rows above, 3 columns left and 2 right."""

    def __init__(self, colours: int, pixels: int) -> None:
        self.colours = colours
        self.pixels: list[int] = [0, 0]
        self.bits = max(8, min(22, pixels.bit_length()))
        self.tables: tuple[dict[int, tuple[int, int]], ...] = {}, {}, {}
        self.prefixes: tuple[dict[int, tuple[int, int]], ...] = {}, {}, {}
        self.complete = 0

    def begin(self, shape: tuple[int, int], parents: list[Any]) -> list["Copies"]:
        self.complete = len(self.pixels) - 2
        return [Copies(self, *shape, parent) for parent in parents]


class Copies:
    """An image that is decoded, and where its candidates come from."""

    def __init__(self, memory: Memory, height: int, width: int, parent: "Copies | None") -> None:
        self.memory, self.height, self.width, self.stride = memory, height, width, width + 5
        self.first = len(memory.pixels) - 2 + 3 * self.stride + 3
        memory.pixels += [0] * ((height + 3) * self.stride)
        self.parent = parent.first if parent else 0
        self.bits = max(4, min(14, (height * width - 1).bit_length()))
        self.tables: tuple[dict[int, tuple[int, int]], ...] = {}, {}, {}, {}
        self.prefixes: tuple[dict[int, tuple[int, int]], ...] = {}, {}, {}
        self.next: tuple[int, int] | None = None
        self.best: tuple[int, int] | None = None
        self.recent: list[int] = []
        self.contexts: list[int] = []

    def near(self, at: int, stride: int) -> list[int]:
        return [self.memory.pixels[at + y * stride + x] for y, x in NEAR]

    def candidates(self, row: int, column: int) -> np.ndarray:
        """[CANDIDATES, colours + 1]."""
        pixels, at = self.memory.pixels, self.first + row * self.stride + column
        near = self.near(at, self.stride)
        self.contexts = [context(near, length) for length in (6, 4, 2, 1)]
        spots = [self.next]
        for k, own in enumerate(self.contexts):
            spots.append(self.tables[k].get(own >> 32 - self.bits))
            if k < 3:
                spots.append(self.memory.tables[k].get(own >> 32 - self.memory.bits))

        def agreement(spot: tuple[int, int]) -> int:
            return sum(a == b for a, b in zip(self.near(*spot), near, strict=True))

        self.best = max((spot for spot in spots[:5] if spot), key=agreement, default=None)
        found = [(pixels[self.best[0]], 1 + agreement(self.best)) if self.best else (0, 0)]
        there = self.parent + at - self.first, self.stride
        found.append((pixels[there[0]], 1 + agreement(there)) if self.parent else (0, 0))
        known = {*near[:4], found[0][0], found[1][0]}
        more = [(pixels[spot[0]], 1 if k < 5 else k - 3) for k, spot in enumerate(spots) if spot]
        more += [(pixel, min(k - 3, 12)) for k, pixel in enumerate(self.recent, len(spots))]
        for pixel, strength in more:
            if pixel not in known and len(found) < CANDIDATES:
                found.append((pixel, strength))
                known.add(pixel)
        found += [(0, 0)] * (CANDIDATES - len(found))
        colours = self.memory.colours
        return np.array([[*pixel.to_bytes(4, "little")[:colours], strength] for pixel, strength in found])

    def completions(self, values: list[int]) -> np.ndarray:
        """[2, 2]: of this image and of all, the next colour after these and whether there is one."""
        known, memory = len(values), self.memory
        prefix, found = int.from_bytes(bytes(values), "little"), []
        for tables, bits in ((self.prefixes, self.bits), (memory.prefixes, memory.bits)):
            spot = tables[known - 1].get(context([prefix], 1) >> 32 - bits)
            pixel = memory.pixels[spot[0]] if spot else 0
            good = spot is not None and pixel % (1 << 8 * known) == prefix
            found.append((pixel >> 8 * known & 255, 1) if good else (0, 0))
        return np.array(found)

    def learn(self, row: int, column: int, values: list[int]) -> None:
        memory, at = self.memory, self.first + row * self.stride + column
        pixel = memory.pixels[at] = int.from_bytes(bytes(values), "little")
        best, self.next = self.best, None
        hit = best and memory.pixels[best[0]] == pixel and column < self.width - 1
        if best and hit and (best[0] >= self.first or best[0] + 1 < memory.complete):
            self.next = best[0] + 1, best[1]
        for k, own in enumerate(self.contexts):
            self.tables[k][own >> 32 - self.bits] = at, self.stride
        for known in range(1, memory.colours):
            self.prefixes[known - 1][context([pixel % (1 << 8 * known)], 1) >> 32 - self.bits] = at, self.stride
        self.recent = [pixel, *(each for each in self.recent if each != pixel)][:16]

    def complete(self) -> None:
        memory = self.memory
        for row in range(self.height):
            for at in range(self.first + row * self.stride, self.first + row * self.stride + self.width):
                near = self.near(at, self.stride)
                for k, length in enumerate((6, 4, 2)):
                    memory.tables[k][context(near, length) >> 32 - memory.bits] = at, self.stride
                for known in range(1, memory.colours):
                    prefix = memory.pixels[at] % (1 << 8 * known)
                    memory.prefixes[known - 1][context([prefix], 1) >> 32 - memory.bits] = at, self.stride


def evidence(candidates: np.ndarray, near: np.ndarray) -> np.ndarray:
    """What the head hears of candidates [n, CANDIDATES, C + 1] and centres [n, C, 5]: [n, planes]."""
    strength, (first, second) = candidates[..., -1], (candidates[:, k, :-1] for k in (0, 1))
    same = [128 * (each == near[..., k]).all(-1) for each in (first, second) for k in range(1, 5)]
    apart = [first - near[..., 0], second - near[..., 0], 128 * (first == second).all(-1)[:, None]]
    return np.concatenate([128 * (strength > 0), 16 * strength, np.stack(same, -1), *apart], -1)
