"""Coding of sequences with known counts and of permutations: round trips at the theoretical size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.coding.order import Sequence, order_bits, pack_order, unpack_order
from acncodec.errors import DamagedError


def shuffled(seed: int, counts: list[list[int]], lengths: list[int]) -> tuple[list[Sequence], list[np.ndarray]]:
    """Random sequences of such counts, and random permutations of such lengths."""
    random = np.random.default_rng(seed)
    sequences = [(random.permutation(np.repeat(np.arange(len(each)), each)), each) for each in counts]
    return sequences, [random.permutation(n) for n in lengths]


COUNTS = st.lists(st.integers(0, 200), min_size=1, max_size=5).filter(any)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.lists(COUNTS, max_size=3), st.lists(st.integers(0, 300), max_size=4))
def test_round_trip_at_the_price_of_theory(seed: int, counts: list[list[int]], lengths: list[int]) -> None:
    sequences, permutations = shuffled(seed, counts, lengths)
    data = pack_order(sequences, permutations)
    values, orders = unpack_order(data, counts, lengths)
    assert [v.tolist() for v in values] == [v.tolist() for v, _ in sequences]
    assert [p.tolist() for p in orders] == [p.tolist() for p in permutations]
    # Two words of 32 bits: the last one is not full, and the first one holds the coder's state.
    # And a lucky order may be told in fewer bits, as any event of probability 2^-n may be in fewer than n.
    assert -60 <= 8 * len(data) - order_bits(counts, lengths) <= 64


@given(st.permutations(range(6)))
def test_every_permutation_has_a_code(permutation: list[int]) -> None:
    data = pack_order([], [np.array(permutation)])
    assert len(data) in (0, 4)
    assert unpack_order(data, [], [6])[1][0].tolist() == permutation


def test_known_values_cost_nothing() -> None:
    assert pack_order([], []) == b""
    assert pack_order([(np.zeros(50, int), [50])], []) == b""
    assert pack_order([], [np.zeros(1, int), np.zeros(0, int)]) == b""
    values, orders = unpack_order(b"", [[50]], [1, 0])
    assert values[0].tolist() == [0] * 50
    assert [p.tolist() for p in orders] == [[0], []]
    assert order_bits([], []) == order_bits([[1]], [1]) == order_bits([[0, 7]], [0]) == 0


def test_order_bits_of_a_known_case() -> None:
    assert order_bits([[2, 2]], [4]) == pytest.approx(4 + np.log2(24))
    assert order_bits([[2, 2], [1, 1]], []) == pytest.approx(6)


def test_ten_thousand_cost_log_of_their_factorial() -> None:
    _, permutations = shuffled(0, [], [10_000])
    data = pack_order([], permutations)
    assert 8 * len(data) == pytest.approx(order_bits([], [10_000]), rel=1e-4, abs=64)
    assert unpack_order(data, [], [10_000])[1][0].tolist() == permutations[0].tolist()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_corrupted_data_is_damage_or_a_valid_order(seed: int, data: st.DataObject) -> None:
    counts, lengths = [[20, 7, 1], [3, 3]], [20, 7]
    packed = bytearray(pack_order(*shuffled(seed, counts, lengths)))
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
        values, orders = unpack_order(bytes(packed), counts, lengths)
    except DamagedError:
        return
    assert [np.bincount(v, minlength=len(c)).tolist() for v, c in zip(values, counts, strict=True)] == counts
    assert [sorted(p.tolist()) for p in orders] == [list(range(n)) for n in lengths]


WRONG = [([[20, 8]], [20, 7]), ([[21, 7]], [20, 7]), ([[20, 7]], [19, 7]), ([[20, 7]], []), ([], [20, 7])]


@pytest.mark.parametrize(("counts", "lengths"), WRONG)
def test_wrong_numbers_are_damage(counts: list[list[int]], lengths: list[int]) -> None:
    data = pack_order(*shuffled(3, [[20, 7]], [20, 7]))
    with pytest.raises(DamagedError):
        unpack_order(data, counts, lengths)
