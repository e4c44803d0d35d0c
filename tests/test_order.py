"""The order section: permutations and kinds come back, at the price that theory asks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.coding.order import order_bits, pack_order, unpack_order
from acncodec.errors import DamagedError


def shuffled(seed, counts, permuted):
    """Random kinds that occur `counts` times, and random permutations of the lengths `permuted`."""
    random = np.random.default_rng(seed)
    kinds = random.permutation(np.repeat(np.arange(len(counts)), counts))
    return kinds, [random.permutation(n) for n in permuted]


COUNTS = st.lists(st.integers(1, 200), max_size=5)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), COUNTS, st.lists(st.integers(0, 300), max_size=4))
def test_round_trip_at_the_price_of_theory(seed, counts, permuted):
    kinds, permutations = shuffled(seed, counts, permuted)
    data = pack_order(kinds, counts, permutations)
    kinds_back, permutations_back = unpack_order(data, counts, permuted)
    assert kinds_back.tolist() == kinds.tolist()
    assert [p.tolist() for p in permutations_back] == [p.tolist() for p in permutations]
    # Two words of 32 bits: the last one is not full, and the first one holds the coder's state.
    # And a lucky order may be told in fewer bits, as any event of probability 2^-n may be in fewer than n.
    assert -40 <= 8 * len(data) - order_bits(counts, permuted) <= 64


@given(st.permutations(range(6)))
def test_every_permutation_has_a_code(permutation):
    data = pack_order(np.zeros(6, int), [6], [np.array(permutation)])
    assert len(data) in (0, 4)
    assert unpack_order(data, [6], [6])[1][0].tolist() == permutation


def test_what_is_known_anyway_costs_nothing():
    assert pack_order(np.zeros(0, int), [], []) == b""
    assert pack_order(np.zeros(50, int), [50], []) == b""
    assert pack_order(np.zeros(1, int), [1], [np.zeros(1, int)]) == b""
    assert unpack_order(b"", [1], [1])[1][0].tolist() == [0]
    assert order_bits([], []) == order_bits([1], [1]) == 0


def test_order_bits_of_a_known_case():
    assert order_bits([2, 2], [4]) == pytest.approx(4 + np.log2(24))


def test_ten_thousand_cost_log_of_their_factorial():
    _, permutations = shuffled(0, [], [10_000])
    data = pack_order(np.zeros(10_000, int), [10_000], permutations)
    assert 8 * len(data) == pytest.approx(order_bits([], [10_000]), rel=1e-4, abs=64)
    assert unpack_order(data, [10_000], [10_000])[1][0].tolist() == permutations[0].tolist()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_corrupted_data_is_damage_or_a_valid_order(seed, data):
    counts, permuted = [20, 7, 1], [20, 7]
    packed = bytearray(pack_order(*shuffled(seed, counts, permuted)[:1], counts, shuffled(seed, counts, permuted)[1]))
    how = data.draw(st.sampled_from(["flip", "cut", "extend", "noise"]))
    if how == "flip":
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    elif how == "cut":
        del packed[data.draw(st.integers(0, len(packed) - 1)) :]
    elif how == "extend":
        packed += data.draw(st.binary(min_size=1, max_size=9))
    else:
        packed[:] = data.draw(st.binary(max_size=40))
    try:
        kinds, permutations = unpack_order(bytes(packed), counts, permuted)
    except DamagedError:
        return
    assert np.bincount(kinds, minlength=3).tolist() == counts
    assert [sorted(p.tolist()) for p in permutations] == [list(range(n)) for n in permuted]


@pytest.mark.parametrize("wrong", [([20, 8], [20, 7]), ([21, 7], [20, 7]), ([20, 7], [19, 7]), ([20, 7], [])])
def test_wrong_numbers_are_damage(wrong):
    kinds, permutations = shuffled(3, [20, 7], [20, 7])
    data = pack_order(kinds, [20, 7], permutations)
    with pytest.raises(DamagedError):
        unpack_order(data, *wrong)
