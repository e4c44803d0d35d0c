"""Byte fields, entropy coders, orders and names of the second reader (`reader.py`): sections 1, 4, 5 and 13."""

import hashlib
import lzma
import math
import zlib
from bisect import bisect_right
from typing import Any

import numpy as np

WORD = 1 << 32
WHOLE = 1 << 24  # what intervals add up to


class DamagedError(Exception):
    """The archive is not what a writer writes."""


def check(right: Any, what: str) -> None:
    if not right:
        raise DamagedError(what)


# [1] Bytes


class Fields:
    """Reads fields one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        check(count <= len(self.data) - self.at, "a field is cut")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value, shift, byte = 0, 0, 128
        while byte >= 128:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
        check((byte or shift == 7) and value < 1 << 64, "an integer is padded or too long")
        return value

    def varints(self, count: int) -> list[int]:
        return [self.varint() for _ in range(count)]

    def blob(self) -> bytes:
        return self.take(self.varint())

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def end(self) -> None:
        check(self.at == len(self.data), "bytes are left over")


def sections(data: bytes) -> list[tuple[str, bytes]]:
    """Tag and payload of every section, checksums right."""
    fields = Fields(data)
    check(fields.take(8) == b"\x8bACN\r\n\x1a\n" and fields.byte() == 2, "this is no such archive")
    features = fields.varint()
    table = [(fields.take(4).decode("ascii"), fields.varint()) for _ in range(fields.varint())]
    checksum = zlib.crc32(data[: fields.at])
    check(int.from_bytes(fields.take(4), "little") == checksum, "the header's checksum is wrong")
    found = []
    for tag, length in table:
        payload = fields.take(length)
        check(int.from_bytes(fields.take(4), "little") == zlib.crc32(payload), f"the checksum of {tag} is wrong")
        found.append((tag, payload))
    fields.end()
    tags = {tag for tag, _ in found}
    check(features & ~28 == ("MODL" in tags) | ("MANI" in tags) << 1, "the archive has features that it does not tell")
    return found


def unpacked(data: bytes) -> bytes:
    """The body of a packed section."""
    if data[0] == 0:
        return data[1:]
    check(12 <= data[0] <= 26, "a body is packed in an unknown way")
    return lzma.decompress(data[1:], lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << data[0]}])


def words_of(data: bytes) -> list[int]:
    check(len(data) % 4 == 0, "coded bits are not whole words")
    return np.frombuffer(data, "<u4").tolist()


# [4] The coder


def intervals(frequencies: Any) -> np.ndarray:
    """Bounds int64 [..., K + 1] of the intervals of frequencies [..., K]."""
    f = np.asarray(frequencies, np.float64)
    k = f.shape[-1]
    scale = (WHOLE - k) / f.sum(-1, keepdims=True)
    bounds = np.floor((np.cumsum(f, -1) - f) * scale).astype(np.int64) + np.arange(k)
    return np.concatenate([bounds, np.full_like(bounds[..., :1], WHOLE)], -1)


def uniform(n: int) -> list[int]:
    """Bounds of a uniform choice below n."""
    width = WHOLE // n
    return [*range(0, n * width, width), WHOLE]


class Stack:
    """The ANS coder as a stack of symbols."""

    def __init__(self, words: list[int]) -> None:
        check(not words or words[-1], "the top word of coded bits is 0")
        self.bulk, self.state = list(words), 0
        while self.bulk and self.state < WORD:
            self.state = self.state * WORD + self.bulk.pop()

    def pop(self, bounds: list[int]) -> int:
        q = self.state % WHOLE
        k = bisect_right(bounds, q) - 1
        self.state = (self.state >> 24) * (bounds[k + 1] - bounds[k]) + q - bounds[k]
        if self.state < WORD and self.bulk:
            self.state = self.state * WORD + self.bulk.pop()
        return k

    def push(self, k: int, bounds: list[int]) -> None:
        p = bounds[k + 1] - bounds[k]
        if self.state >> 40 >= p:
            self.bulk.append(self.state % WORD)
            self.state >>= 32
        self.state = self.state // p * WHOLE + bounds[k] + self.state % p

    def pops(self, frequencies: np.ndarray) -> np.ndarray:
        """One symbol a row of frequencies [..., K], the first one first: int64 [...]."""
        rows = intervals(frequencies).reshape(-1, frequencies.shape[-1] + 1).tolist()
        return np.array([self.pop(row) for row in rows], np.int64).reshape(frequencies.shape[:-1])

    def pushes(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """The mirror of `pops`."""
        rows = intervals(frequencies).reshape(-1, frequencies.shape[-1] + 1).tolist()
        for k, row in zip(reversed(symbols.ravel().tolist()), reversed(rows), strict=True):
            self.push(k, row)

    def words(self) -> list[int]:
        return [
            *self.bulk,
            *([self.state % WORD] if self.state else []),
            *([self.state >> 32] if self.state >= WORD else []),
        ]


class Slices:
    """[4] The stacks of a step's lanes, as one; arrays have lanes first."""

    def __init__(self, stacks: list[Stack], lanes: int) -> None:
        width = 1
        while width * len(stacks) < lanes:
            width *= 2
        self.parts = [(stack, slice(i * width, (i + 1) * width)) for i, stack in enumerate(stacks)]

    def pops(self, frequencies: np.ndarray) -> np.ndarray:
        return np.concatenate([stack.pops(frequencies[part]) for stack, part in self.parts])

    def pushes(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        for stack, part in self.parts:
            stack.pushes(symbols[part], frequencies[part])


def seed(count: int) -> list[int]:
    """The sealed seed of so many words."""
    data = hashlib.shake_256(b"acncodec bits-back seed 1").digest(4 * count)
    return [*words_of(data)[::-1], 1]


# [5] Orders


def sequence(stack: Stack, counts: list[int]) -> list[int]:
    """Values of which value i comes counts[i] times."""
    if len(counts) == 1:
        return [0] * counts[0]
    bounds = intervals(counts).tolist() if sum(counts) else []
    values = [stack.pop(bounds) for _ in range(sum(counts))]
    check([values.count(i) for i in range(len(counts))] == counts, "an order does not fit its counts")
    return values


def permutation(stack: Stack, n: int) -> list[int]:
    items, taken = list(range(n)), []
    for left in range(n, 1, -1):
        draw = stack.pop(uniform(left))
        taken.append(items[draw])
        items[draw] = items[left - 1]
        items.pop()
    return taken + items


# [13] Names


class Range:
    """The range coder."""

    def __init__(self, data: bytes) -> None:
        self.words = iter(words_of(data))
        self.point = self.next() * WORD + self.next()
        self.lower, self.range = 0, WORD * WORD - 1

    def next(self) -> int:
        return next(self.words, 0)

    def symbol(self, bounds: list[int]) -> int:
        scale = self.range >> 24
        q = (self.point - self.lower) % (WORD * WORD) // scale
        check(q < WHOLE, "range-coded bits are damaged")
        k = bisect_right(bounds, q) - 1
        self.lower = (self.lower + scale * bounds[k]) % (WORD * WORD)
        self.range = scale * (bounds[k + 1] - bounds[k])
        if self.range < WORD:
            self.range, self.lower = self.range * WORD, self.lower * WORD % (WORD * WORD)
            self.point = self.point * WORD % (WORD * WORD) + self.next()
        return k

    def uniform(self, size: int) -> int:
        return self.symbol(uniform(size))


class Bits(Range):
    """The range coder's adaptive bits."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.counts: dict[tuple[Any, ...], list[int]] = {}

    def bit(self, *context: Any) -> int:
        counts = self.counts.setdefault(context, [1, 1])
        bit = self.symbol([0, math.floor(counts[0] * ((WHOLE - 2) / sum(counts))) + 1, WHOLE])
        counts[bit] += 2
        if counts[bit] > 2048:
            counts[:] = [count >> 1 | 1 for count in counts]
        return bit

    def number(self, *context: Any) -> int:
        size = 0
        while self.bit(context, size):
            size += 1
            check(size <= 64, "names are damaged")
        prefix = 1
        for _ in range(size):
            prefix = 2 * prefix + self.bit(context, size, prefix)
        return prefix - 1


def names(data: bytes, count: int) -> list[bytes]:
    """The names of a section, sorted."""
    bits, found = Bits(data), []
    previous: list[bytes] = [b""]
    seen: list[list[bytes]] = []
    last: dict[tuple[bytes, ...], bytes] = {}
    for _ in range(count):
        tokens: list[bytes] = []
        same, more = 1, 1
        while more:
            column = len(tokens)
            if column == len(seen):
                seen.append([])
            before = previous[column] if column < len(previous) else b""
            if bits.bit("way", column, same, "expected"):
                token = last.get(tuple(tokens), before)
            elif bits.bit("way", column, same, "step"):
                token = b"%0*d" % (len(before), int(before) + bits.number("step", column))
            elif bits.bit("way", column, same, "known"):
                token = seen[column][bits.number("known", column)]
            else:
                token = new_token(bits, column, before)
            if token not in seen[column]:
                seen[column].append(token)
            last[tuple(tokens)] = token
            same &= token == before
            tokens.append(token)
            more = column % 2 or bits.bit("more", column, column + 1 < len(previous))
        previous = tokens
        found.append(b"".join(tokens))
    check(len(set(found)) == count, "a name comes twice")
    return sorted(found)


def new_token(bits: Bits, column: int, before: bytes) -> bytes:
    shared = bits.number("shared", column)
    left = bits.number("length", column, shared)
    token = bytearray(before[:shared])
    for remaining in range(left, 0, -1):
        place, prior, prefix = min(remaining, 6), token[-1] if token else 0, 1
        while prefix < 256:
            prefix = 2 * prefix + bits.bit("byte", place, prior, prefix)
        token.append(prefix - 256)
    return bytes(token)
