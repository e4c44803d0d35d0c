"""Samples as lossless WebP: exact round trips, and anything else is damage."""

import io

import numpy as np
import pytest
from conftest import random_pixels, smooth_pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from acncodec.errors import DamagedError
from acncodec.images.webp import MAX_SIDE, pack_webp, unpack_webp


def packed(samples: np.ndarray) -> bytes:
    data = pack_webp(samples)
    assert data is not None
    return data


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (40, 3)])
@pytest.mark.parametrize("levels", [2, 256])
def test_samples_come_back(channels: int, shape: tuple[int, int], levels: int) -> None:
    samples = random_pixels(channels, 1, *shape, levels, channels)[0]
    found = unpack_webp(packed(samples), *shape, channels)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert np.array_equal(found, samples)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("alpha", [0, 255])
def test_constant_alpha_comes_back(channels: int, alpha: int) -> None:
    """WebP drops an opaque alpha channel, and by default may change colours of transparent pixels."""
    samples = random_pixels(0, 1, 9, 8, 256, channels)[0]
    samples[..., -1] = alpha
    assert np.array_equal(unpack_webp(packed(samples), 9, 8, channels), samples)


def test_slopes_take_less_than_noise() -> None:
    assert len(packed(smooth_pixels(0, 1, 40, 40)[0])) < 0.8 * len(packed(random_pixels(0, 1, 40, 40, 256, 3)[0]))


def test_a_side_beyond_the_limit_gives_none() -> None:
    assert pack_webp(np.zeros((1, MAX_SIDE + 1, 1), np.uint8)) is None
    assert pack_webp(np.zeros((MAX_SIDE, 1, 1), np.uint8)) is not None


def test_another_size_is_damage() -> None:
    data = packed(random_pixels(0, 1, 4, 6, 256, 3)[0])
    for height, width in ((6, 4), (4, 5), (5, 6)):
        with pytest.raises(DamagedError, match="size"):
            unpack_webp(data, height, width, 3)


def test_other_files_are_damage() -> None:
    png = io.BytesIO()
    Image.new("RGB", (6, 4)).save(png, "PNG")
    for data in (b"", b"RIFF", png.getvalue(), packed(np.zeros((4, 6, 3), np.uint8))[:-5]):
        with pytest.raises(DamagedError):
            unpack_webp(data, 4, 6, 3)


DATA = packed(random_pixels(7, 1, 4, 6, 256, 4)[0])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255), st.sampled_from([1, 2, 3, 4]))
def test_a_wrong_byte_is_damage_or_gives_samples(position: int, mask: int, channels: int) -> None:
    damaged = bytearray(DATA)
    damaged[position] ^= mask
    try:
        found = unpack_webp(bytes(damaged), 4, 6, channels)
    except DamagedError:
        return
    assert (found.shape, found.dtype) == ((4, 6, channels), np.uint8)
