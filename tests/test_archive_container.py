"""The archive's fields, container and header: what goes in comes out, and nothing else gets through."""

import dataclasses
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acncodec.archive import header as head
from acncodec.archive.container import MAGIC, MAX_SECTIONS, read_container, write_container
from acncodec.archive.header import Group, Header, Model, decode, encode
from acncodec.archive.wire import MAX_VARINT, Reader, Writer
from acncodec.errors import DamagedError, UnsupportedError

SECTIONS = [("HEAD", b"\x01\x02\x03"), ("TOUR", b""), ("BITS", bytes(range(40)))]
SMALL = b"".join(write_container(SECTIONS))

tags = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=4, max_size=4)
section_lists = st.lists(st.tuples(tags, st.binary(max_size=300)), max_size=MAX_SECTIONS, unique_by=lambda s: s[0])


def varint(value: int) -> bytes:
    out = Writer()
    out.varint(value)
    return out.to_bytes()


def sealed(start: bytes, rest: bytes = b"") -> bytes:
    """A file whose header has a right checksum, whatever the header says."""
    return start + zlib.crc32(start).to_bytes(4, "little") + rest


# Fields


@given(st.integers(0, MAX_VARINT), st.binary(max_size=50), st.text(max_size=20), st.integers(0, 255))
def test_fields_come_back(number: int, data: bytes, text: str, byte: int) -> None:
    out = Writer()
    out.varint(number)
    out.blob(data)
    out.text(text)
    out.u8(byte)
    out.fixed(data)
    reader = Reader(out.to_bytes(), "The test")
    assert (reader.varint(), reader.blob(50), reader.text(80), reader.u8()) == (number, data, text, byte)
    assert reader.fixed(len(data)) == data
    reader.end()


@given(st.binary(max_size=12))
def test_a_varint_has_one_encoding(data: bytes) -> None:
    reader = Reader(data, "The test")
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
        Reader(data, "The test").varint()


def test_varint_limits() -> None:
    assert varint(MAX_VARINT) == b"\xff" * 9 + b"\x01"
    assert Reader(b"\x07", "The test").varint(7) == 7
    with pytest.raises(DamagedError, match="range"):
        Reader(b"\x08", "The test").varint(7)
    for value in (-1, MAX_VARINT + 1):
        with pytest.raises(ValueError):
            varint(value)


def test_reader_refuses_what_is_not_there_or_too_much() -> None:
    with pytest.raises(DamagedError, match="too early"):
        Reader(b"abc", "The test").fixed(4)
    with pytest.raises(DamagedError, match="too early"):
        Reader(b"\x05abcd", "The test").blob(100)
    with pytest.raises(DamagedError, match="range"):
        Reader(b"\x05abcde", "The test").blob(4)
    with pytest.raises(DamagedError, match="UTF-8"):
        Reader(b"\x02\xc0\x80", "The test").text(10)
    with pytest.raises(DamagedError, match="1 bytes too many"):
        Reader(b"a", "The test").end()


# Container


@given(section_lists)
def test_container_round_trip_accounts_for_every_byte(sections: list[tuple[str, bytes]]) -> None:
    data = b"".join(write_container(sections))
    container = read_container(memoryview(data))
    assert list(container.sections.items()) == sections
    assert sum(container.overhead.values()) + sum(map(len, container.sections.values())) == len(data)
    assert b"".join(write_container(list(container.sections.items()))) == data


def test_six_sections_cost_less_than_90_bytes() -> None:
    sections = [(f"SEC{i}", bytes(30_000)) for i in range(6)]
    assert sum(read_container(b"".join(write_container(sections))).overhead.values()) < 90


@pytest.mark.parametrize("flip", [0xFF, *(1 << bit for bit in range(8))])
def test_no_changed_byte_gets_through(flip: int) -> None:
    for place in range(len(SMALL)):
        data = bytearray(SMALL)
        data[place] ^= flip
        with pytest.raises((DamagedError, UnsupportedError)):
            read_container(bytes(data))


def test_no_truncation_nor_addition_gets_through() -> None:
    for length in range(len(SMALL)):
        with pytest.raises(DamagedError):
            read_container(SMALL[:length])
    with pytest.raises(DamagedError, match="too many"):
        read_container(SMALL + b"\0")
    with pytest.raises(DamagedError):
        read_container(SMALL + SMALL)


@given(st.binary(max_size=60))
def test_garbage_is_damage(data: bytes) -> None:
    for start in (b"", MAGIC, MAGIC + b"\x01"):
        with pytest.raises((DamagedError, UnsupportedError)):
            read_container(start + data)


def test_damage_is_named() -> None:
    with pytest.raises(DamagedError, match="not an acncodec archive"):
        read_container(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(DamagedError, match="section BITS"):
        read_container(SMALL[:-1] + b"\0")
    with pytest.raises(DamagedError, match=r"truncated: 5 bytes"):
        read_container(SMALL[:-5])


def test_later_versions_and_features_are_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="version 2"):
        read_container(MAGIC + b"\x02")
    with pytest.raises(UnsupportedError, match="bits 0, 5"):
        read_container(sealed(MAGIC + b"\x01" + varint(0b100001) + varint(0)))


@pytest.mark.parametrize(
    ("table", "payloads"),
    [
        (b"\x02HEAD\x00HEAD\x00", bytes(8)),
        (b"\x01HE D\x00", bytes(4)),
        (b"\x01\xc3\xa9AB\x00", bytes(4)),
        (b"\x01HEAD\x80\x00", bytes(4)),
        (b"\x01HEAD" + varint(2**40), bytes(4)),
        (b"\x01HEAD" + varint(2**40 + 1), bytes(4)),
        (varint(17) + b"".join(b"TAG%c\x00" % (65 + i) for i in range(17)), bytes(4 * 17)),
        (varint(MAX_VARINT), b""),
    ],
)
def test_a_bad_table_under_a_right_checksum_is_damage(table: bytes, payloads: bytes) -> None:
    with pytest.raises(DamagedError):
        read_container(sealed(MAGIC + b"\x01\x00" + table, payloads))


