"""Packed models: integer weights entropy-coded, whole or as the difference to a base model of the same shape.

A plain model is a safetensors file (`nets/model.py`); its sha256 identifies it, packed or not. Any safetensors file of
integer tensors can be packed, and is restored byte for byte:

    sha256      32 bytes, of the plain file
    flags       1 byte: bit 0, with a base; bit 1, tensors may be SPLIT
    base        if any, its sha256, 32 bytes
    header      4 bytes length, then the plain file's header, deflated (zlib), with the base's as preset dictionary
    integers    the rest: whole 32-bit words of constriction's range coder

Each tensor is coded in one of these modes. ZERO: no data. BELL, for values within +-127 steps of 2^step: adaptive
frequencies that start from a bell of one of BELLS widths. WIDE: the digits of `width`-bit values, uniform. SPLIT, for
finer weights: values >> shift as in BELL, then their lower bits, uniform.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from constriction import stream

from acncodec.errors import ModelError

SHA256_BYTES = 32
LENGTH_BYTES = 4
MAX_HEADER_BYTES = 1 << 20
ZERO, BELL, WIDE, SPLIT = range(4)
WITH_BASE, WITH_SPLIT = 1, 2  # flags
STEPS = 16
BELLS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
BELL_MAX = 127
HEIGHT, GAIN = 1 << 12, 16  # scale of the bell, and what each occurrence of a value adds to its frequency
FIRST_RUN, LONGEST_RUN = 256, 1 << 14  # values between frequency updates: as many as coded so far, within these
DIGIT_BITS = 12
SPLIT_WIDTH = 20  # bits of the widest values that are split, so that the shift is below STEPS
WIDTHS = 34  # 0 to 33 bits: differences of 32-bit integers
DTYPES = {"I8": "<i1", "U8": "<u1", "I16": "<i2", "I32": "<i4"}


def pack_model(plain: bytes, base: bytes = b"") -> bytes:
    """Pack a plain file, alone or as the difference to the plain file `base`.

    Raises ValueError unless both hold integer tensors of the same sizes and types.
    """
    header, tensors = _tensors(plain)
    base_header, base_tensors = _tensors(base) if base else (b"", [np.zeros_like(t) for t in tensors])
    if [(t.size, t.dtype) for t in tensors] != [(t.size, t.dtype) for t in base_tensors]:
        raise ValueError("a model's base has other tensors than the model")
    values = [tensor.astype(np.int64) - known for tensor, known in zip(tensors, base_tensors, strict=True)]
    fine = any(t.dtype == np.int16 and np.abs(v).max(initial=0) > BELL_MAX for t, v in zip(tensors, values, strict=True))
    flags = WITH_BASE * bool(base) + WITH_SPLIT * fine
    names = hashlib.sha256(plain).digest() + bytes([flags]) + (hashlib.sha256(base).digest() if base else b"")
    deflate = zlib.compressobj(9, zdict=base_header)
    deflated = deflate.compress(header) + deflate.flush()
    coder = _Coder(fine)
    for each in values:
        coder.push(each)
    words = coder.encoder.get_compressed().astype("<u4").tobytes()
    return names + len(deflated).to_bytes(LENGTH_BYTES, "little") + deflated + words


def unpack_model(data: bytes, find: Callable[[bytes], bytes], limit: int) -> bytes:
    """The plain file, of at most `limit` bytes, of a packed model; `find` returns the plain file of a base by its sha256.

    Raises ModelError, and what `find` raises.
    """
    try:
        return _unpack(data, find, limit)
    except (ValueError, AssertionError, zlib.error) as error:
        raise ModelError("a packed model is damaged") from error


def names_of(data: bytes) -> tuple[bytes, bytes | None]:
    """The sha256 of a packed model's plain file, and of its base if it has one. Raises ModelError."""
    flags = _flags(data)
    names = data[:SHA256_BYTES], data[SHA256_BYTES + 1 : 2 * SHA256_BYTES + 1]
    if not flags & WITH_BASE:
        return names[0], None
    if len(names[1]) == SHA256_BYTES:
        return names
    raise ModelError("a packed model is damaged")


