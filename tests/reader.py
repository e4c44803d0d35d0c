"""A second reader of archives, written from docs/FORMAT.md: it shares no code and no table with the package.

Plain Python and numpy; numbers in brackets are sections of that document. It is slow, and it trusts its input more than
a reader of strangers' archives may: it checks checksums, digests and seeds, and few of the limits.
"""

import hashlib
import json
import lzma
import math
import re
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

FILE, WEBP, RAW, CODED = range(4)
DROP, KEEP, FOLDERS = range(3)
BILEVEL, GREY, GREY_ALPHA, RGB, RGBA, INDEX = range(6)
CHANNELS = (1, 1, 2, 3, 4, 1)
WORD = 1 << 32
WHOLE = 1 << 24  # what intervals add up to
EXACTNESS = bytes.fromhex("7f09fb37")
# First row and column, steps between rows and columns, of the passes over an interlaced PNG.
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


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
    check(fields.take(8) == b"\x8bACN\r\n\x1a\n" and fields.byte() == 2 and fields.varint() == 0, "this is no such archive")
    table = [(fields.take(4).decode("ascii"), fields.varint()) for _ in range(fields.varint())]
    checksum = zlib.crc32(data[: fields.at])
    check(int.from_bytes(fields.take(4), "little") == checksum, "the header's checksum is wrong")
    found = []
    for tag, length in table:
        payload = fields.take(length)
        check(int.from_bytes(fields.take(4), "little") == zlib.crc32(payload), f"the checksum of {tag} is wrong")
        found.append((tag, payload))
    fields.end()
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
        width = WHOLE // left
        draw = stack.pop([*range(0, left * width, width), WHOLE])
        taken.append(items[draw])
        items[draw] = items[left - 1]
        items.pop()
    return taken + items


# [13] Names


class Bits:
    """The range coder's adaptive bits."""

    def __init__(self, data: bytes) -> None:
        self.words = iter(words_of(data))
        self.point = self.next() * WORD + self.next()
        self.lower, self.range = 0, WORD * WORD - 1
        self.counts: dict[tuple[Any, ...], list[int]] = {}

    def next(self) -> int:
        return next(self.words, 0)

    def bit(self, *context: Any) -> int:
        counts = self.counts.setdefault(context, [1, 1])
        bounds = [0, math.floor(counts[0] * ((WHOLE - 2) / sum(counts))) + 1, WHOLE]
        scale = self.range >> 24
        q = (self.point - self.lower) % (WORD * WORD) // scale
        check(q < WHOLE, "names are damaged")
        bit = int(q >= bounds[1])
        self.lower = (self.lower + scale * bounds[bit]) % (WORD * WORD)
        self.range = scale * (bounds[bit + 1] - bounds[bit])
        if self.range < WORD:
            self.range, self.lower = self.range * WORD, self.lower * WORD % (WORD * WORD)
            self.point = self.point * WORD % (WORD * WORD) + self.next()
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


# [8] Tables

DECIMAL = Context(prec=40, rounding=ROUND_HALF_EVEN)


def power(x: int, over: int, base: int | None = None) -> Decimal:
    """exp(x / over), or base ** (x / over)."""
    exponent = DECIMAL.divide(Decimal(x), Decimal(over))
    return DECIMAL.exp(exponent if base is None else DECIMAL.multiply(exponent, DECIMAL.ln(Decimal(base))))


def rounded(values: Any, least: int | None = None) -> np.ndarray:
    found = [int(DECIMAL.to_integral_value(value)) for value in values]
    return np.array(found if least is None else [max(least, value) for value in found], np.int64)


@cache
def tanh_table() -> np.ndarray:
    falling = [power(-2 * abs(i), 32) for i in range(-256, 257)]
    signs = [-128] * 256 + [128] * 257
    return rounded(s * DECIMAL.divide(1 - e, 1 + e) for s, e in zip(signs, falling, strict=True))


@cache
def exp_table() -> np.ndarray:
    return rounded(((1 << 20) * power(-i, 32) for i in range(1025)), 1)


@cache
def gaussian_table() -> np.ndarray:
    pi = Decimal("3.14159265358979323846264338327950288419717")
    rows = []
    for w in range(32):
        s = 8 * power(w - 4, 8, 2)
        height = DECIMAL.divide(Decimal(1 << 20), DECIMAL.multiply(DECIMAL.sqrt(2 * pi), s))
        square = 2 * DECIMAL.multiply(s, s)
        half = [DECIMAL.multiply(height, DECIMAL.exp(DECIMAL.divide(Decimal(-o * o), square))) for o in range(201)]
        row = rounded(half, 1)
        rows.append(np.concatenate([row[:0:-1], row]))
    return np.stack(rows)


