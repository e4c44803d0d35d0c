"""Frequencies of pixel values: against 64-bit integers, against PixelCNN++'s equation, and through the coder."""

import hashlib

import numpy as np
import pytest
import torch
from conftest import KINDS
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.coding.frequencies import LogisticsTable, SoftmaxTable, digits, table
from acncodec.coding.selftest import pseudo_random
from acncodec.coding.stack import Stack
from acncodec.coding.theory import LEAST_PROBABILITY, value_bits
from acncodec.exact.grids import BASE, LOGIT_MAX, SPREAD_MAX, SPREAD_MIN
from acncodec.nets.heads import Distribution, Logistics, Softmax
from acncodec.nets.reference import logistics_frequencies, softmax_frequencies

FLOOR = 1 << 16  # of the frequencies of logistics
TOP = 255 * 4  # where a mean of the brightest value lies
MEAN_MIN, MEAN_MAX = -LOGIT_MAX, LOGIT_MAX + TOP  # what a head can reach around a prediction from 0 to 255
VALUES = np.arange(256)


def random_logistics(seed: int, count: int, components: int) -> Logistics:
    """Mixtures from the whole range of a head, [count, components]."""
    random, shape = np.random.default_rng(seed), (count, components)
    ranges = [(-LOGIT_MAX, LOGIT_MAX), (MEAN_MIN, MEAN_MAX), (SPREAD_MIN, SPREAD_MAX)]
    return Logistics(*(torch.from_numpy(random.integers(a, b + 1, shape)).float() for a, b in ranges))


def extreme_logistics() -> Logistics:
    """Every combination of extreme mean and extreme spread, alone and beside a component of the largest or least weight."""
    means, spreads = (MEAN_MIN, -3, 0, 2, 511, TOP, TOP + 2, MEAN_MAX), (SPREAD_MIN, SPREAD_MIN + 1, 0, SPREAD_MAX)
    rows = [(w, m, s) for w in (-LOGIT_MAX, LOGIT_MAX) for m in means for s in spreads]
    logits, centres, widths = (torch.tensor(column).float() for column in zip(*rows, strict=True))
    second = torch.zeros_like(logits), torch.full_like(logits, 400), torch.full_like(logits, SPREAD_MIN)
    return Logistics(*(torch.stack(pair, -1) for pair in zip((logits, centres, widths), second, strict=True)))


