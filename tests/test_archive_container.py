"""Primitive fields and the sectioned container: round trips, and damage detected and confined to its section."""

import io
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.archive import container as module
from acncodec.archive.container import CRC_BYTES, MAGIC, VERSION, Container, read_container, write_container
from acncodec.archive.fields import MAX_VARINT, FieldReader, FieldWriter
from acncodec.archive.limits import MAX_SECTION_BYTES, MAX_SECTIONS
from acncodec.errors import DamagedError, InputError, UnsupportedError

SECTIONS = [("HEAD", b"\x01\x02\x03"), ("BLCK", bytes(range(20))), ("NAME", b""), ("BLCK", bytes(range(40)))]
SMALL = b"".join(write_container(SECTIONS))
START = MAGIC + bytes([VERSION])

tags = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=4, max_size=4)
section_lists = st.lists(st.tuples(tags, st.binary(max_size=300)), max_size=40)


def opened(data: bytes, tolerant: bool = False) -> Container:
    return read_container(io.BytesIO(data), tolerant)


def payloads(container: Container) -> list[bytes | None]:
    """All sections' payloads, None for one that is damaged."""

    def payload(index: int) -> bytes | None:
        try:
            return container.read(index)
        except DamagedError:
            return None

    return [payload(index) for index in range(len(container.tags))]


def varint(value: int) -> bytes:
    out = FieldWriter()
    out.varint(value)
    return out.to_bytes()


def sealed(start: bytes, rest: bytes = b"") -> bytes:
    """A file whose header has a right checksum, whatever the header says."""
    return start + zlib.crc32(start).to_bytes(4, "little") + rest


# Fields


@given(st.integers(0, MAX_VARINT), st.binary(max_size=50), st.text(max_size=20), st.integers(0, 255))
def test_fields_come_back(number: int, data: bytes, text: str, byte: int) -> None:
    out = FieldWriter()
    out.varint(number)
    out.blob(data)
    out.text(text)
    out.u8(byte)
    out.fixed(data)
    reader = FieldReader(out.to_bytes(), "The test")
    assert (reader.varint(), reader.blob(50), reader.text(80), reader.u8()) == (number, data, text, byte)
    assert reader.fixed(len(data)) == data
    reader.end()


@given(st.binary(max_size=12))
def test_a_varint_has_one_encoding(data: bytes) -> None:
    reader = FieldReader(data, "The test")
    try:
        value = reader.varint()
    except DamagedError:
        return
    assert varint(value) == data[: reader.position]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80", b"\x80\x00", b"\xff\x80\x00", b"\xff" * 9 + b"\x02", b"\x80" * 10, b"\x80" * 10 + b"\x01"],
)
def test_bad_varints_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedError):
        FieldReader(data, "The test").varint()


def test_varint_limits() -> None:
    assert varint(MAX_VARINT) == b"\xff" * 9 + b"\x01"
    assert FieldReader(b"\x07", "The test").varint(7) == 7
    with pytest.raises(DamagedError, match="range"):
        FieldReader(b"\x08", "The test").varint(7)
    for value in (-1, MAX_VARINT + 1):
        with pytest.raises(ValueError):
            varint(value)


def test_missing_or_oversized_fields_are_refused() -> None:
    with pytest.raises(DamagedError, match="too early"):
        FieldReader(b"abc", "The test").fixed(4)
    with pytest.raises(DamagedError, match="too early"):
        FieldReader(b"\x05abcd", "The test").blob(100)
    with pytest.raises(DamagedError, match="range"):
        FieldReader(b"\x05abcde", "The test").blob(4)
    with pytest.raises(DamagedError, match="UTF-8"):
        FieldReader(b"\x02\xc0\x80", "The test").text(10)
    with pytest.raises(DamagedError, match="1 bytes too many"):
        FieldReader(b"a", "The test").end()


# Container: the right way


@given(section_lists)
def test_round_trip_accounts_for_every_byte(sections: list[tuple[str, bytes]]) -> None:
    data = b"".join(write_container(sections))
    container = opened(data)
    assert list(zip(container.tags, payloads(container), strict=True)) == sections
    assert container.sizes == [len(payload) for _, payload in sections]
    assert sum(container.overhead.values()) + sum(container.sizes) == container.size == len(data)
    assert container.missing == 0