@cache
def steepness_table() -> np.ndarray:
    return rounded(4096 * power(-w, 32, 2) for w in range(-128, 193))


@cache
def logistic_table() -> np.ndarray:
    ratio, falling = power(-1, 1024), [Decimal(1)]
    for _ in range(16384):
        falling.append(DECIMAL.multiply(falling[-1], ratio))
    upper = rounded(DECIMAL.divide(Decimal(1 << 22), 1 + e) for e in falling)
    return np.concatenate([(1 << 22) - upper[:0:-1], upper])


@cache
def falls() -> np.ndarray:
    """Of every entry of the Gaussian table the first index of the exp table whose entry is no larger."""
    return (exp_table()[None] > gaussian_table().reshape(-1, 1)).sum(1).reshape(32, 401)


def tables_sha256() -> str:
    posterior = gaussian_table()[4, 164:237]
    found = [tanh_table(), exp_table(), gaussian_table(), posterior, steepness_table(), logistic_table()]
    return hashlib.sha256(b"".join(table.astype("<i4").tobytes() for table in found)).hexdigest()


# [9] Networks


def requantise(acc: np.ndarray, shift: int, low: int, high: int) -> np.ndarray:
    if shift <= 0:
        return np.clip(acc << min(-shift, 32), low, high)
    shift = min(shift, 32)
    half = (1 << shift - 1) - 1 + (acc >> shift & 1)  # halves go to the even neighbour
    return np.clip(acc + half >> shift, low, high)


