"""FILE sections: round trips with classes, cheap repetition, and bounded memory on hostile data."""

import contextlib
import lzma
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.archive import store
from acncodec.archive.fields import FieldWriter
from acncodec.archive.limits import MAX_CLASSES, MAX_DICTIONARY_BITS, MAX_ENTRIES
from acncodec.archive.store import Store, pack_blob, pack_store, unpack_blob
from acncodec.errors import DamagedError

LIMIT = 2**20

items = st.tuples(
    st.one_of(st.integers(0, 2), st.integers(0, MAX_CLASSES - 1)),
    st.one_of(st.binary(max_size=200), st.builds(bytes, st.integers(0, 3000))),
)


def unpack_store(data: bytes, count: int, limit: int) -> list[tuple[int, bytes]]:
    """Class and content of all items."""
    found = Store(lambda: iter([data]), count, limit)
    return [(index, b"".join(found.chunks(item))) for item, index in enumerate(found.classes)]


def raw_lzma(body: bytes, bits: int = 16) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << bits}]
    return bytes([bits]) + lzma.compress(body, format=lzma.FORMAT_RAW, filters=filters)


def varints(*values: int) -> bytes:
    out = FieldWriter()
    for value in values:
        out.varint(value)
    return out.to_bytes()


@settings(max_examples=60, deadline=None)
@given(st.lists(items, max_size=8))
def test_round_trip(stored: list[tuple[int, bytes]]) -> None:
    packed = pack_store(stored)
    assert unpack_store(packed, len(stored), sum(len(content) for _, content in stored)) == stored
    assert pack_store(stored) == packed


def test_nothing_costs_one_byte() -> None:
    assert pack_store([]) == pack_blob(b"") == b"\0"
    assert unpack_store(b"\0", 0, 0) == []
    assert unpack_blob(b"\0", 0, "The test") == b""


def test_a_repeated_file_costs_next_to_nothing() -> None:
    noise = random.Random(1).randbytes(200_000)
    assert len(pack_store([(0, noise), (1, noise)])) < len(pack_store([(0, noise)])) + 1500


def test_incompressible_files_cost_their_bytes_and_a_header() -> None:
    contents = [random.Random(i).randbytes(100) for i in range(5)]
    assert pack_store([(7, content) for content in contents]) == b"\0" + varints(7, 5, *[100] * 5) + b"".join(contents)


