"""The HEAD section: one encoding for each header, and limits in both directions."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acncodec.archive import header as head
from acncodec.archive import limits
from acncodec.archive.header import (
    NAMES_DROP,
    NAMES_FOLDERS,
    NAMES_KEEP,
    PROMISE_BYTES,
    Header,
    ModelReference,
    decode,
    encode,
)
from acncodec.errors import DamagedError

HEADER = Header(
    names=NAMES_KEEP,
    promise=PROMISE_BYTES,
    exactness=b"abcd",
    models=[ModelReference("digits", bytes(32))],
    entries=5010,
    duplicates=3,
    folders=0,
    empty=2,
    blocks=[4096, 904],
    stores=[7],
)

printable = st.text(max_size=20, min_size=1).filter(str.isprintable)
counts = st.lists(st.integers(1, 2**19), max_size=12)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    names = draw(st.integers(0, 2))
    blocks, stores = draw(counts), draw(counts)
    duplicates = draw(st.integers(0, 2**22)) if blocks or stores else 0
    return Header(
        names=names,
        promise=draw(st.integers(0, 1)),
        exactness=draw(st.binary(min_size=4, max_size=4)),
        models=draw(st.lists(st.builds(ModelReference, printable, st.binary(min_size=32, max_size=32)), max_size=16)),
        entries=sum(blocks) + sum(stores) + duplicates,
        duplicates=duplicates,
        folders=draw(st.integers(0, limits.MAX_FOLDERS)) if names == NAMES_FOLDERS else 0,
        empty=draw(st.integers(0, limits.MAX_EMPTY)),
        blocks=blocks,
        stores=stores,
    )


@given(headers())
def test_round_trip(header: Header) -> None:
    assert decode(encode(header)) == header


def test_an_empty_directory_takes_few_bytes() -> None:
    header = dataclasses.replace(HEADER, models=[], entries=0, duplicates=0, blocks=[], stores=[])
    assert decode(encode(header)) == header
    assert len(encode(header)) == 11


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


@given(st.binary(max_size=100))
def test_garbage_is_damage_or_a_header(data: bytes) -> None:
    try:
        header = decode(data)
    except DamagedError:
        return
    assert encode(header) == data


def test_truncated_or_longer_is_damage() -> None:
    data = encode(HEADER)
    for length in range(len(data)):
        with pytest.raises(DamagedError):
            decode(data[:length])
    with pytest.raises(DamagedError):
        decode(data + b"\0")


BAD_FIELDS: list[dict[str, Any]] = [
    {"names": 3},
    {"promise": 2},
    {"exactness": b"abc"},
    {"models": HEADER.models * 17},
    {"models": [ModelReference("", bytes(32))]},
    {"models": [ModelReference("a\x1b[2J", bytes(32))]},
    {"models": [ModelReference("m" * 256, bytes(32))]},
    {"models": [ModelReference("m", bytes(31))]},
    {"blocks": [0]},
    {"blocks": [1, 0]},
    {"stores": [0]},
    {"stores": [3, 0, 3]},
    {"blocks": [], "stores": []},
    {"blocks": [limits.MAX_ENTRIES]},
    {"stores": [limits.MAX_ENTRIES]},
    {"duplicates": limits.MAX_ENTRIES},
    {"folders": 1},
    {"folders": 1, "names": NAMES_DROP},
    {"folders": limits.MAX_FOLDERS + 1, "names": NAMES_FOLDERS},
    {"empty": limits.MAX_EMPTY + 1},
]


def counted(header: Header) -> Header:
    """The same with `entries` as the other fields add up, so that only the named field is wrong."""
    entries = sum(header.blocks) + sum(header.stores) + header.duplicates
    return dataclasses.replace(header, entries=entries)


@pytest.mark.parametrize("fields", BAD_FIELDS)
def test_limits_hold_in_both_directions(fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    bad = counted(dataclasses.replace(HEADER, **fields))
    with pytest.raises(ValueError):
        encode(bad)
    with monkeypatch.context() as patch:
        patch.setattr(head, "_problem", lambda header: None)
        data = encode(bad)
    with pytest.raises(DamagedError):
        decode(data)


def test_limits_themselves_are_allowed() -> None:
    most = limits.MAX_ENTRIES - sum(HEADER.blocks) - sum(HEADER.stores)
    header = counted(dataclasses.replace(HEADER, duplicates=most, empty=limits.MAX_EMPTY, models=HEADER.models * 16))
    assert header.entries == limits.MAX_ENTRIES
    assert decode(encode(header)) == header


def test_blocks_and_stores_share_the_containers_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(HEADER)
    monkeypatch.setattr(head, "MAX_SECTIONS", 2)
    with pytest.raises(ValueError, match="2 blocks and 1 sections"):
        encode(HEADER)
    with pytest.raises(DamagedError, match="2 blocks and 1 sections"):
        decode(data)


@pytest.mark.parametrize(
    "fields",
    [
        {"names": -1},
        {"promise": -1},
        {"entries": HEADER.entries + 1},
        {"entries": HEADER.entries - 1},
        {"duplicates": -1, "entries": HEADER.entries - 4},
        {"folders": -1, "names": NAMES_FOLDERS},
        {"empty": -1},
        {"models": [ModelReference("\ud800", bytes(32))]},
    ],
)
def test_what_the_fields_cannot_hold_is_not_written(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        encode(dataclasses.replace(HEADER, **fields))
