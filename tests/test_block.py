"""The BLCK section: one encoding for each block, limits in both directions, and every bit accounted for."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acncodec.archive import block as module
from acncodec.archive import limits
from acncodec.archive.block import Block, account, decode, encode
from acncodec.archive.fields import MAX_VARINT
from acncodec.errors import DamagedError

BLOCK = Block(
    classes=[(0, 3), (5, 1000)],
    tour=True,
    conditional=False,
    lanes=[1, 64],
    seed_words=[300],
    digest=bytes(range(16)),
    tally=(1000, 200, 30, 999, 170),
    order=b"order",
    bits=[bytes(range(8))],
)

SEVERAL = dataclasses.replace(BLOCK, seed_words=[300, 0, 5], bits=[bytes(range(8)), b"", bytes(12)])

words = st.binary(max_size=40).map(lambda data: data[: len(data) // 4 * 4])
varints = st.integers(0, MAX_VARINT)
blocks = st.builds(
    Block,
    classes=st.dictionaries(st.integers(0, limits.MAX_CLASSES - 1), st.integers(1, 2**20), min_size=1, max_size=10).map(
        lambda counts: sorted(counts.items())
    ),
    tour=st.booleans(),
    conditional=st.booleans(),
    lanes=st.lists(st.integers(1, limits.MAX_LANES), max_size=10),
    seed_words=st.just([0]),
    digest=st.binary(min_size=16, max_size=16),
    tally=st.tuples(varints, varints, varints, varints, varints),
    order=st.binary(max_size=40),
    bits=st.lists(words, min_size=1, max_size=5),
).flatmap(
    lambda block: st.lists(st.integers(0, limits.MAX_SEED_WORDS), min_size=len(block.bits), max_size=len(block.bits)).map(
        lambda seeds: dataclasses.replace(block, seed_words=seeds)
    )
)


@given(blocks)
def test_round_trip(block: Block) -> None:
    assert decode(encode(block)) == block


@given(blocks)
def test_account_adds_up(block: Block) -> None:
    data = encode(block)
    parts = account(block, len(data))
    assert sum(parts.values()) == 8 * len(data)
    assert min(parts.values()) >= 0


def test_account_of_a_known_block() -> None:
    assert account(BLOCK, len(encode(BLOCK))) == {
        "bits": 64,
        "order": 40,
        "ledger": 8 * (2 + 2 + 1 + 2 + 2),
        "digest": 128,
        "block header": 8 * (1 + 1 + 2 + 3 + 3 + 2 + 1),  # flags, count, two classes, lanes, seed words, order's length
    }


@given(st.data(), st.sampled_from([BLOCK, SEVERAL]))
def test_what_decodes_encodes_to_the_same_bytes(data: st.DataObject, known: Block) -> None:
    changed = bytearray(encode(known))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        block = decode(bytes(changed))
    except DamagedError:
        return
    assert encode(block) == bytes(changed)


def test_a_block_of_several_stacks_tells_where_each_begins() -> None:
    one, several = encode(BLOCK), encode(SEVERAL)
    at = one.index(b"\xac\x02")  # 300 words
    # The number, then seed words and words of each but the last.
    assert several == bytes([one[0] | 4]) + one[1:at] + b"\x03\xac\x02\x02\0\0\5" + one[at + 2 :] + bytes(12)
    for count in (0, 1):
        with pytest.raises(DamagedError):
            decode(several.replace(b"\x03\xac", bytes([count, 0xAC])))
    for cut in range(1, 24, 4):
        with pytest.raises(DamagedError):
            decode(several[:-cut])


def test_every_meaningless_flag_is_damage() -> None:
    data = encode(BLOCK)
    for flags in range(4):
        block = decode(bytes([flags]) + data[1:])
        assert (block.tour, block.conditional) == (bool(flags & 1), bool(flags & 2))
    for flags in range(8, 256):
        with pytest.raises(DamagedError):
            decode(bytes([flags]) + data[1:])


def test_truncated_is_damage_unless_whole_words_are_gone() -> None:
    data = encode(BLOCK)
    for length in range(len(data)):
        left = len(BLOCK.bits[0]) - (len(data) - length)
        # The container's checksum and the coder tell that words are missing; this section cannot.
        if left >= 0 and left % 4 == 0:
            assert decode(data[:length]).bits == [BLOCK.bits[0][:left]]
            continue
        with pytest.raises(DamagedError):
            decode(data[:length])


@given(st.binary(max_size=100))
def test_garbage_is_damage_or_a_block(data: bytes) -> None:
    try:
        block = decode(data)
    except DamagedError:
        return
    assert encode(block) == data


BAD_FIELDS: list[dict[str, Any]] = [
    {"classes": []},
    {"classes": [(0, 0)]},
    {"classes": [(0, 1), (1, 0)]},
    {"classes": [(limits.MAX_CLASSES, 1)]},
    {"classes": [(0, 1), (limits.MAX_CLASSES, 1)]},
    {"classes": [(0, limits.MAX_ENTRIES), (1, 1)]},
    {"lanes": [0]},
    {"lanes": [1, limits.MAX_LANES + 1]},
    {"seed_words": [limits.MAX_SEED_WORDS + 1]},
    {"bits": [bytes(9)]},
    {"seed_words": [0, 0], "bits": [b"", bytes(9)]},
    {"seed_words": (limits.MAX_STACKS + 1) * [0], "bits": (limits.MAX_STACKS + 1) * [b""]},
]


@pytest.mark.parametrize("fields", BAD_FIELDS)
def test_limits_hold_in_both_directions(fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    bad = dataclasses.replace(BLOCK, **fields)
    with pytest.raises(ValueError):
        encode(bad)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_problem", lambda block: None)
        data = encode(bad)
    with pytest.raises(DamagedError):
        decode(data)


def test_limits_themselves_are_allowed() -> None:
    block = dataclasses.replace(
        BLOCK,
        classes=[(limits.MAX_CLASSES - 1, limits.MAX_ENTRIES)],
        lanes=[limits.MAX_LANES],
        seed_words=limits.MAX_STACKS * [limits.MAX_SEED_WORDS],
        bits=limits.MAX_STACKS * [bytes(4)],
    )
    assert decode(encode(block)) == block


@pytest.mark.parametrize(("limit", "items"), [("MAX_CLASSES", "classes"), ("MAX_GROUPS", "groups")])
def test_numbers_of_classes_and_groups_are_limited(limit: str, items: str, monkeypatch: pytest.MonkeyPatch) -> None:
    block = dataclasses.replace(BLOCK, classes=[(0, 1), (1, 1)])
    data = encode(block)
    monkeypatch.setattr(module, limit, 2)
    assert decode(data) == block
    monkeypatch.setattr(module, limit, 1)
    with pytest.raises(ValueError, match=items):
        encode(block)
    with pytest.raises(DamagedError):
        decode(data)


@pytest.mark.parametrize(
    "fields",
    [
        {"classes": [(1, 1), (0, 1)]},
        {"classes": [(1, 1), (1, 1)]},
        {"classes": [(-1, 1), (0, 1)]},
        {"seed_words": [-1]},
        {"bits": []},
        {"seed_words": [0, 0]},
        {"digest": bytes(15)},
        {"tally": (0, 0, -1, 0, 0)},
        {"tally": (0, 0, MAX_VARINT + 1, 0, 0)},
    ],
)
def test_what_the_fields_cannot_hold_is_not_written(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        encode(dataclasses.replace(BLOCK, **fields))
