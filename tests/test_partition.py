"""Partition of images into parts: similar images together, and parts of similar size."""

import numpy as np
import pytest

from acncodec.planning import partition
from acncodec.scale import stages


def test_parts_are_of_similar_images_and_of_similar_size() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 40, (8, 16))
    sizes = (100, 100, 100, 100, 400, 400, 400, 400)  # clusters twice as large as a part must be shared out
    codes = np.concatenate([np.rint(rng.normal(c, 3, (n, 16))) for c, n in zip(centres, sizes, strict=True)])
    found = partition.fit(codes, 8)
    parts = found.assign(codes)
    load = np.bincount(parts, minlength=8)
    assert load.max() <= 1.25 * len(codes) / 8
    within = sum(np.square(codes[parts == i] - codes[parts == i].mean(0)).sum() for i in range(8))
    random = rng.permutation(parts)
    apart = sum(np.square(codes[random == i] - codes[random == i].mean(0)).sum() for i in range(8))
    assert within < 0.6 * apart
    assert (partition.fit(codes, 8).assign(codes) == parts).all()


def test_many_parts_are_found_in_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "MAX_FAN", 4)
    rng = np.random.default_rng(1)
    codes = np.rint(rng.normal(0, 20, (8000, 6)))
    found = partition.fit(codes, 23)
    assert (found.parts, len(found.below)) == (23, 4)
    assert found.below[0].below  # three levels
    parts = found.assign(codes)
    load = np.bincount(parts, minlength=23)
    assert load.min() > 0
    assert load.max() <= 1.6 * len(codes) / 23
    apart = np.square(codes - codes.mean(0)).sum()
    within = sum(np.square(codes[parts == i] - codes[parts == i].mean(0)).sum() for i in range(23))
    assert within < 0.7 * apart
    again = partition.Partition.of(found.arrays())
    assert (again.assign(codes) == parts).all()


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_identical_images_are_spread_over_parts(share: float) -> None:
    """Blank tiles, say: as many parts as there are to be, none of them much larger than the others."""
    parts, count = 96, 96 * 64
    codes = np.zeros((count, 8 + stages.APART_AXES), dtype=np.float32)
    other = np.arange(count) >= share * count
    codes[other, :8] = np.random.default_rng(1).normal(0, 16, (other.sum(), 8)).round()
    codes[:, 8:] = stages.apart(0, count)
    load = np.bincount(partition.fit(codes, parts).assign(codes), minlength=parts)
    assert load.max() < 4 * 64
