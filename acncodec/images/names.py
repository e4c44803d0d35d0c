"""Compression of file names: each name is coded given the names before it, token by token.

A name is split into runs of other bytes (even columns) and of digits (odd columns). A token is coded as the one last seen
after the same prefix, or the previous name's number plus a step, or a known token of its column, or a new one. All choices
are adaptive bits (bits.py): every machine writes the same.

A list of sorted names is a set, so they may be coded in another order: by last number. Names like 7/00123.png, whose
numbers are distributed over ten classes, then cost the class, 3.3 bits, instead of 4.7 for sorted gaps. Names without such
a pattern (hashes) are coded whole, as one token each.
"""

import re
from itertools import pairwise

from acncodec.images.bits import BitCoder, BitMeter, BitReader, BitWriter, damaged

_MAX_DIGITS = 18  # of a token treated as a number
_MAX_TOKENS = 12  # per name, on average; above it names are hashes, not worth splitting (in bytes and time)
_DIGITS = re.compile(rb"([0-9]+)")
# The ways to code a token, and further kinds of contexts.
_EXPECTED, _STEP, _KNOWN, _NEW, _WAY, _SHARED, _LENGTH, _BYTE, _MORE = range(9)


class _Model:
    """Codes names one by one; the writer's and the reader's model are updated alike and so stay the same."""

    def __init__(self, coder: BitCoder, limit: int) -> None:
        self.coder = coder
        self.left = limit  # bytes left for the names still to come
        self.previous = [b""]
        self.known: list[dict[bytes, int]] = []  # per column: token -> index, in order of appearance
        self.tokens: list[list[bytes]] = []  # per column: index -> token
        self.nodes: dict[tuple[int, bytes], int] = {}  # trie of the prefixes of names; the root is 0
        self.last: dict[int, bytes] = {}  # the token last seen after a prefix

    def name(self, wanted: list[bytes] | None) -> bytes:
        """Code one name; `wanted` is its tokens when writing, None when reading."""
        name: list[bytes] = []
        node, same, more = 0, 1, True
        while more:
            column = len(name)
            if column == len(self.known):
                self.known.append({})
                self.tokens.append([])
            before = self.previous[column] if column < len(self.previous) else b""
            token = self._token(column, same, before, self.last.get(node, before), wanted[column] if wanted else None)
            self.left -= len(token)
            if self.left < 0:
                raise damaged()
            if self.known[column].setdefault(token, len(self.tokens[column])) == len(self.tokens[column]):
                self.tokens[column].append(token)
            self.last[node] = token
            node = self.nodes.setdefault((node, token), len(self.nodes) + 1)
            same &= token == before
            name.append(token)
            if column % 2 == 0:
                context = (_MORE, column, column + 1 < len(self.previous))
                more = bool(self.coder.bit(context, wanted is not None and column + 1 < len(wanted)))
        self.previous = name
        return b"".join(name)

    def _token(self, column: int, same: int, before: bytes, expected: bytes, wanted: bytes | None) -> bytes:
        """Code one token; `before` is the previous name's, `same` says whether all tokens to its left are the same."""
        way, value = (_NEW, 0) if wanted is None else self._choose(column, same, before, expected, wanted)
        way, value = _tell(self.coder, column, same, way, value)
        if way == _EXPECTED:
            token = expected
        elif way == _STEP:
            token = _stepped(before, value)
        elif way == _KNOWN:
            if value >= len(self.tokens[column]):
                raise damaged()
            token = self.tokens[column][value]
        else:
            token = self._new(column, before, wanted or b"")
        if column % 2 and not token.isdigit():
            raise damaged()
        return token

    def _choose(self, column: int, same: int, before: bytes, expected: bytes, wanted: bytes) -> tuple[int, int]:
        """The most probable way to code `wanted`, with its number; _NEW only if there is no other way."""
        ways = [(_EXPECTED, 0)] if wanted == expected else []
        if column % 2 and (step := _step(before, wanted)) is not None:
            ways.append((_STEP, step))
        if (index := self.known[column].get(wanted)) is not None:
            ways.append((_KNOWN, index))
        best, best_price = (_NEW, 0), 0.0
        for way in ways:
            meter = BitMeter(self.coder)
            _tell(meter, column, same, *way)
            # Doubled for a known token, the only way that always fits a token seen before: where several ways fit, using
            # the same one each time is cheapest (measured on classes ordered by number: 3.42 -> 3.39 bits).
            price = 2 * meter.price if way[0] == _KNOWN else meter.price
            if price > best_price:
                best, best_price = way, price
            if price >= 0.5:  # skips the other ways, which could hardly win
                break
        return best

    def _new(self, column: int, before: bytes, wanted: bytes) -> bytes:
        """Code a token as the length of the prefix shared with `before` and the remaining bytes."""
        shared = next((at for at, (a, b) in enumerate(zip(before, wanted, strict=False)) if a != b), len(before))
        shared = self.coder.number((_SHARED, column), min(shared, len(wanted)))
        length = self.coder.number((_LENGTH, column, shared), len(wanted) - shared)
        if shared > len(before) or length > self.left:
            raise damaged()
        token = bytearray(before[:shared])
        for at in range(shared, shared + length):
            # The position from the end separates the letters of '.png' from what precedes them.
            place, last = min(shared + length - at, 6), token[-1] if token else 0
            byte, prefix = wanted[at] if wanted else 0, 1
            for shift in range(7, -1, -1):
                prefix = 2 * prefix + self.coder.bit((_BYTE, place, last, prefix), byte >> shift & 1)
            token.append(prefix & 255)
        return bytes(token)