def _flags(data: bytes) -> int:
    if len(data) <= SHA256_BYTES or data[SHA256_BYTES] >= 2 * WITH_SPLIT:
        raise ModelError("a packed model is damaged")
    return data[SHA256_BYTES]


def _unpack(data: bytes, find: Callable[[bytes], bytes], limit: int) -> bytes:
    sha256, wanted = names_of(data)
    base = find(wanted) if wanted is not None else b""
    base_header, base_tensors = _tensors(base) if base else (b"", None)
    start = SHA256_BYTES + 1 + len(wanted or b"")
    end = start + LENGTH_BYTES + int.from_bytes(data[start : start + LENGTH_BYTES], "little")
    inflate = zlib.decompressobj(zdict=base_header)
    header = inflate.decompress(data[start + LENGTH_BYTES : end], MAX_HEADER_BYTES)
    rest = data[end:]
    if not inflate.eof or inflate.unused_data or len(rest) % 4:
        raise ValueError("its sections have wrong lengths")
    decoder = _Decoder(np.frombuffer(rest, "<u4").astype(np.uint32), bool(_flags(data) & WITH_SPLIT))
    parts, size = [len(header).to_bytes(8, "little"), header], 8 + len(header)
    for index, (count, dtype) in enumerate(_layout(header)):
        size += count * dtype.itemsize
        if size > limit:
            raise ValueError("it exceeds the size limit")
        values = decoder.pop(count)
        if base_tensors is not None:
            values += base_tensors[index]  # raises ValueError if shapes differ
        parts.append(values.astype(dtype).tobytes())
    plain = b"".join(parts)
    if hashlib.sha256(plain).digest() != sha256:
        raise ValueError("its sha256 does not match")
    return plain


def _tensors(plain: bytes) -> tuple[bytes, list[np.ndarray]]:
    """A safetensors file's header and its tensors, flat, in file order. Raises ValueError."""
    header = plain[8 : 8 + int.from_bytes(plain[:8], "little")]
    tensors, position = [], 8 + len(header)
    for count, dtype in _layout(header):
        end = position + count * dtype.itemsize
        tensors.append(np.frombuffer(plain[position:end], dtype))
        position = end
    if position != len(plain):
        raise ValueError("a model's tensors do not fill its file")
    return header, tensors


def _layout(header: bytes) -> Iterator[tuple[int, np.dtype]]:
    """Number of values and type of each tensor, in file order. Raises ValueError."""
    try:
        about: dict[str, Any] = json.loads(header)
        entries = [value for key, value in about.items() if key != "__metadata__"]
        spans = sorted((*value["data_offsets"], DTYPES[value["dtype"]]) for value in entries)
        position = 0
        for start, end, name in spans:
            dtype = np.dtype(name)
            if type(start) is not int or type(end) is not int or start != position or end < start:
                raise ValueError("a model's tensors are not contiguous")
            if (end - start) % dtype.itemsize:
                raise ValueError("a model's tensor has no whole number of values")
            position = end
            yield (end - start) // dtype.itemsize, dtype
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("a model's header is malformed") from error