def test_classes_are_coded_in_runs() -> None:
    stored = [(index // 100, b"") for index in range(100_000)]
    assert unpack_store(pack_store(stored), len(stored), 0) == stored
    assert len(pack_store(stored)) < 2000


def test_output_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    for content in (bytes(3 * 2**20), b"\x01\x02"):
        packed = pack_store([(0, content)])
        assert unpack_store(packed, 1, len(content)) == [(0, content)]
        with pytest.raises(DamagedError):
            unpack_store(packed, 1, len(content) - 1)
        blob = pack_blob(content)
        assert unpack_blob(blob, len(content), "The test") == content
        with pytest.raises(DamagedError, match="longer"):
            unpack_blob(blob, len(content) - 1, "The test")


def test_the_largest_fields_pass() -> None:
    """What is allowed beside the contents suffices for the longest classes, runs and lengths."""
    content = bytes(LIMIT)
    stored = [(MAX_CLASSES - 1, content), (MAX_CLASSES - 2, b"")] * 2
    assert unpack_store(pack_store(stored), 4, 2 * LIMIT) == stored


def test_a_wrong_count_is_damage() -> None:
    packed = pack_store([(1, b"abc"), (1, b"defgh")])
    for count in (0, 1, 3, 100):
        with pytest.raises(DamagedError):
            unpack_store(packed, count, LIMIT)


def test_a_class_out_of_range_is_not_written() -> None:
    for index in (-1, MAX_CLASSES):
        with pytest.raises(ValueError):
            pack_store([(index, b"")])


def peak_of_refusal(data: bytes, count: int, limit: int) -> int:
    """The most memory that was traced while `data` was refused, in bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match=r"longer|fewer|too many"):
            unpack_store(data, count, limit)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_decompression_bomb_is_stopped_at_the_limit() -> None:
    bomb = raw_lzma(varints(0, 1, 10) + bytes(20_000_000))
    assert peak_of_refusal(bomb, 1, 1000) < 2**20
    # LZMA's own buffer grows in steps; the rest is what was read.
    assert peak_of_refusal(bomb, 1, 2**21) < 2**24


def test_a_run_takes_no_memory_for_items_that_are_not_there() -> None:
    assert peak_of_refusal(b"\0" + varints(0, MAX_ENTRIES, 1) + b"a", MAX_ENTRIES, LIMIT) < 2**16


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0" + varints(0),
        b"\0" + varints(0, 1),
        b"\0" + varints(0, 1, 4) + b"abc",
        b"\0" + varints(0, 1, 2) + b"abc",
        b"\0" + varints(0, 1, LIMIT + 1) + b"abc",
        b"\0" + varints(0, 2, 3) + b"abc",
        b"\0" + varints(0, 0, 0, 1, 3) + b"abc",
        b"\0" + varints(1, 0, 0, 1, 3) + b"abc",
        b"\0" + varints(MAX_CLASSES, 1, 3) + b"abc",
        b"\0" + varints(0, 1) + b"\x81\x00a",
        bytes([1, 0]),
        bytes([MAX_DICTIONARY_BITS + 1, 0]),
        bytes([16]),
        bytes([16, 0]),
        bytes([16, 0xFF, 1, 2]),
        raw_lzma(varints(0, 1, 3) + b"abc") + b"\0",
        raw_lzma(varints(0, 1, 4) + b"abc"),
        raw_lzma(varints(0, 1, 2) + b"abc"),
    ],
)
def test_hostile_data_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedError):
        unpack_store(data, 1, LIMIT)


def test_the_data_that_the_hostile_cases_alter_is_valid() -> None:
    body = varints(0, 1, 3) + b"abc"
    for data in (b"\0" + body, raw_lzma(body), raw_lzma(body, MAX_DICTIONARY_BITS)):
        assert unpack_store(data, 1, LIMIT) == [(0, b"abc")]


@pytest.mark.parametrize("runs", [(3, 1, 3, 1), (3, 3), (3, 1, 4, 0, 5, 1), (3, 1, 4, 2)])
def test_runs_have_one_encoding(runs: tuple[int, ...]) -> None:
    with pytest.raises(DamagedError):
        unpack_store(b"\0" + varints(*runs, 1, 1) + b"ab", 2, LIMIT)


def test_limit_holds_for_the_sum() -> None:
    body = b"\0" + varints(0, 2, 3, 3) + b"abcdef"
    assert unpack_store(body, 2, 6) == [(0, b"abc"), (0, b"def")]
    with pytest.raises(DamagedError, match="longer"):
        unpack_store(body, 2, 5)


def test_messages_name_the_damaged_section() -> None:
    for data in (b"", b"\x01", b"\x10", b"\x10\xff\x01\x02", b"\0abc"):
        with pytest.raises(DamagedError, match=r"^The test is damaged"):
            unpack_blob(data, 2, "The test")


def test_truncated_or_changed_streams_never_fail_otherwise() -> None:
    stored = [(0, b"some text " * 20), (1, b"some other text " * 20)]
    packed = pack_store(stored)
    assert packed[0] != 0
    for length in range(len(packed)):
        with pytest.raises(DamagedError):
            unpack_store(packed[:length], 2, LIMIT)
    for place in range(len(packed)):
        for flip in (0xFF, 1, 0x80):
            data = bytearray(packed)
            data[place] ^= flip
            # May come out wrong: that is for the container's checksum to see.
            with contextlib.suppress(DamagedError):
                unpack_store(bytes(data), 2, LIMIT)


# What is too large to be kept


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(store, "STEP_BYTES", 256)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 3, 0, 2]])
@pytest.mark.parametrize("cut", [1, 100, 1 << 20])
def test_large_contents_come_in_pieces_in_any_order(order: list[int], cut: int) -> None:
    noise = random.Random(2)
    contents = [noise.randbytes(700), bytes(5000), b"", noise.randbytes(90) * 30]
    for packed in (pack_store([(i, content) for i, content in enumerate(contents)]), b"\0" + body_of(contents)):
        opened = Store(lambda packed=packed: (packed[i : i + cut] for i in range(0, len(packed), cut)), 4, LIMIT)
        assert opened.lengths == list(map(len, contents))
        for item in order:
            pieces = list(opened.chunks(item))
            assert b"".join(pieces) == contents[item]
            assert max(map(len, pieces), default=0) <= 256


@pytest.mark.usefixtures("small")
def test_two_may_read_large_contents_at_once() -> None:
    contents = [bytes([i]) * 2000 for i in range(3)]
    opened = Store(lambda: iter([pack_store([(0, content) for content in contents])]), 3, LIMIT)
    both = [opened.chunks(0), opened.chunks(1)]
    found = [b"", b""]
    for _ in range(8):
        for i, chunks in enumerate(both):
            found[i] += next(chunks)
    assert found == [content[: len(each)] for content, each in zip(contents, found, strict=False)]
    assert b"".join(opened.chunks(2)) == contents[2]


@pytest.mark.usefixtures("small")
def test_the_beginnings_of_large_contents_are_read_in_one_go() -> None:
    contents = [bytes([i]) * 2000 for i in range(9)]
    packed, begun = pack_store([(0, content) for content in contents]), []
    opened = Store(lambda: begun.append(None) or iter([packed]), len(contents), LIMIT)
    assert [next(opened.chunks(item)) for item in range(9)] == [content[:256] for content in contents]
    assert len(begun) == 2  # for the index, then for the contents


@pytest.mark.usefixtures("small")
def test_damage_of_large_contents_is_detected_at_their_end() -> None:
    packed = raw_lzma(varints(0, 1, 5000) + bytes(5001))
    opened = Store(lambda: iter([packed]), 1, LIMIT)
    with pytest.raises(DamagedError, match="too many"):
        list(opened.chunks(0))
    opened = Store(lambda: iter([raw_lzma(varints(0, 1, 5000) + bytes(4999))]), 1, LIMIT)
    with pytest.raises(DamagedError, match="too early"):
        list(opened.chunks(0))


def body_of(contents: list[bytes]) -> bytes:
    runs = [number for index in range(len(contents)) for number in (index, 1)]
    return varints(*runs, *map(len, contents)) + b"".join(contents)


@pytest.mark.slow
def test_a_large_content_is_listed_and_read_in_little_memory() -> None:
    bomb = raw_lzma(varints(0, 1, 300_000_000) + bytes(300_000_000), bits=16)
    tracemalloc.start()
    try:
        opened = Store(lambda: iter([bomb]), 1, 1 << 40)
        assert opened.lengths == [300_000_000]
        assert tracemalloc.get_traced_memory()[1] < 2**22
        assert sum(map(len, opened.chunks(0))) == 300_000_000
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
