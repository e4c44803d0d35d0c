"""Tiles cover an image once, without slivers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.images.tiles import spans, tiles


@given(st.integers(1, 5000), st.integers(1, 200))
def test_spans_are_few_and_nearly_equal(length: int, side: int) -> None:
    found = spans(length, side)
    sizes = [each.stop - each.start for each in found]
    assert [each.start for each in found] == [0, *(each.stop for each in found[:-1])]
    assert found[-1].stop == length
    assert len(found) == -(-length // side)
    assert 1 <= min(sizes) <= max(sizes) <= side
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 70))
def test_every_pixel_is_in_one_tile(height: int, width: int, side: int) -> None:
    times = np.zeros((height, width), int)
    found = tiles(height, width, side)
    for rows, columns in found:
        times[rows, columns] += 1
    assert (times == 1).all()
    assert found == sorted(found, key=lambda cell: (cell[0].start, cell[1].start))


def test_side_0_is_the_whole_image() -> None:
    assert tiles(3, 5000, 0) == [(slice(0, 3), slice(0, 5000))]


def test_by_example() -> None:
    assert spans(130, 64) == [slice(0, 44), slice(44, 87), slice(87, 130)]
    assert tiles(2, 3, 2) == [(slice(0, 2), slice(0, 2)), (slice(0, 2), slice(2, 3))]