@pytest.mark.parametrize(
    "bad", [["ABC"], ["ABCDE"], ["AB D"], ["ABÄ"], ["SAME", "SAME"], [f"SE{i:02d}" for i in range(17)]]
)
def test_writer_refuses_bad_tags(bad: list[str]) -> None:
    with pytest.raises(ValueError):
        write_container([(tag, b"") for tag in bad])


# Header

GROUP = Group(mode=1, container=0, height=28, width=28, count=100, lanes=10, model=0, digest=bytes(16))
HEADER = Header(
    names=1,
    order=0,
    prior=0,
    seed_words=5,
    models=[Model("digits", bytes(32))],
    groups=[GROUP, dataclasses.replace(GROUP, mode=0)],
    stored=3,
    files=203,
    exactness=b"abcd",
)

names = st.text(max_size=20, min_size=1).filter(str.isprintable)
models = st.lists(st.builds(Model, names, st.binary(min_size=32, max_size=32)), min_size=1, max_size=16)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    chosen = draw(models)
    count = st.integers(1, 2**18)
    side = st.integers(1, 2**7)
    some = st.builds(
        lambda mode, container, height, width, count, share, model, digest: Group(
            mode,
            container,
            height,
            width,
            count,
            1 + (share % min(count, 512, max(1, 2**20 // (height * width)))),
            model,
            digest,
        ),
        *(st.integers(0, 1), st.integers(0, 1), side, side, count, st.integers(0, 2**16)),
        st.integers(0, len(chosen) - 1),
        st.binary(min_size=16, max_size=16),
    )
    kind = st.lists(some, max_size=8, unique_by=lambda g: (g.mode, g.container, g.height, g.width))
    bit = st.integers(0, 1)
    stored, keep = draw(st.integers(0, 2**24)), draw(bit)
    groups = draw(kind)
    files = stored + sum(group.count for group in groups) if keep else 0
    seed_words, exactness = draw(st.integers(0, 2**26)), draw(st.binary(min_size=4, max_size=4))
    return Header(keep, draw(bit), draw(bit), seed_words, chosen, groups, stored, files, exactness)


@given(headers())
def test_header_round_trip(header: Header) -> None:
    assert decode(encode(header)) == header


@given(st.data())
def test_what_decodes_encodes_to_the_same_bytes(data: st.DataObject) -> None:
    changed = bytearray(encode(HEADER))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = decode(bytes(changed))
    except DamagedError:
        return
    assert encode(header) == bytes(changed)


def test_header_truncated_or_longer_is_damage() -> None:
    data = encode(HEADER)
    for length in range(len(data)):
        with pytest.raises(DamagedError):
            decode(data[:length])
    with pytest.raises(DamagedError):
        decode(data + b"\0")


BAD_FIELDS: list[dict[str, Any]] = [
    {"prior": 2},
    {"seed_words": head.MAX_SEED_WORDS + 1},
    {"stored": head.MAX_STORED + 1},
    {"files": 2},
    {"files": head.MAX_IMAGES + head.MAX_STORED + 1},
    {"names": 0},
    {"exactness": b"abc"},
    {"models": []},
    {"models": [Model("m", bytes(32))] * 17},
    {"models": [Model("", bytes(32))]},
    {"models": [Model("a\x1b[2J", bytes(32))]},
    {"models": [Model("m" * 256, bytes(32))]},
    {"models": [Model("m", bytes(31))]},
    {"groups": [GROUP, dataclasses.replace(GROUP, count=7, lanes=7)]},
    {"groups": [dataclasses.replace(GROUP, width=1 + i, count=2**23) for i in range(3)]},
]
BAD_GROUPS: list[dict[str, Any]] = [
    {"mode": 2},
    {"container": 2},
    {"height": 0},
    {"width": 0},
    {"height": 2**13 + 1, "width": 2**13},
    {"count": 0, "lanes": 0},
    {"count": head.MAX_IMAGES + 1},
    {"lanes": 0},
    {"lanes": 101},
    {"lanes": 513, "count": 2**20},
    {"lanes": 65, "height": 128, "width": 128},
    {"model": 1},
    {"digest": bytes(15)},
]


def counted(header: Header) -> Header:
    """The same with the number of files that stored files and groups add up to, so that only the named field is wrong."""
    return dataclasses.replace(header, files=header.stored + sum(group.count for group in header.groups))


BAD_HEADERS = [dataclasses.replace(HEADER, **fields) for fields in BAD_FIELDS if "files" in fields or "names" in fields]
BAD_HEADERS += [counted(dataclasses.replace(HEADER, **fields)) for fields in BAD_FIELDS if "files" not in fields]
BAD_HEADERS += [
    counted(dataclasses.replace(HEADER, groups=[dataclasses.replace(GROUP, **fields)])) for fields in BAD_GROUPS
]


@pytest.mark.parametrize("bad", BAD_HEADERS)
def test_limits_hold_in_both_directions(bad: Header, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError):
        encode(bad)
    with monkeypatch.context() as patch:
        patch.setattr(head, "_problem", lambda header: None)
        data = encode(bad)
    with pytest.raises(DamagedError):
        decode(data)


@pytest.mark.parametrize("fields", [{"names": 2}, {"order": 2}, {"prior": -1}, {"seed_words": -1}, {"stored": -1}])
def test_what_the_fields_cannot_hold_is_not_written(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        encode(dataclasses.replace(HEADER, **fields))
