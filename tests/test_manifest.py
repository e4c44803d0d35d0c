"""The manifest of an archive of many parts, and its index from names to parts."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.archive import manifest as manifests
from acncodec.archive.header import NAMES_KEEP, ModelReference
from acncodec.archive.manifest import Manifest, Part
from acncodec.archive.retrieval import SPARE_SLOTS, THIRDS, slots, solve, third_of
from acncodec.errors import DamagedError, InputError

PARTS = [Part(f"part-{i:05}.acn", 1000 + i, bytes([i]) * 32, 10 + i, 8, 9, 2) for i in range(3)]
MANIFEST = Manifest(NAMES_KEEP, [ModelReference("digits", b"m" * 32)], PARTS, "-", 33)


def names(count: int, seed: int = 0) -> list[bytes]:
    return [b"%d/%05d.png" % (seed, i) for i in range(count)]


@given(st.integers(0, 2000), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_every_key_finds_its_value(count: int, seed: int) -> None:
    keys = manifests.hashes(names(count, seed))[:, 1]
    values = [int(v) for v in np.random.default_rng(seed).integers(0, 1 << 20, count)]
    found, row = solve(keys, values)
    assert len(row) <= 1.25 * count + SPARE_SLOTS + THIRDS
    places = slots(keys, found, third_of(count))
    assert [int(np.bitwise_xor.reduce([row[i] for i in own])) for own in places.tolist()] == values


def test_equal_keys_have_no_solution() -> None:
    keys = manifests.hashes([b"a", b"b", b"a"])[:, 1]
    with pytest.raises(ValueError, match="equal"):
        solve(keys, [1, 2, 1])


@pytest.mark.parametrize("count", [2, 3, 4, 5, 255, 256, 257, 100_000])
def test_a_bucket_tells_the_part_of_each_of_its_names(count: int) -> None:
    found = manifests.hashes(names(500))
    parts = [(i * 7919) % count for i in range(500)]
    bucket = manifests.encode_bucket(found, parts, count)
    assert [manifests.part_of(bucket, key, count) for key in found] == parts
    others = manifests.hashes(names(50, seed=9))
    assert all(0 <= manifests.part_of(bucket, key, count) < count for key in others)
    bits = max(1, (count - 1).bit_length())
    assert len(bucket) <= 1.25 * 500 * bits / 8 + SPARE_SLOTS * bits / 8 + 8


def test_duplicate_names_are_refused() -> None:
    with pytest.raises(InputError, match="same name"):
        manifests.encode_bucket(manifests.hashes([b"a", b"a"]), [0, 1], 2)


def test_sorted_hashes_are_in_sorted_buckets() -> None:
    found = manifests.hashes(names(3000))
    ordered = found[np.lexsort((found[:, 1], found[:, 0]))]
    buckets = manifests.bucket_of(ordered, 7)
    assert (np.diff(buckets) >= 0).all()
    assert set(buckets.tolist()) == set(range(7))


def test_a_manifest_comes_back_and_stays_the_same_bytes() -> None:
    data = manifests.encode(MANIFEST)
    assert manifests.decode(data) == MANIFEST
    assert hashlib.sha256(data).hexdigest()[:16] == "ea59f33cb6d4c9b8"
    bucket = manifests.encode_bucket(manifests.hashes(names(33)), [i % 3 for i in range(33)], 3)
    assert hashlib.sha256(bucket).hexdigest()[:16] == "9b90eda7fd7fb224"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\\b", "C:x", "a\nb"])
def test_a_part_lies_beside_its_manifest(name: str) -> None:
    data = manifests.encode(replace(MANIFEST, parts=[replace(PARTS[0], name=name)]))
    with pytest.raises(DamagedError, match="unsafe"):
        manifests.decode(data)


@pytest.mark.parametrize("mark", ["", "x", "/", "-/"])
def test_a_mark_is_dashes(mark: str) -> None:
    with pytest.raises(DamagedError, match="mark"):
        manifests.decode(manifests.encode(replace(MANIFEST, mark=mark)))


def test_duplicate_parts_are_refused() -> None:
    with pytest.raises(DamagedError, match="twice"):
        manifests.decode(manifests.encode(replace(MANIFEST, parts=[PARTS[0], PARTS[0]], named=0)))


def test_cut_and_changed_bytes_are_damage_or_another_manifest() -> None:
    data = manifests.encode(MANIFEST)
    for end in range(len(data)):
        with pytest.raises(DamagedError):
            manifests.decode(data[:end])
    for at in range(len(data)):
        for bit in range(8):
            changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            try:
                assert manifests.decode(changed) != MANIFEST
            except DamagedError:
                continue
