"""Integer arithmetic: tables, requantisation and the exactness bound against independent computations."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import reader_models
import torch
from hypothesis import given
from hypothesis import strategies as st

from acncodec.coding.selftest import TABLES_SHA256
from acncodec.errors import BoundError
from acncodec.exact import tables
from acncodec.exact.bounds import EXACT_LIMIT, check_bound, worst_sums
from acncodec.exact.grids import (
    LATENT_MAX,
    LOGIT_MAX,
    OFFSET_MAX,
    PRE_MAX,
    SLOPE_MAX,
    SPREAD_MAX,
    SPREAD_MIN,
    SPREADS,
    UNIT,
    WIDTH_MAX,
    WIDTH_MIN,
    WIDTHS,
)
from acncodec.exact.rounding import requantise, straight_through_round
from acncodec.nets import reference
from acncodec.nets.units import tanh_units

TIE = 1e-9
PEAK = 1 << 20


def assert_rounded(table: np.ndarray, first: int, value: Callable[[int], float], least: int | None = None) -> None:
    """Every entry is the rounded value, computed anew in float64, unless that is too near a tie to decide."""
    for i, entry in enumerate(table.tolist(), first):
        real = value(i)
        if abs(real % 1 - 0.5) > TIE * max(1.0, abs(real)):
            assert entry == (round(real) if least is None else max(least, round(real))), i
        else:
            assert abs(entry - real) < 0.51


def test_tanh_table() -> None:
    table = tables.tanh_table()
    assert table.dtype == np.int32
    assert table.shape == (2 * PRE_MAX + 1,)
    assert_rounded(table, -PRE_MAX, lambda i: UNIT * math.tanh(i / 32))
    assert (np.diff(table) >= 0).all()
    assert (table == -table[::-1]).all()
    assert table[PRE_MAX] == 0
    assert table[-1] == UNIT


def test_exp_table() -> None:
    table = tables.exp_table()
    assert table.dtype == np.int32
    assert table.shape == (2 * LOGIT_MAX + 1,)
    assert_rounded(table, 0, lambda i: PEAK * math.exp(-i / 32), least=1)
    assert (np.diff(table) <= 0).all()
    assert table[0] == PEAK
    assert table.min() == 1


def gaussian(sigma: float, height: float, offset: int) -> float:
    return height * math.exp(-offset * offset / (2 * sigma * sigma))


def test_gaussian_table() -> None:
    table = tables.gaussian_table()
    assert table.dtype == np.int32
    assert table.shape == (WIDTHS, 4 * LATENT_MAX + 1)
    for width, row in zip(range(WIDTH_MIN, WIDTH_MAX + 1), table, strict=True):
        sigma = 8 * 2 ** (width / 8)
        height = PEAK / (math.sqrt(2 * math.pi) * sigma)
        assert_rounded(row, -2 * LATENT_MAX, partial(gaussian, sigma, height), least=1)
    assert (table == table[:, ::-1]).all()
    assert (np.diff(table[:, : 2 * LATENT_MAX + 1]) >= 0).all()
    assert table.min() == 1
    assert (np.diff(table[:, 2 * LATENT_MAX]) < 0).all()  # a wider Gaussian is flatter


def test_posterior_table() -> None:
    table = tables.posterior_table()
    assert table.dtype == np.int32
    assert table.shape == (2 * OFFSET_MAX + 1,)
    height = PEAK / (math.sqrt(2 * math.pi) * 8)
    assert_rounded(table, -OFFSET_MAX, lambda o: height * math.exp(-o * o / 128), least=1)
    assert (table == table[::-1]).all()
    assert table.min() >= 1


def test_steepness_table() -> None:
    """1/1024 and four more bits, a quarter of a level: 2^12 over a scale of 2^(w / 32) levels."""
    table = tables.steepness_table()
    assert table.dtype == np.int32
    assert table.shape == (SPREADS,)
    assert_rounded(table, SPREAD_MIN, lambda w: 4096 * 2 ** (-w / 32))
    assert (np.diff(table) <= 0).all()
    assert (np.diff(table[::32]) < 0).all()
    assert (table[0], table[-1]) == (4096 * 16, 4096 // 64)
    # The largest argument that a head can ask for, from the edge above 255 to a mean 128 levels below 0, is an int32.
    farthest = 4 * 256 + 2 * LOGIT_MAX + 4 * 255
    assert farthest * int(table.max()) + 8 < 1 << 31
    assert SPREADS == SPREAD_MAX - SPREAD_MIN + 1


def test_logistic_table() -> None:
    table = tables.logistic_table()
    assert table.dtype == np.int32
    assert table.shape == (2 * SLOPE_MAX + 1,)
    assert_rounded(table, -SLOPE_MAX, lambda i: (1 << 22) / (1 + math.exp(-i / 1024)))
    assert (np.diff(table) >= 0).all()
    assert (table + table[::-1] == 1 << 22).all()
    assert table[SLOPE_MAX] == 1 << 21
    assert (table[0], table[-1]) == (0, 1 << 22)


def test_fingerprint_is_the_selftests_constant() -> None:
    assert tables.fingerprint().hex() == TABLES_SHA256


def test_training_and_exact_tanh_agree_on_every_input() -> None:
    pre = torch.arange(-PRE_MAX, PRE_MAX + 1).float()
    assert torch.equal(tanh_units(pre, exact=True), tanh_units(pre, exact=False))
    assert tanh_units(pre, exact=True).long().tolist() == tables.tanh_table().tolist()


def rounded(acc: int, shift: int, low: int, high: int) -> int:
    """The definition: Python rounds a Fraction half to even."""
    return min(max(round(Fraction(acc) * Fraction(2) ** -shift), low), high)


accumulators = st.integers(-EXACT_LIMIT + 1, EXACT_LIMIT - 1)
shifts = st.integers(-70, 70)  # all that a model file may ask for


@given(st.lists(accumulators, min_size=1, max_size=20), shifts, st.integers(-1024, 0), st.integers(0, 1024))
def test_requantise(accs: list[int], shift: int, low: int, high: int) -> None:
    want = [rounded(acc, shift, low, high) for acc in accs]
    assert requantise(torch.tensor(accs).float(), 2.0**-shift, low, high).tolist() == want
    assert reference.requantise(np.array(accs, dtype=np.int64), shift, low, high).tolist() == want
    real = torch.tensor(accs).float().requires_grad_()
    assert requantise(real, 2.0**-shift, low, high).tolist() == want


@given(st.lists(st.tuples(accumulators, shifts), min_size=1, max_size=20), st.integers(-1024, 0), st.integers(0, 1024))
def test_each_output_has_a_shift_of_its_own(outputs: list[tuple[int, int]], low: int, high: int) -> None:
    want = [rounded(acc, shift, low, high) for acc, shift in outputs]
    accs, each = (np.array(part, dtype=np.int64) for part in zip(*outputs, strict=True))
    assert requantise(torch.from_numpy(accs).float(), 2.0 ** -torch.from_numpy(each), low, high).tolist() == want
    assert reference.requantise(accs, each, low, high).tolist() == want
    assert reader_models.requantise(accs, each, low, high).tolist() == want


@given(st.integers(1, 23), st.data())
def test_requantise_rounds_ties_to_even(shift: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(-(1 << (23 - shift)), (1 << (23 - shift)) - 1))
    acc = (2 * steps + 1) << (shift - 1)  # steps and a half
    want = steps if steps % 2 == 0 else steps + 1
    limit = EXACT_LIMIT
    assert requantise(torch.tensor([float(acc)]), 2.0**-shift, -limit, limit).tolist() == [want]
    assert reference.requantise(np.array([acc]), shift, -limit, limit).tolist() == [want]


def test_requantise_leaves_its_input_alone() -> None:
    acc = torch.tensor([100.0, -100.0])
    requantise(acc, 1, -5, 5)
    assert acc.tolist() == [100, -100]


def test_gradient_of_requantise_is_that_of_the_clamp() -> None:
    acc = torch.tensor([-41.0, -40.0, -39.0, 3.0, 39.0, 40.0, 41.0], requires_grad=True)
    out = requantise(acc, 0.25, -10, 10)
    assert out.tolist() == [-10, -10, -10, 1, 10, 10, 10]
    out.backward(torch.full((7,), 3.0))
    assert acc.grad is not None
    assert acc.grad.tolist() == [0, 0.75, 0.75, 0.75, 0.75, 0.75, 0]


def test_gradient_of_requantise_with_a_negative_shift() -> None:
    acc = torch.tensor([0.26, 3.0], requires_grad=True)
    out = requantise(acc, 8, -10, 10)
    assert out.tolist() == [2, 10]
    out.sum().backward()
    assert acc.grad is not None
    assert acc.grad.tolist() == [8, 0]


@given(st.lists(st.floats(-(2.0**23), 2.0**23, width=32), min_size=1, max_size=20))
def test_straight_through_round(values: list[float]) -> None:
    x = torch.tensor(values, requires_grad=True)
    out = straight_through_round(x)
    assert out.tolist() == [round(v) for v in values]
    out.sum().backward()
    assert x.grad is not None
    assert (x.grad == 1).all()


@given(st.lists(st.integers(-127, 127), min_size=1, max_size=8), st.sampled_from([-1, 1]), st.integers(1, 1024))
def test_check_bound_at_the_limit(weights: list[int], sign: int, bound: int) -> None:
    weight = torch.tensor([weights, weights]).T.float()
    row_bounds = torch.full((len(weights),), float(bound))
    last = EXACT_LIMIT - 1 - bound * sum(map(abs, weights))
    bias = torch.tensor([0, sign * last])
    check_bound("map", weight, bias.float(), row_bounds)
    check_bound("map", weight.to(torch.int8), bias.to(torch.int32), row_bounds)
    assert float(worst_sums(weight, bias, row_bounds)[1]) == EXACT_LIMIT - 1
    bias[1] += sign
    with pytest.raises(BoundError, match="'map'"):
        check_bound("map", weight, bias.float(), row_bounds)
    with pytest.raises(BoundError, match="'map'"):
        check_bound("map", weight.to(torch.int8), bias.to(torch.int32), row_bounds)


@pytest.mark.parametrize("bad", [0.5, -1.25, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["weight", "bias"])
def test_check_bound_wants_integers(bad: float, where: str) -> None:
    weight, bias = torch.ones(2, 3), torch.ones(3)
    (weight if where == "weight" else bias).view(-1)[-1] = bad
    with pytest.raises(BoundError, match="not integers"):
        check_bound("map", weight, bias, torch.ones(2))


def test_check_bound_is_not_fooled_by_the_smallest_integer() -> None:
    check_bound("map", torch.full((1, 1), -128, dtype=torch.int8), torch.zeros(1, dtype=torch.int32), torch.ones(1))
    with pytest.raises(BoundError):
        check_bound("map", torch.zeros(1, 1), torch.full((1,), -(1 << 31), dtype=torch.int32), torch.ones(1))