class _Bells:
    """Adaptive frequencies of one tensor's values, -BELL_MAX to BELL_MAX: a bell plus counts of the values so far."""

    def __init__(self, bell: int) -> None:
        values = np.arange(-BELL_MAX, BELL_MAX + 1, dtype=np.int64)
        self.frequencies = np.maximum(1, HEIGHT * bell**3 // (bell**2 + values**2) ** 2)
        self.seen = 0

    def model(self) -> Any:
        return stream.model.Categorical(self.frequencies.astype(np.float64), perfect=False)

    def run(self) -> int:
        """Number of values to code next under the current frequencies."""
        return min(max(FIRST_RUN, self.seen), LONGEST_RUN)

    def count(self, values: np.ndarray) -> None:
        self.frequencies = self.frequencies + GAIN * np.bincount(values + BELL_MAX, minlength=2 * BELL_MAX + 1)
        self.seen += len(values)


class _Coder:
    """The encoder; `push` and `_Decoder.pop` are mirrors."""

    def __init__(self, split: bool) -> None:
        """`split` is whether the mode SPLIT is allowed."""
        self.encoder = stream.queue.RangeEncoder()
        self._split, self._ways = split, _ways(split)

    def push(self, values: np.ndarray) -> None:
        """Code values int64 [n]."""
        if not values.any():
            self._uniform(ZERO, self._ways)
            return
        step = min(STEPS - 1, int(np.bitwise_or.reduce(values) & -np.bitwise_or.reduce(values)).bit_length() - 1)
        if np.abs(values).max() <= BELL_MAX << step:
            self._uniform(BELL, self._ways)
            self._uniform(step, STEPS)
            self._push_bell(values >> step)
            return
        width = int(np.maximum(values, ~values).max()).bit_length() + 1
        if self._split and width <= SPLIT_WIDTH:
            shift = next(k for k in range(STEPS) if np.abs(values >> k).max() <= BELL_MAX)
            self._uniform(SPLIT, self._ways)
            self._uniform(shift, STEPS)
            self._push_bell(values >> shift)
            self.encoder.encode((values & (1 << shift) - 1).astype(np.int32), stream.model.Uniform(1 << shift))
            return
        self._uniform(WIDE, self._ways)
        self._uniform(width, WIDTHS)
        for shift, bits in _digits(width):
            digits = (values + (1 << width - 1)) >> shift & (1 << bits) - 1
            self.encoder.encode(digits.astype(np.int32), stream.model.Uniform(1 << bits))

    def _push_bell(self, values: np.ndarray) -> None:
        bell = min(range(len(BELLS)), key=lambda i: _bell_bits(values, BELLS[i]))
        self._uniform(bell, len(BELLS))
        bells = _Bells(BELLS[bell])
        while bells.seen < len(values):
            run = values[bells.seen : bells.seen + bells.run()]
            self.encoder.encode((run + BELL_MAX).astype(np.int32), bells.model())
            bells.count(run)

    def _uniform(self, value: int, size: int) -> None:
        self.encoder.encode(value, stream.model.Uniform(size))


class _Decoder:
    """The decoder."""

    def __init__(self, words: np.ndarray, split: bool) -> None:
        self._decoder = stream.queue.RangeDecoder(words)
        self._ways = _ways(split)

    def pop(self, count: int) -> np.ndarray:
        """The next tensor's values, int64 [count]."""
        way = self._uniform(self._ways)
        if way == ZERO:
            return np.zeros(count, np.int64)
        if way == BELL:
            step = self._uniform(STEPS)
            return self._pop_bell(count) << step
        if way == SPLIT:
            shift = self._uniform(STEPS)
            upper = self._pop_bell(count) << shift
            if shift:
                upper += self._decoder.decode(stream.model.Uniform(1 << shift), count).astype(np.int64)
            return upper
        width = self._uniform(WIDTHS)
        values = np.full(count, -(1 << width >> 1), np.int64)
        for shift, bits in _digits(width):
            values += self._decoder.decode(stream.model.Uniform(1 << bits), count).astype(np.int64) << shift
        return values

    def _pop_bell(self, count: int) -> np.ndarray:
        bells = _Bells(BELLS[self._uniform(len(BELLS))])
        values = np.empty(count, np.int64)
        while bells.seen < count:
            start = bells.seen
            end = min(count, start + bells.run())
            values[start:end] = self._decoder.decode(bells.model(), end - start).astype(np.int64) - BELL_MAX
            bells.count(values[start:end])
        return values

    def _uniform(self, size: int) -> int:
        return int(self._decoder.decode(stream.model.Uniform(size)))


def _ways(split: bool) -> int:
    return SPLIT + split


def _bell_bits(values: np.ndarray, bell: int) -> float:
    """Cost of values under frequencies that start from a bell of this width, in bits."""
    bells, total = _Bells(bell), 0.0
    while bells.seen < len(values):
        run = values[bells.seen : bells.seen + bells.run()]
        total -= np.log2(bells.frequencies[run + BELL_MAX] / bells.frequencies.sum()).sum()
        bells.count(run)
    return total


def _digits(width: int) -> list[tuple[int, int]]:
    """(shift, bits) of the digits of `width`-bit integers, most significant first."""
    return [(shift, min(DIGIT_BITS, width - shift)) for shift in range(0, width, DIGIT_BITS)][::-1]