def _tell(coder: BitCoder, column: int, same: int, way: int, value: int) -> tuple[int, int]:
    """Code the way in which a token is coded and the number that goes with it."""
    for candidate in (_EXPECTED, _STEP, _KNOWN):
        if coder.bit((_WAY, column, same, candidate), way == candidate):
            return candidate, 0 if candidate == _EXPECTED else coder.number((candidate, column), value)
    return _NEW, 0


def _step(before: bytes, token: bytes) -> int | None:
    """The step for which `_stepped` turns `before` into `token`, or None."""
    if max(len(before), len(token)) > _MAX_DIGITS or not before or int(token) < int(before):
        return None
    step = int(token) - int(before)
    return step if _stepped(before, step) == token else None


def _stepped(before: bytes, step: int) -> bytes:
    """The number `before` plus `step`, zero-padded to the length of `before`."""
    if not before.isdigit() or len(before) > _MAX_DIGITS:
        raise damaged()
    return b"%0*d" % (len(before), int(before) + step)


def _last_number(name: bytes) -> tuple[int, bytes]:
    """Sort key: the name's last number, then the name."""
    numbers = _DIGITS.findall(name)
    return (int(numbers[-1]) if numbers and len(numbers[-1]) <= _MAX_DIGITS else -1), name


def pack_names(names: list[bytes]) -> bytes:
    """Compress `names`; ValueError unless they are sorted by bytes and unique. No names give no bytes."""
    if any(left >= right for left, right in pairwise(names)):
        raise ValueError("names must be sorted by bytes and unique")
    # The reader needs to know neither the order nor the splitting: the shortest wins.
    split = [_DIGITS.split(name) for name in names]
    candidates = [_pack([[name] for name in names])]
    if sum(map(len, split)) <= _MAX_TOKENS * len(names):
        candidates.append(_pack(split))
        candidates.append(_pack([_DIGITS.split(name) for name in sorted(names, key=_last_number)]))
    return min(candidates, key=len)


def _pack(names: list[list[bytes]]) -> bytes:
    writer = BitWriter()
    model = _Model(writer, sum(len(token) for name in names for token in name))
    for name in names:
        model.name(name)
    return writer.finish()


def unpack_names(data: bytes, count: int, limit: int) -> list[bytes]:
    """The `count` names that `pack_names` compressed to `data`, sorted by bytes and unique.

    Raises DamagedError if `data` is not what `pack_names` writes for that many names, or if the names have more than
    `limit` bytes together; memory and time are proportional to `limit`.
    """
    reader = BitReader(data)
    model = _Model(reader, limit)
    names: set[bytes] = set()
    while len(names) < count:
        name = model.name(None)
        if name in names:  # also ends a stream of empty names
            raise damaged()
        names.add(name)
    reader.finish()
    return sorted(names)