def test_six_sections_cost_less_than_90_bytes() -> None:
    sections = [(f"SEC{i}", bytes(30_000)) for i in range(6)]
    assert sum(opened(b"".join(write_container(sections))).overhead.values()) < 90


def test_a_long_table_comes_back() -> None:
    sections = [("BLCK", bytes(i % 3)) for i in range(5000)]
    assert payloads(opened(b"".join(write_container(sections)))) == [payload for _, payload in sections]


class Watched(io.BytesIO):
    """Notes how much was asked for in all; `between` is called between a seek and the read that follows."""

    asked = 0
    between: Callable[[], None] | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 <= size <= len(self.getbuffer())
        self.asked += size
        if self.between:
            self.between()
        return super().read(size)


def test_opening_reads_no_payload() -> None:
    sections = [("BLCK", bytes(100_000))] * 30
    file = Watched(b"".join(write_container(sections)))
    container = read_container(file)
    assert file.asked < 1000
    container.read(17)
    assert 100_000 < file.asked < 101_000


def test_a_payload_beyond_4_gib_is_found(tmp_path: Path) -> None:
    length = 5 * 2**30
    head = sealed(START + b"\x00\x02BLCK" + varint(length) + b"LAST" + varint(3))
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(head)
        file.seek(len(head) + length + CRC_BYTES)
        file.write(b"abc" + zlib.crc32(b"abc").to_bytes(4, "little"))
    with path.open("rb") as file:
        assert read_container(file).read(1) == b"abc"


def test_threads_may_read_at_once() -> None:
    sections = [("BLCK", bytes([i]) * (1 + i)) for i in range(8)]
    file = Watched(b"".join(write_container(sections)))
    container = read_container(file)
    file.between = lambda: time.sleep(0.0005)
    results: dict[int, list[bytes | None]] = {}
    threads = [threading.Thread(target=lambda i=i: results.update({i: payloads(container)})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(results.values()) == [[payload for _, payload in sections]] * 4


# Container: damage


@pytest.mark.parametrize("flip", [0xFF, *(1 << bit for bit in range(8))])
@pytest.mark.parametrize("tolerant", [False, True])
def test_a_changed_byte_damages_only_its_section(flip: int, tolerant: bool) -> None:
    ends = []
    place = opened(SMALL).overhead["header"] + CRC_BYTES
    for _, payload in SECTIONS:
        place += len(payload) + CRC_BYTES
        ends.append(place)
    hurt = set()
    for place in range(len(SMALL)):
        data = bytearray(SMALL)
        data[place] ^= flip
        try:
            container = opened(bytes(data), tolerant)
        except (DamagedError, UnsupportedError):
            assert place < ends[0] - len(SECTIONS[0][1]) - CRC_BYTES
            continue
        number = next(i for i, end in enumerate(ends) if place < end)
        assert payloads(container) == [None if i == number else payload for i, (_, payload) in enumerate(SECTIONS)]
        hurt.add(number)
    assert hurt == set(range(len(SECTIONS)))


def test_every_truncation_is_detected() -> None:
    for length in range(len(SMALL)):
        with pytest.raises(DamagedError):
            opened(SMALL[:length])
    with pytest.raises(DamagedError, match=r"truncated: 5 bytes"):
        opened(SMALL[:-5])


def test_sections_before_a_truncated_end_can_be_read() -> None:
    table_end = opened(SMALL).overhead["header"] + CRC_BYTES
    for length in range(len(SMALL)):
        if length < table_end:
            with pytest.raises(DamagedError):
                opened(SMALL[:length], tolerant=True)
            continue
        container = opened(SMALL[:length], tolerant=True)
        assert (container.size, container.missing) == (length, len(SMALL) - length)
        end = table_end
        for got, (_, payload) in zip(payloads(container), SECTIONS, strict=True):
            end += len(payload) + CRC_BYTES
            assert got == (payload if end <= length else None)


@pytest.mark.parametrize("tolerant", [False, True])
def test_trailing_bytes_are_damage(tolerant: bool) -> None:
    for tail in (b"\0", SMALL):
        with pytest.raises(DamagedError, match=f"{len(tail)} bytes too many"):
            opened(SMALL + tail, tolerant)


@given(st.binary(max_size=60))
def test_garbage_is_damage(data: bytes) -> None:
    for start in (b"", MAGIC, START):
        with pytest.raises((DamagedError, UnsupportedError)):
            opened(start + data)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(tags, st.integers(0, MAX_SECTION_BYTES)), max_size=5), st.binary(max_size=60))