def around(x: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """The window's pixels side by side, [n, H, W, C] -> [n, H, W, taps * C]; zeros outside."""
    _, height, width, _ = x.shape
    edge = max(-top, bottom, -left, right)
    x = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    places = [(edge + r, edge + c) for r in range(top, bottom + 1) for c in range(left, right + 1)]
    return np.concatenate([x[:, r : r + height, c : c + width] for r, c in places], -1)


def centres(values: np.ndarray) -> np.ndarray:
    """Prediction, left, above, left above and right above of every value: [n, H, W, C] -> [n, H, W, C, 5]."""
    out = np.full((*values.shape, 5), 128)
    out[:, 0, 1:] = values[:, 0, :-1, :, None]
    out[:, 1:, 0, :, 1] = values[:, :-1, 0]
    out[:, 1:, 1:, :, 1] = values[:, 1:, :-1]
    over = np.pad(values[:, :-1], ((0, 0), (0, 0), (1, 1), (0, 0)), "edge")
    out[:, 1:, ..., 2:] = np.stack([over[:, :, 1:-1], over[:, :, :-2], over[:, :, 2:]], -1)
    left, above, corner = out[..., 1], out[..., 2], out[..., 3]
    out[..., 0] = np.sort([left, above, left + above - corner], axis=0)[1]
    return out


def told(values: np.ndarray, near: np.ndarray) -> np.ndarray:
    """What networks hear of the first c colours of pixels: [..., c] and their centres [..., c, K] -> [..., 2c + K - 1]."""
    errors = np.clip(4 * (values - near[..., 0]), -255, 255)
    copied = [128 * (values == near[..., k]).all(-1) for k in range(1, near.shape[-1])]
    return np.concatenate([values, errors, *(each[..., None] for each in copied)], -1)


def gate(pre: np.ndarray) -> np.ndarray:
    a, b = np.split(tanh_table()[pre + 256], 2, -1)
    return requantise(a * (b + 128), 8, -128, 128)


def largest(x: np.ndarray, rows: list[slice], columns: list[slice]) -> np.ndarray:
    return np.stack([np.stack([x[:, r, c].max((1, 2)) for c in columns], 1) for r in rows], 1)


def pairs(size: int) -> list[slice]:
    return [slice(i, i + 2) for i in range(0, size, 2)]


def sevenths(size: int) -> list[slice]:
    return [slice(i * size // 7, -(-(i + 1) * size // 7)) for i in range(7)]


def interleave(x: np.ndarray) -> np.ndarray:
    n, h, w, c = x.shape
    return x.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c // 4)


class Model:
    """A model file, its networks and its unconditional prior."""

    TYPES = {"I8": "<i1", "I16": "<i2", "I32": "<i4", "U8": "<u1"}  # noqa: RUF012

    def __init__(self, data: bytes) -> None:
        self.sha256 = hashlib.sha256(data).digest()
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        about = json.loads(header.pop("__metadata__")["acncodec"])
        check(about["format"] == 1, "the model is of another format")
        self.arch, self.scales = about["architecture"], about["log2_scales"]
        self.tensors = {}
        for name, each in header.items():
            first, last = each["data_offsets"]
            values = np.frombuffer(data[start + first : start + last], self.TYPES[each["dtype"]])
            self.tensors[name] = values.astype(np.int64).reshape(each["shape"])

    def map(self, name: str, bits: tuple[int, int], low: int, high: int, *inputs: np.ndarray) -> np.ndarray:
        """A linear map; `bits` of its input's and its output's grid."""
        acc = np.concatenate(inputs, -1) @ self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]
        return requantise(acc, bits[0] + self.scales[name] - bits[1], low, high)

    def centres(self, x: np.ndarray) -> np.ndarray:
        return centres(x)[..., : self.arch["centres"]]

    def planes(self, x: np.ndarray) -> np.ndarray:
        inside = np.full_like(x[..., :1], 128)
        if self.arch["colours"] > 1:
            return np.concatenate([inside, told(x, self.centres(x))], -1)
        if self.arch["levels"] == 2:
            return np.concatenate([inside, 128 * x], -1)
        return np.concatenate([inside, x, 128 * (x == 0), 128 * (x == 255)], -1)

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Samples int64 [n, H, W, C] to codes [n, D]."""
        box = (-1, 1, -1, 1)
        x = self.map("encoder.first", (7, 5), 0, 255, around(self.planes(x), *box))
        x = largest(x, pairs(x.shape[1]), pairs(x.shape[2]))
        x = self.map("encoder.second", (5, 5), 0, 255, around(x, *box))
        x = largest(x, pairs(x.shape[1]), pairs(x.shape[2]))
        x = self.map("encoder.third", (5, 5), 0, 255, around(x, *box))
        x = largest(x, sevenths(x.shape[1]), sevenths(x.shape[2]))
        return self.map("encoder.code", (5, 3), -64, 64, x.reshape(len(x), -1))

    def prior(self, codes: np.ndarray) -> np.ndarray:
        """Frequencies [n, D, 201] of latents given their parents' codes."""
        c = 16 * codes
        h1 = tanh_table()[self.map("prior.first", (7, 5), -256, 256, c) + 256]
        h2 = tanh_table()[self.map("prior.second", (7, 5), -256, 256, c, h1) + 256]
        h3 = tanh_table()[self.map("prior.third", (7, 5), -256, 256, c, h2) + 256]
        shape = *codes.shape, self.arch["mixture"]
        logits = self.map("prior.logits", (7, 5), -512, 512, h1, h2, h3).reshape(shape)
        means = self.map("prior.means", (7, 3), -100, 100, h1, h2, h3).reshape(shape)
        widths = self.map("prior.widths", (7, 3), -4, 27, h1, h2, h3).reshape(shape) + 4
        weights = exp_table()[logits.max(-1, keepdims=True) - logits]
        return (weights[..., None] * gaussians(widths, means)).sum(-2)

    def pop_latents(self, stack: Stack, n: int, parents: np.ndarray | None) -> np.ndarray:
        """Latents int64 [n, D]."""
        if parents is not None:
            return stack.pops(self.prior(parents)) - 100
        weights, means, widths = (self.tensors[f"unconditional.{name}"] for name in ("weights", "means", "widths"))
        k = stack.pops(np.broadcast_to(weights, (n, len(weights))))
        z = stack.pops((1 << 20) * gaussians(widths[k], means[k])) - 100
        score = -falls()[widths, z[:, None] - means + 200].sum(-1)
        below = np.minimum(score.max(1, keepdims=True) - score, 1024)
        stack.pushes(k, exp_table()[below] * weights)
        return z

    def latent_map(self, z: np.ndarray, height: int, width: int) -> np.ndarray:
        x = tanh_table()[self.map("map.hidden", (3, 5), -256, 256, z) + 256]
        x = self.map("map.base", (7, 5), 0, 255, x).reshape(len(z), 7, 7, -1)
        h, w = -(-height // 4), -(-width // 4)
        x = x[:, np.arange(h) * 7 // h][:, :, np.arange(w) * 7 // w]
        x = interleave(self.map("map.up", (5, 5), 0, 255, around(x, -1, 1, -1, 1)))
        x = interleave(self.map("map.out", (5, 7), -1024, 1024, around(x, -1, 1, -1, 1)))
        return x[:, :height, :width]

    def stream(self, x: np.ndarray, condition: np.ndarray) -> np.ndarray:
        """The horizontal stream after the last block, [n, H, W, channels]."""
        v = h = self.planes(x)
        for number in range(self.arch["blocks"]):
            name, r = f"decoder.blocks.{number}", self.arch["kernel" if number else "first"] // 2
            last = 0 if number else -1
            dv = gate(self.map(f"{name}.vertical", (7, 5), -256, 256, around(v, -r, last, -r, r), condition))
            v = np.clip(v + dv, -1024, 1024) if number else dv
            pre = self.map(f"{name}.horizontal", (7, 5), -256, 256, around(h, 0, 0, -r, last), v, condition)
            dh = self.map(f"{name}.residual", (7, 7), -1024, 1024, gate(pre))
            h = np.clip(h + dh, -1024, 1024) if number else dh
        return h

    def pop_value(self, stack: Stack, h: np.ndarray, known: np.ndarray, near: np.ndarray, colour: int) -> np.ndarray:
        """One colour of one pixel of every lane: stream [n, channels], values [n, C], their centres [n, C, K] -> [n]."""
        if self.arch["colours"] == 1:
            features = self.map("decoder.head.features", (7, 5), 0, 255, h)
            logits = self.map("decoder.head.logits", (5, 5), -512, 512, features)
            f = exp_table()[logits.max(-1, keepdims=True) - logits]
            if self.arch["levels"] == 2:
                return stack.pops(f)
            grouped = f.reshape(-1, 16, 16)
            high = stack.pops(grouped.sum(-1))
            return 16 * high + stack.pops(grouped[np.arange(len(high)), high])
        before = [told(known[:, :colour], near[:, :colour])] if colour else []
        features = self.map(f"decoder.head.features.{colour}", (7, 5), 0, 255, h, *before)
        out = self.map(f"decoder.head.outputs.{colour}", (5, 5), -512, 512, features, *before)
        logits, means, spreads = np.split(out, 3, -1)
        middles = near[:, colour, np.arange(means.shape[1]) % self.arch["centres"]]
        parameters = logits, means + 4 * middles, np.clip(spreads, -128, 192)
        digits = np.broadcast_to(np.arange(17), (len(h), 17))
        high = stack.pops(logistics(*parameters, 16 * digits))
        return 16 * high + stack.pops(logistics(*parameters, 16 * high[:, None] + digits))

    def pop_samples(self, stack: Stack, z: np.ndarray, height: int, width: int) -> np.ndarray:
        """Samples int64 [n, height, width, C]."""
        condition = self.latent_map(z, height, width)
        x = np.zeros((len(z), height, width, self.arch["colours"]), np.int64)
        for row in range(height):
            for column in range(width):
                part = slice(0, row + 1)
                h = self.stream(x[:, part], condition[:, part])[:, row, column]
                near = self.centres(x[:, part])[:, row, column]
                for colour in range(x.shape[-1]):
                    x[:, row, column, colour] = self.pop_value(stack, h, x[:, row, column], near, colour)
        return x

    def push_latents(self, stack: Stack, z: np.ndarray, codes: np.ndarray) -> None:
        symbols = z - codes + 36
        check(((symbols >= 0) & (symbols <= 72)).all(), "a latent lies outside of its posterior")
        stack.pushes(symbols, np.broadcast_to(gaussian_table()[4, 164:237], (*z.shape, 73)))


def gaussians(rows: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The Gaussian table at every latent: [...] -> [..., 201]."""
    return gaussian_table()[rows[..., None], np.arange(-100, 101) - means[..., None] + 200]


def logistics(logits: np.ndarray, means: np.ndarray, spreads: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Frequencies between edges [n, E + 1] of mixtures [n, M]: [n, E]."""
    offset = 4 * edges[:, :, None] - 2 - means[:, None]
    slope = np.clip(offset * steepness_table()[spreads + 128][:, None] + 8 >> 4, -16384, 16384)
    reached = logistic_table()[slope + 16384]
    reached[edges == 0] = 0
    reached[edges == 256] = 1 << 22
    weights = exp_table()[logits.max(-1, keepdims=True) - logits]
    return np.diff((weights[:, None] * reached).sum(-1)) + (1 << 16)


# [6] Schedules


def steps(count: int, lanes: int) -> list[int]:
    d = 0
    while 1 << d < lanes and 2 * ((2 << d) - 1) <= count:
        d += 1
    ramp, width = [1 << i for i in range(d)], min(lanes, 1 << d)
    full, rest = divmod(count - 2 * sum(ramp), width)
    return ramp + [width] * full + sorted([*ramp, *([rest] if rest else [])], reverse=True)


def pop_group(stack: Stack, model: Model, shape: tuple[int, int], count: int, lanes: int, conditional: bool) -> np.ndarray:
    """[7] A group's elements, uint8 [count, height, width, C]."""
    found, codes = [], None
    for size in steps(count, lanes):
        parents = None
        if conditional and codes is not None:
            parents = codes[np.arange(size) * len(codes) // size]
        z = model.pop_latents(stack, size, parents)
        x = model.pop_samples(stack, z, *shape)
        codes = model.encode(x)
        model.push_latents(stack, z, codes)
        found.append(x.astype(np.uint8))
    return np.concatenate(found)


# [3] Files from forms and samples


class Form:
    """Everything of an image file but its samples."""

    def __init__(self, data: bytes) -> None:
        self.expanded = data[0] == 3
        self.kind = data[1 if self.expanded else 0]
        fields = Fields(data[2 if self.expanded else 1 :])
        self.fields = []
        while fields.at < len(fields.data):
            self.fields.append(fields.blob())
        self.palette = np.zeros((0, 3), np.uint8)
        self.suffix = ".png"
        check(self.kind in (1, 2), "a form is of an unknown kind")
        if self.kind == 1:
            self._png()
        else:
            self._raster()
        self.layout = (RGB if self.palette.shape[1] == 3 else RGBA) if self.expanded else self.own

    def _png(self) -> None:
        self.depth, colour, *interlaced = self.fields[0]
        check(interlaced in ([], [1]), "a PNG's rows are in an unknown order")
        self.colour, self.passes = colour, ADAM7 if interlaced else ((0, 0, 1, 1),)
        rows = self.fields.index(b"")
        self.before, self.after, self.tail = self.fields[1:rows], self.fields[rows + 1 :], b""
        if b"" in self.after:
            *self.after, empty, self.tail = self.after
            check(not empty and self.tail and b"" not in self.after, "a PNG has an empty chunk")
        self.own = (
            BILEVEL if (self.depth, colour) == (1, 0) else {0: GREY, 2: RGB, 3: INDEX, 4: GREY_ALPHA, 6: RGBA}[colour]
        )
        if self.own == INDEX:
            (entries,) = (chunk[4:] for chunk in self.before if chunk[:4] == b"PLTE")
            self.palette = np.frombuffer(entries, np.uint8).reshape(-1, 3)
            alphas = [chunk[4:] for chunk in self.before if chunk[:4] == b"tRNS"]
            if alphas:
                alpha = alphas[-1][: len(self.palette)].ljust(len(self.palette), b"\xff")
                self.palette = np.column_stack([self.palette, np.frombuffer(alpha, np.uint8)])

    def _raster(self) -> None:
        prefix, hole, suffix = self.fields
        whole = prefix + bytes(int.from_bytes(hole, "little")) + suffix
        self.flip = self.blue_first = False
        if prefix[:1] == b"P":
            kind = prefix[1:2]
            self.suffix, self.own = {b"4": (".pbm", BILEVEL), b"5": (".pgm", GREY), b"6": (".ppm", RGB)}[kind]
            text = re.sub(rb"#[^\r\n]*[\r\n]", b" ", prefix)
            self.width, self.height = map(int, text[2:].split()[:2])
            self.stride = (self.width + 7) // 8 if self.own == BILEVEL else self.width * CHANNELS[self.own]
        elif prefix[:2] == b"BM":
            self.suffix = ".bmp"
            header, self.width, height, _, bits = struct.unpack_from("<IiiHH", whole, 14)
            (used,) = struct.unpack_from("<I", whole, 46)
            self.height, self.flip, self.stride = abs(height), height > 0, -(-self.width * bits // 32) * 4
            self.own = RGB if bits == 24 else INDEX
            self.blue_first = bits == 24
            if bits == 8:
                table = np.frombuffer(whole, np.uint8, 4 * (used or 256), 14 + header).reshape(-1, 4)
                self.palette = np.ascontiguousarray(table[:, 2::-1])
                if np.array_equal(self.palette, np.repeat(np.arange(256)[:, None], 3, 1)):
                    self.own = GREY
        else:
            self.suffix = ".tif"
            tags = self._tiff(whole)
            self.width, self.height = tags[256], tags[257]
            self.own = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGBA}[tags.get(277, 1)]
            self.stride = self.width * CHANNELS[self.own]

    @staticmethod
    def _tiff(whole: bytes) -> dict[int, int]:
        """The values of those tags that have one of 2 or 4 bytes."""
        order = "<" if whole[:2] == b"II" else ">"
        (start,) = struct.unpack_from(order + "I", whole, 4)
        (count,) = struct.unpack_from(order + "H", whole, start)
        tags = {}
        for i in range(count):
            tag, kind, number = struct.unpack_from(order + "HHI", whole, start + 2 + 12 * i)
            if number == 1 and kind in (3, 4):
                (tags[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), whole, start + 10 + 12 * i)
        return tags

    def write(self, samples: np.ndarray) -> bytes:
        """The file with samples uint8 [H, W, C]."""
        if self.expanded:
            first = {tuple(colour): i for i, colour in reversed(list(enumerate(self.palette.tolist())))}
            indices = [first[tuple(colour)] for colour in samples.reshape(-1, samples.shape[2]).tolist()]
            samples = np.array(indices, np.uint8).reshape(*samples.shape[:2], 1)
        return self._write_png(samples) if self.kind == 1 else self._write_raster(samples)

    def _write_png(self, samples: np.ndarray) -> bytes:
        height, width, channels = samples.shape
        filtered = self.depth == 8 and self.own != INDEX
        body = b""
        for top, left, down, right in self.passes:
            part = samples[top::down, left::right]
            if not part.size:
                continue
            rows = part.reshape(len(part), -1)
            if self.depth < 8:
                bits = np.unpackbits(part[:, :, :1], axis=2)[:, :, 8 - self.depth :]
                rows = np.packbits(bits.reshape(len(part), -1), axis=1)
            body += filter_rows(rows, channels) if filtered else b"".join(b"\0" + row.tobytes() for row in rows)
        deflate = zlib.compressobj(6, strategy=zlib.Z_FILTERED if filtered else zlib.Z_DEFAULT_STRATEGY)
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, self.depth, self.colour, 0, 0, len(self.passes) > 1)
        chunks = [header, *self.before, b"IDAT" + deflate.compress(body) + deflate.flush(), *self.after, b"IEND"]
        parts = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + self.tail

    def _write_raster(self, samples: np.ndarray) -> bytes:
        check(samples.shape[:2] == (self.height, self.width), "a file is of another size than its samples")
        samples = samples[:: -1 if self.flip else 1, :, :: -1 if self.blue_first else 1]
        rows = np.packbits(1 - samples[:, :, 0], 1) if self.own == BILEVEL else samples.reshape(self.height, -1)
        body = np.pad(rows, ((0, 0), (0, self.stride - rows.shape[1]))).tobytes()
        check(len(body) == int.from_bytes(self.fields[1], "little"), "a file's rows are of another length")
        return self.fields[0] + body + self.fields[2]


def filter_rows(rows: np.ndarray, channels: int) -> bytes:
    """PNG's filters, each row's that leaves the least sum of absolute differences."""
    out, above = bytearray(), np.zeros(rows.shape[1], np.int64)
    for row in rows.astype(np.int64):
        left = np.concatenate([np.zeros(channels, np.int64), row[:-channels]])
        corner = np.concatenate([np.zeros(channels, np.int64), above[:-channels]])
        guess = left + above - corner
        order = np.stack([left, above, corner])
        paeth = np.take_along_axis(order, np.abs(order - guess).argmin(0)[None], 0)[0]
        rests = [(row - each) % 256 for each in (0 * row, left, above, (left + above) // 2, paeth)]
        best = min(range(5), key=lambda i: int(np.minimum(rests[i], 256 - rests[i]).sum()))
        out += bytes([best]) + rests[best].astype(np.uint8).tobytes()
        above = row
    return bytes(out)


def read_webp(data: bytes, channels: int) -> np.ndarray:
    with Image.open(BytesIO(data), formats=("WEBP",)) as image:
        samples = np.asarray(image.convert("RGBA" if channels in (2, 4) else "RGB"))
    return samples if channels > 2 else samples[..., :: 3 if channels == 2 else 1][..., :channels]


# [2] Classes, blocks, stores


@dataclass
class Class:
    """What pictures have in common; of a file that is kept as it is, only the method."""

    method: int
    height: int = 0
    width: int = 0
    form: Form | None = None
    planes: tuple[tuple[int, int], ...] = ()  # (model, tile)

    def picture(self) -> Form:
        assert self.form is not None
        return self.form

    def cells(self) -> Iterator[tuple[tuple[int, int, int], tuple[slice, slice, slice]]]:
        """The elements of a picture: group (model, height, width), and rows, columns, channels."""
        channels = CHANNELS[self.picture().layout]
        widths = (3, 1) if channels == 4 and len(self.planes) == 2 else (1, 1) if channels == 2 else (channels,)
        start = 0
        for (model, tile), width in zip(self.planes, widths, strict=True):
            for rows in spans(self.height, tile or self.height):
                for columns in spans(self.width, tile or self.width):
                    group = model, rows.stop - rows.start, columns.stop - columns.start
                    yield group, (rows, columns, slice(start, start + width))
            start += width


def spans(length: int, side: int) -> list[slice]:
    parts = -(-length // side)
    sizes = [length // parts + (i < length % parts) for i in range(parts)]
    return [slice(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(parts)]


def read_classes(data: bytes) -> list[Class]:
    fields = Fields(unpacked(data))
    forms: list[Form] = []
    classes = []
    for _ in range(fields.varint()):
        method = fields.byte()
        if method == FILE:
            classes.append(Class(FILE))
            continue
        height, width, number = fields.varints(3)
        if number == 0:
            forms.append(Form(fields.blob()))
        planes = tuple((fields.varint(), fields.varint()) for _ in range(fields.byte() if method == CODED else 0))
        classes.append(Class(method, height, width, forms[number - 1], planes))
    fields.end()
    return classes


@dataclass
class Content:
    """What one or several files hold; `folder` of a picture where folders are kept."""

    kind: Class
    data: bytes
    folder: int = 0


def read_block(data: bytes, archive: "Archive") -> list[Content]:
    """The pictures of a block, in the order of their numbers."""
    fields = Fields(data)
    flags = fields.byte()
    tour, conditional = flags & 1, bool(flags & 2)
    used, counts, lowest = [], [], 0
    for _ in range(fields.varint()):
        index = lowest + fields.varint()
        used.append(archive.classes[index])
        counts.append(fields.varint())
        lowest = index + 1
    lanes = fields.varints(fields.varint())
    seed_words = fields.varint()
    digest = fields.take(16)
    fields.varints(5)
    order, total = Fields(fields.blob()), sum(counts)
    places = [(order.varint(), order.varint()) for _ in range(order.varint())] if archive.folders else []
    stack = Stack(words_of(order.rest()))
    kinds = sequence(stack, counts)
    where = [index for index, (_, n) in enumerate(places) for _ in range(n)]
    if tour and places:
        where = sequence(stack, [n for _, n in places])
    ranks = permutation(stack, total) if tour and archive.names == KEEP else list(range(total))
    check(not stack.words(), "an order has bits left over")
    sizes: dict[tuple[int, int, int], int] = {}
    for each, n in zip(used, counts, strict=True):
        for group, _ in each.cells():
            sizes[group] = sizes.get(group, 0) + n
    stack = Stack(words_of(fields.rest()))
    elements = {}
    for group, each_lanes in zip(sorted(sizes), lanes, strict=True):
        model, *shape = group
        elements[group] = iter(
            pop_group(stack, archive.models[model], (shape[0], shape[1]), sizes[group], each_lanes, conditional)
        )
    check(stack.words() == seed(seed_words), "the seed was not met")
    found, hashes = [], b""
    for i, kind in enumerate(kinds):
        each = used[kind]
        samples = np.zeros((each.height, each.width, CHANNELS[each.picture().layout]), np.uint8)
        for group, part in each.cells():
            samples[part] = next(elements[group])
        hashes += hashlib.sha256(samples.tobytes()).digest()
        found.append(Content(each, each.picture().write(samples), places[where[i]][0] if places else 0))
    check(hashlib.sha256(hashes).digest()[:16] == digest, "the pixels are not those that were encoded")
    return [found[i] for i in np.argsort(ranks)]


def read_store(data: bytes, count: int, classes: list[Class]) -> list[Content]:
    fields = Fields(unpacked(data))
    kinds: list[Class] = []
    while len(kinds) < count:
        index, run = fields.varints(2)
        check(run, "a run is empty")
        kinds += [classes[index]] * run
    items = [fields.take(length) for length in fields.varints(count)]
    fields.end()
    return [Content(kind, restored(kind, item)) for kind, item in zip(kinds, items, strict=True)]


def restored(kind: Class, data: bytes) -> bytes:
    if kind.method == FILE:
        return data
    channels = CHANNELS[kind.picture().layout]
    if kind.method == WEBP:
        return kind.picture().write(read_webp(data, channels))
    if kind.picture().layout == BILEVEL and len(data) == kind.height * -(-kind.width // 8) != kind.height * kind.width:
        strips = np.frombuffer(data, np.uint8).reshape(-1, kind.height, 1) >> np.arange(7, -1, -1) & 1
        samples = np.concatenate(list(strips), 1)[:, : kind.width, None]
        return kind.picture().write(samples.astype(np.uint8))
    return kind.picture().write(np.frombuffer(data, np.uint8).reshape(kind.height, kind.width, channels))


# [12] The directory


class Archive:
    """A whole archive, decoded: `files` by name, `empty` directories, `contents` as they are numbered."""

    def __init__(self, data: bytes, models: list[bytes]) -> None:
        found = sections(data)
        once = dict(found)
        head = Fields(once["HEAD"])
        self.names = head.byte() & 3
        exactness = head.take(4)
        known = {model.sha256: model for model in map(Model, models)}
        self.models = [known[(head.blob(), head.take(32))[1]] for _ in range(head.varint())]
        self.duplicates, self.folders, empty = head.varints(3)
        blocks, stores = (head.varints(head.varint()) for _ in range(2))
        head.end()
        check(exactness == EXACTNESS or not blocks, "the archive was made with another arithmetic")
        self.classes = read_classes(once["FORM"]) if "FORM" in once else []
        self.contents: list[Content] = []
        coded = [payload for tag, payload in found if tag == "BLCK"]
        for payload, count in zip(coded, blocks, strict=True):
            pictures = read_block(payload, self)
            check(len(pictures) == count, "a block does not fit the header")
            self.contents += pictures
        kept = [payload for tag, payload in found if tag == "FILE"]
        for payload, count in zip(kept, stores, strict=True):
            self.contents += read_store(payload, count, self.classes)
        methods = [each.kind.method for each in self.contents[sum(blocks) :]]
        check(methods == sorted(methods), "what is stored does not stand by method")
        self.files = self._files(once, sum(blocks))
        check(len(self.files) == sum(blocks) + sum(stores) + self.duplicates, "there are more or fewer names than files")
        self.empty = names(once.get("EMPT", b""), empty)

    def _files(self, once: dict[str, bytes], coded: int) -> dict[bytes, bytes]:
        order = Fields(once.get("ORDR", bytes(5)))
        counts = order.varints(5)
        stack = Stack(words_of(order.rest()))
        kinds = sequence(stack, counts)
        check(not stack.words(), "the order of names has bits left over")
        places = Fields(unpacked(once["PLAC"]) if "PLAC" in once else b"\0")
        named = places.varints(places.varint())
        check(len(named) == counts[4], "duplicates do not fit")
        check(len(named) <= self.duplicates and (self.names == KEEP or counts[1:4] == [0, 0, 0]), "names do not fit")
        numbered = [(places.varint(), places.varint()) for _ in range(self.duplicates - len(named))]
        if self.names == FOLDERS:
            for content in self.contents[coded:]:
                content.folder = places.varint() if content.kind.method != FILE else 0
        places.end()
        queues = [iter([i for i, each in enumerate(self.contents) if each.kind.method == m]) for m in range(4)]
        queues.append(iter(named))
        files = {}
        for name, kind in zip(names(once.get("NAME", b""), sum(counts)), kinds, strict=True):
            files[name] = self.contents[next(queues[kind])].data
        return files if self.names == KEEP else {**files, **self._numbered(once, list(files), numbered)}

    def _numbered(self, once: dict[str, bytes], taken: list[bytes], again: list[tuple[int, int]]) -> dict[bytes, bytes]:
        """Pictures whose names were dropped."""
        folders = names(once.get("FLDR", b""), self.folders) or [b"."]
        paths = [b"" if folder == b"." else folder + b"/" for folder in folders]
        used = {b"/".join(parts[: i + 1]) for name in taken for parts in [name.split(b"/")] for i in range(len(parts))}
        used |= {b"/".join(parts[: i + 1]) for path in folders for parts in [path.split(b"/")] for i in range(len(parts))}
        members = [(i, each.folder) for i, each in enumerate(self.contents) if each.kind.method != FILE] + again
        next_number = [0] * len(folders)
        files = {}
        for content, folder in members:
            digits = len(str(sum(other == folder for _, other in members) - 1))
            while True:
                name = b"%s%0*d" % (paths[folder], digits, next_number[folder])
                name += self.contents[content].kind.picture().suffix.encode()
                next_number[folder] += 1
                if name not in used:
                    break
            files[name] = self.contents[content].data
        return files