def reference_digits(distribution: Distribution, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of both digits, the second given `first` [n], in 64-bit integers: [n, 16] each."""
    parts = [part.numpy().astype(np.int64) for part in distribution]
    if len(parts) == 1:
        grouped = softmax_frequencies(parts[0]).reshape(-1, BASE, BASE)
        return grouped.sum(-1), grouped[np.arange(len(first)), first]
    leading = np.broadcast_to(BASE * np.arange(BASE + 1), (len(first), BASE + 1))
    logits, means, spreads = parts
    second = BASE * first[:, None] + np.arange(BASE + 1)
    return logistics_frequencies(logits, means, spreads, leading), logistics_frequencies(logits, means, spreads, second)


def cumulative(mixture: Logistics, edges: np.ndarray) -> np.ndarray:
    """PixelCNN++'s equation 2 in float64: the mixture's mass below the values `edges` of 0..256, [n, len(edges)]."""
    logits, means, spreads = (part.numpy().astype(np.float64)[:, None] for part in mixture)
    weights = np.exp((logits - logits.max(-1, keepdims=True)) / 32)
    x = (edges[:, None] - 0.5 - means / 4) * 2.0 ** (-spreads / 32)
    inside = (weights / weights.sum(-1, keepdims=True) / (1 + np.exp(np.clip(-x, -700, 700)))).sum(-1)
    return np.where(edges == 0, 0.0, np.where(edges == 256, 1.0, inside))


def assert_as_reference(distribution: Distribution, first: np.ndarray) -> None:
    found = table(distribution)
    digits_found = found.first(), found.second(torch.from_numpy(first))
    for got, want in zip(digits_found, reference_digits(distribution, first), strict=True):
        assert torch.equal(got, got.round())
        assert got.min() > 0
        assert (got.numpy().astype(np.int64) == want).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 64))
def test_logistics_agree_with_the_reference(seed: int, count: int, components: int) -> None:
    first = np.random.default_rng(seed).integers(0, BASE, count)
    assert_as_reference(random_logistics(seed, count, components), first)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_softmaxes_agree_with_the_reference(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.integers(-LOGIT_MAX, LOGIT_MAX + 1, (count, 256))).float()
    assert_as_reference(Softmax(logits), random.integers(0, BASE, count))


@pytest.mark.parametrize("first", range(BASE))
def test_extreme_logistics_agree_with_the_reference(first: int) -> None:
    mixture = extreme_logistics()
    assert_as_reference(mixture, np.full(len(mixture.logits), first))


def test_heaviest_mixtures_stay_within_float64() -> None:
    """64 components of the largest weight: sums are still integers that float64 holds, and their own total."""
    shape = (2, 64)
    found = LogisticsTable(Logistics(torch.zeros(shape), torch.full(shape, 512.0), torch.zeros(shape)))
    assert found.first().sum(-1).tolist() == [(64 << 42) + BASE * FLOOR] * 2


def test_frequencies_of_colours_are_golden() -> None:
    """The exact frequencies of fixed mixtures: a change here makes every archive unreadable."""
    ranges = [(-LOGIT_MAX, LOGIT_MAX), (MEAN_MIN, MEAN_MAX), (SPREAD_MIN, SPREAD_MAX)]
    parts = [pseudo_random(f"golden {a} {b}", 700, a, b).reshape(100, 7) for a, b in ranges]
    found = LogisticsTable(Logistics(*(torch.from_numpy(part).float() for part in parts)))
    digest = hashlib.sha256(found.first().numpy().astype("<i8").tobytes())
    for first in range(BASE):
        digest.update(found.second(torch.full((100,), first)).numpy().astype("<i8").tobytes())
    assert digest.hexdigest() == "53c9b1b26b0ad69256af0fc351928f69228de820f2e0d7a016d0c1ed358f0805"


# --- the equation ---


@pytest.mark.parametrize("components", [1, 3, 10])
@pytest.mark.parametrize(("octave", "tolerance"), [(32, 2e-5), (1, 1.6e-3)])
def test_frequencies_of_colours_follow_the_equation(components: int, octave: int, tolerance: float) -> None:
    """Scales that are powers of two are exact; the widest of the others is an integer above 64, half a step from true."""
    mixture = random_logistics(components, 400, components)
    mixture = mixture._replace(spreads=mixture.spreads.div(octave, rounding_mode="floor") * octave)
    first, want = LogisticsTable(mixture).first().numpy(), cumulative(mixture, BASE * np.arange(BASE + 1))
    found = (first / first.sum(-1, keepdims=True)).cumsum(-1)
    assert np.abs(found - want[:, 1:]).max() < tolerance


@pytest.mark.parametrize("components", [1, 4])
def test_rounding_costs_next_to_nothing(components: int) -> None:
    """Bits that coding by the integers costs beyond the equation, if values came from the equation: the divergence."""
    mixture = random_logistics(components + 7, 300, components)
    p = np.diff(cumulative(mixture, np.arange(257)))
    found = LogisticsTable(mixture)
    first = found.first().numpy()
    second = np.stack([found.second(torch.full((300,), digit)).numpy() for digit in range(BASE)], 1)
    q = (first / first.sum(-1, keepdims=True))[..., None] * second / second.sum(-1, keepdims=True)
    q = q.reshape(300, 256)
    assert q.sum(-1) == pytest.approx(1)
    divergence = np.where(p > 0, p * (np.log2(np.maximum(p, 1e-300)) - np.log2(q)), 0).sum(-1)
    assert divergence.max() < 1e-3
    assert divergence.min() > -1e-9


def test_theory_is_the_equation() -> None:
    """`value_bits` evaluates the same formula, every value having LEAST_PROBABILITY of its own."""
    mixture = random_logistics(5, 50, 3)
    each = Logistics(*(part[:, None].expand(-1, 256, -1) for part in mixture))
    values = torch.arange(256, dtype=torch.uint8).expand(50, -1)
    p = np.diff(cumulative(mixture, np.arange(257))) + LEAST_PROBABILITY
    assert value_bits(each, values).numpy() == pytest.approx(-np.log2(p), rel=1e-6)


# --- digits ---


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(1, 10))
def test_second_digits_divide_the_mass_of_the_first(seed: int, count: int, components: int) -> None:
    found = LogisticsTable(random_logistics(seed, count, components))
    first = found.first()
    for digit in range(BASE):
        second = found.second(torch.full((count,), digit))
        assert torch.equal((second - FLOOR).sum(-1), first[:, digit] - FLOOR)
        assert second.min() >= FLOOR
    weights = softmax_frequencies(random_logistics(seed, count, components).logits.numpy().astype(np.int64))
    assert ((first - FLOOR).sum(-1).numpy() == weights.sum(-1) * (1 << 22)).all()


def test_second_digits_divide_the_mass_of_the_first_of_a_softmax() -> None:
    found = SoftmaxTable(Softmax(torch.from_numpy(pseudo_random("s", 5 * 256, -300, 300).reshape(5, 256)).float()))
    for digit in range(BASE):
        assert found.second(torch.full((5,), digit)).sum(-1).tolist() == found.first()[:, digit].tolist()


def test_one_bit_is_one_digit() -> None:
    logits = torch.tensor([[0.0, 32.0], [512.0, -512.0]])
    assert SoftmaxTable(Softmax(logits)).first().tolist() == [[round(2**20 / np.e), 1 << 20], [1 << 20, 1]]


def test_digits_cover_every_value_once() -> None:
    for levels, _ in KINDS:
        assert np.prod(digits(levels)) == levels


# --- through the coder ---


def code_every_value(distribution: Distribution) -> np.ndarray:
    """Push and pop all 256 values under each of n distributions; what each cost, in bits: [n, 256]."""
    found, n = table(distribution), len(distribution.logits)
    first = found.first().numpy()
    costs = np.empty((n, 256))
    for value in VALUES:
        second = found.second(torch.full((n,), int(value) // BASE)).numpy()
        for i in range(n):
            stack = Stack.seeded(8)
            before = stack.bits
            stack.push(np.array([value % BASE]), second[i : i + 1])
            stack.push(np.array([value // BASE]), first[i : i + 1])
            costs[i, value] = stack.bits - before
            assert stack.pop(first[i : i + 1]).tolist() == [value // BASE]
            assert stack.pop(second[i : i + 1]).tolist() == [value % BASE]
            stack.check_seed(8)
    return costs


def test_every_value_is_codable_under_extreme_logistics() -> None:
    mixture = extreme_logistics()
    costs = code_every_value(mixture)
    assert costs.max() < 29  # 24 bits for a digit at the floor, 4 for another where no mass is at all
    each = Logistics(*(part[:, None].expand(-1, 256, -1) for part in mixture))
    theory = value_bits(each, torch.arange(256, dtype=torch.uint8).expand(len(costs), -1)).numpy()
    likely = theory < 18
    assert likely.any(1).all()
    assert np.abs(costs - theory)[likely].max() < 0.1
    # A value that theory deems impossible costs its floor, give or take how the digits share it out.
    assert np.abs(costs - theory).max() < 6


def test_a_certain_value_costs_next_to_nothing() -> None:
    """Means on a value or beyond the ends, with the smallest spread."""
    for mean, value in [(MEAN_MIN, 0), (0, 0), (4 * 77, 77), (TOP, 255), (MEAN_MAX, 255)]:
        mixture = Logistics(torch.zeros(1, 1), torch.full((1, 1), float(mean)), torch.full((1, 1), float(SPREAD_MIN)))
        costs = code_every_value(mixture)[0]
        assert costs.argmin() == value
        assert costs[value] < 2e-3