def test_a_table_that_claims_too_much_reads_no_more_than_there_is(table: list[tuple[str, int]], rest: bytes) -> None:
    head = START + b"\x00" + varint(len(table)) + b"".join(tag.encode() + varint(length) for tag, length in table)
    try:
        container = read_container(Watched(sealed(head, rest)), tolerant=True)
    except DamagedError as error:
        assert "too many" in str(error)  # noqa: PT017
        return
    payloads(container)


def test_damage_is_named() -> None:
    with pytest.raises(DamagedError, match="not an acncodec archive"):
        opened(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(DamagedError, match=r"section 4 \(BLCK\) is damaged"):
        opened(SMALL[:-1] + b"\0").read(3)
    with pytest.raises(DamagedError, match=r"section 4 \(BLCK\) is incomplete"):
        opened(SMALL[:-1], tolerant=True).read(3)


def test_a_file_that_shrinks_while_open_is_damage() -> None:
    file = io.BytesIO(SMALL)
    container = read_container(file)
    file.truncate(len(SMALL) - 1)
    assert payloads(container) == [payload for _, payload in SECTIONS[:-1]] + [None]


def test_read_errors_are_reported() -> None:
    class Bad(io.BytesIO):
        broken = False

        def read(self, size: int | None = -1, /) -> bytes:
            if self.broken:
                raise OSError(5, "Input/output error")
            return super().read(size)

    file = Bad(SMALL)
    container = read_container(file)
    file.broken = True
    with pytest.raises(DamagedError, match=r"section 1 \(HEAD\) cannot be read: Input/output error"):
        container.read(0)
    with pytest.raises(InputError, match="cannot be read"):
        read_container(file)


def test_other_versions_and_features_are_unsupported() -> None:
    for version in (0, 1, 3):
        with pytest.raises(UnsupportedError, match=f"version {version}"):
            opened(MAGIC + bytes([version]))
    with pytest.raises(UnsupportedError, match="bits 5, 6"):
        opened(sealed(START + varint(0b1100000) + varint(0)))


@pytest.mark.parametrize(
    ("table", "rest"),
    [
        (b"\x01HE D\x00", bytes(4)),
        (b"\x01\xc3\xa9AB\x00", bytes(4)),
        (b"\x01\xe9\xe9AB\x00", bytes(4)),
        (b"\x01HEAD\x80\x00", bytes(4)),
        (b"\x01HEAD" + varint(MAX_SECTION_BYTES), bytes(4)),
        (varint(MAX_SECTIONS), bytes(100)),
        (varint(MAX_VARINT), b""),
    ],
)
def test_a_bad_table_under_a_right_checksum_is_damage(table: bytes, rest: bytes) -> None:
    with pytest.raises(DamagedError):
        opened(sealed(START + b"\x00" + table, rest))


def test_limits_of_the_table_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    too_long = sealed(START + b"\x00\x01HEAD" + varint(MAX_SECTION_BYTES + 1))
    with pytest.raises(DamagedError, match="range"):
        opened(too_long, tolerant=True)
    monkeypatch.setattr(module, "MAX_SECTIONS", len(SECTIONS))
    assert payloads(opened(SMALL)) == [payload for _, payload in SECTIONS]
    monkeypatch.setattr(module, "MAX_SECTIONS", len(SECTIONS) - 1)
    with pytest.raises(DamagedError, match="range"):
        opened(SMALL)
    with pytest.raises(ValueError, match="sections"):
        write_container(SECTIONS)


@pytest.mark.parametrize("bad", ["ABC", "ABCDE", "AB D", "ABÄ", "ABCÄ", ""])
def test_writer_refuses_bad_tags(bad: str) -> None:
    with pytest.raises(ValueError):
        write_container([(bad, b"")])
