"""Stored files: byte for byte back, cheap when they repeat, bounded when the data is hostile."""

import contextlib
import lzma
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.archive.store import MAX_DICTIONARY_BITS, pack_stored, unpack_stored
from acncodec.archive.wire import Writer
from acncodec.errors import DamagedError

LIMIT = 2**20


def raw_lzma(body: bytes, bits: int = 16) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << bits}]
    return bytes([bits]) + lzma.compress(body, format=lzma.FORMAT_RAW, filters=filters)


def lengths(*values: int) -> bytes:
    out = Writer()
    for value in values:
        out.varint(value)
    return out.to_bytes()


@settings(max_examples=60)
@given(st.lists(st.one_of(st.binary(max_size=200), st.builds(bytes, st.integers(0, 3000))), max_size=8))
def test_round_trip(blobs: list[bytes]) -> None:
    packed = pack_stored(iter(blobs))
    assert unpack_stored(packed, len(blobs), sum(map(len, blobs))) == blobs
    assert pack_stored(blobs) == packed
    assert len(packed) <= 1 + sum(len(blob) + len(lengths(len(blob))) for blob in blobs)


def test_nothing_costs_one_byte() -> None:
    assert pack_stored([]) == b"\0"
    assert unpack_stored(b"\0", 0, 0) == []


def test_a_repeated_file_costs_next_to_nothing() -> None:
    noise = random.Random(1).randbytes(200_000)
    assert len(pack_stored([noise, noise])) < len(pack_stored([noise])) + 1500


def test_output_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    for blobs in ([bytes(3 * 2**20)], [b"\x01\x02"]):
        packed, total = pack_stored(blobs), len(blobs[0])
        assert unpack_stored(packed, 1, total) == blobs
        with pytest.raises(DamagedError):
            unpack_stored(packed, 1, total - 1)


def test_a_wrong_count_is_damage() -> None:
    packed = pack_stored([b"abc", b"defgh"])
    for count in (0, 1, 3, 100):
        with pytest.raises(DamagedError):
            unpack_stored(packed, count, LIMIT)


def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = raw_lzma(lengths(10) + bytes(20_000_000))
    with pytest.raises(DamagedError, match="longer"):
        unpack_stored(bomb, 1, 1000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0" + lengths(4) + b"abc",
        b"\0" + lengths(2) + b"abc",
        b"\0" + lengths(LIMIT + 1) + b"abc",
        b"\0\x81\x00a",
        bytes([1, 0]),
        bytes([MAX_DICTIONARY_BITS + 1, 0]),
        bytes([16]),
        bytes([16, 0]),
        bytes([16, 0xFF, 1, 2]),
        raw_lzma(lengths(3) + b"abc") + b"\0",
        raw_lzma(lengths(4) + b"abc"),
        raw_lzma(lengths(2) + b"abc"),
    ],
)
def test_hostile_data_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedError):
        unpack_stored(data, 1, LIMIT)


def test_limit_holds_for_the_sum() -> None:
    with pytest.raises(DamagedError, match="longer"):
        unpack_stored(b"\0" + lengths(3, 3) + b"abcdef", 2, 5)


def test_truncated_or_changed_streams_never_fail_otherwise() -> None:
    blobs = [b"some text " * 20, b"some other text " * 20]
    packed = pack_stored(blobs)
    assert packed[0] != 0
    for length in range(len(packed)):
        with pytest.raises(DamagedError):
            unpack_stored(packed[:length], 2, LIMIT)
    for place in range(len(packed)):
        for flip in (0xFF, 1, 0x80):
            data = bytearray(packed)
            data[place] ^= flip
            # May come out wrong: that is for the container's checksum to see.
            with contextlib.suppress(DamagedError):
                unpack_stored(bytes(data), 2, LIMIT)
