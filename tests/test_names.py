"""Compression of file names: round trips, size, and damaged lists, which are refused or decode within the limits."""

import lzma

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.errors import DamagedError
from acncodec.images.names import pack_names, unpack_names

# Arbitrary bytes, and names of few distinct parts, which use all modes of coding a token.
PARTS = st.sampled_from([b"0", b"9", b"10", b"007", b"99", b"9" * 18, b"9" * 25, b"/", b"a", b".png", b"\xff", b"\xb2"])
NAMES = st.lists(st.binary(max_size=12) | st.lists(PARTS, max_size=6).map(b"".join), max_size=25, unique=True)


def labelled(count: int, pattern: str = "{}/{:05d}.png") -> list[bytes]:
    labels = np.random.default_rng(0).integers(0, 10, count)
    return sorted(pattern.format(label, i).encode() for i, label in enumerate(labels))


def size_of(names: list[bytes]) -> int:
    return sum(map(len, names))


@settings(max_examples=150, deadline=None)
@given(NAMES.map(sorted))
def test_round_trip(names: list[bytes]) -> None:
    assert unpack_names(pack_names(names), len(names), size_of(names)) == names


@pytest.mark.parametrize(
    "names",
    [
        [],
        [b""],
        [b"", b"\x00", b"\x00\x00"],
        [b"img9.png", *sorted(b"img%d.png" % i for i in range(100, 1300))],
        [b"%025d" % i for i in range(200)],
        [b"9" * 5000, b"9" * 5001],
        sorted(bytes([i]) for i in range(256)),
        [b"999999999999999998", b"999999999999999999"],
    ],
)
def test_round_trip_of_special_lists(names: list[bytes]) -> None:
    names = sorted(names)
    assert unpack_names(pack_names(names), len(names), size_of(names)) == names


@pytest.mark.parametrize("pattern", ["{}/{:05d}.png", "class{}/img{}.png", "{1:04d}_{0}.png"])
def test_labelled_numbers_take_less_than_their_target_and_xz(pattern: str) -> None:
    names = labelled(3000, pattern)
    packed = pack_names(names)
    assert len(packed) * 8 < 4 * len(names)
    assert 2 * len(packed) < len(lzma.compress(b"\n".join(names), preset=9))
    assert unpack_names(packed, len(names), size_of(names)) == names


def test_the_lists_of_datasets_cost_little_more_than_their_labels() -> None:
    names = labelled(10_000)  # the labels alone are 3.32 bits a name
    assert len(pack_names(names)) * 8 <= 3.45 * len(names)


def test_regular_names_cost_next_to_nothing() -> None:
    assert len(pack_names([b"%05d.png" % i for i in range(3000)])) < 40
    assert len(pack_names([b"s%02d/%02d.png" % (i // 50, i % 50) for i in range(3000)])) < 200


def test_names_without_a_pattern_cost_about_their_entropy() -> None:
    names = sorted(bytes(row).hex().encode() for row in np.random.default_rng(0).integers(0, 256, (300, 16), np.uint8))
    assert len(pack_names(names)) < 17.5 * len(names)


def test_output_is_the_format() -> None:
    # Fixed bytes: what one version wrote, on any machine, every other must read and write.
    assert (
        pack_names(labelled(40)).hex()
        == "3e041cc248c8c52c4c394848ff3be9a53b455062618dd4c73ac5ffdfafa95e1281a50e7bf2ce444cc86110c7a8a4a69f2303536f"
    )


@pytest.mark.parametrize("names", [[b"b", b"a"], [b"a", b"a"]])
def test_unsorted_or_repeated_names_are_refused(names: list[bytes]) -> None:
    with pytest.raises(ValueError, match="sorted"):
        pack_names(names)


def check_damaged(data: bytes, count: int, limit: int) -> None:
    try:
        names = unpack_names(data, count, limit)
    except DamagedError:
        return
    assert len(names) == count
    assert names == sorted(set(names))
    assert size_of(names) <= limit


MUTANT = labelled(60)
PACKED = pack_names(MUTANT)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
def test_a_changed_byte_gives_an_error_or_a_list(at: int, change: int) -> None:
    data = bytearray(PACKED)
    data[at] ^= change
    check_damaged(bytes(data), len(MUTANT), size_of(MUTANT))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 10**12), st.integers(0, 2000))
def test_random_bytes_give_an_error_or_a_list(data: bytes, count: int, limit: int) -> None:
    check_damaged(data[: len(data) // 4 * 4], count, limit)


@settings(max_examples=100, deadline=None)
@given(NAMES.map(sorted), st.integers(1, 3))
def test_words_too_many_or_too_few_are_refused(names: list[bytes], words: int) -> None:
    packed = pack_names(names)
    for data in (packed + bytes(4 * words), packed + b"\xff" * 4 * words, packed[:-1], packed + b"\0"):
        if data != packed:
            with pytest.raises(DamagedError):
                unpack_names(data, len(names), size_of(names))
    if packed:
        check_damaged(packed[: -4 * words], len(names), size_of(names))


@pytest.mark.parametrize("word", [b"", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x80"])
def test_decoding_ends_with_the_data(word: bytes) -> None:
    with pytest.raises(DamagedError):
        unpack_names(word, 10**15, 10**15)  # for which there would be no end


def test_limit_count_and_length_are_checked() -> None:
    count, total = len(MUTANT), size_of(MUTANT)
    for data, wrong_count, limit in [
        (PACKED, count, total - 1),
        (PACKED, count, 0),
        (PACKED, 10**15, 10**6),
        (PACKED, 1, total),
        (PACKED, 0, total),
        (PACKED + b"\0", count, total),
        (PACKED + bytes(4), count, total),
        (PACKED[: len(PACKED) // 2], count, total),
        (b"", 10**15, 10**4),
        (b"\0", 0, 0),
    ]:
        with pytest.raises(DamagedError):
            unpack_names(data, wrong_count, limit)
