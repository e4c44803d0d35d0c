"""Bilevel samples as strips of eight columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acncodec.images.strips import pack_strips, strips_size, unpack_strips


@given(st.integers(1, 20), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_strips_come_back(height: int, width: int, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(0, 2, (height, width, 1), np.uint8)
    data = pack_strips(samples)
    assert len(data) == strips_size(height, width)
    found = unpack_strips(data, height, width)
    assert np.array_equal(found, samples)
    assert found.flags.c_contiguous  # as everything that takes samples expects


def test_strips_by_example() -> None:
    samples = np.zeros((2, 10, 1), np.uint8)
    samples[0, 0] = samples[1, 7] = samples[1, 8] = 1
    assert pack_strips(samples) == bytes([0b10000000, 0b00000001, 0, 0b10000000])


@pytest.mark.parametrize("length", [0, 3, 5])
def test_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(ValueError):
        unpack_strips(bytes(length), 2, 10)
