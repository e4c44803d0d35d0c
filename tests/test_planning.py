"""Schedules by their rule, and greedy tours against a brute-force reference."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.planning.greedy import greedy_tour
from acncodec.planning.neighbours import LISTED, nearest
from acncodec.planning.schedule import MANY_VALUES, MAX_LANES, MAX_PIXELS_IN_STEP, Schedule, choose_lanes
from acncodec.planning.tour import plan_tour, tour_cost


@st.composite
def shapes(draw: st.DrawFn, most: int = 200) -> tuple[int, int]:
    count = draw(st.integers(1, most))
    return count, draw(st.integers(1, count))


def reference_tour(codes: np.ndarray, schedule: Schedule) -> list[int]:
    """The rule, word for word: the first of all pairs by (distance, lane, index), again and again."""
    wide = [[int(value) for value in code] for code in codes]
    total = [sum(column) for column in zip(*wide, strict=True)]

    def distance(a: list[int], b: list[int]) -> int:
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

    def from_mean(index: int) -> int:
        return distance([len(wide) * x for x in wide[index]], total)

    order = [min(range(len(wide)), key=lambda index: (from_mean(index), index))]
    unvisited = set(range(len(wide))) - set(order)
    for step in list(schedule)[1:]:
        chosen: dict[int, int] = {}
        parents = [wide[order[parent]] for parent in step.parents]
        pairs = sorted((distance(parents[lane], wide[i]), lane, i) for lane in range(step.size) for i in unvisited)
        for _, lane, index in pairs:
            if lane not in chosen and index in unvisited:
                chosen[lane] = index
                unvisited.remove(index)
        order += [chosen[lane] for lane in range(step.size)]
    return order


def draw_codes(seed: int, count: int, dimensions: int, spread: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-spread, spread + 1, (count, dimensions)).astype(np.int8)


@given(shapes())
@settings(max_examples=500, deadline=None)
def test_sizes_grow_at_most_twofold_from_either_end(shape: tuple[int, int]) -> None:
    count, lanes = shape
    sizes = Schedule(count, lanes).sizes
    assert sum(sizes) == count
    assert 1 <= min(sizes) <= max(sizes) <= lanes
    assert sizes[0] == sizes[-1] == 1
    for towards in (sizes, sizes[::-1]):
        peak = towards.index(max(sizes))
        rise = towards[: peak + 1]
        assert all(a <= b <= 2 * a for a, b in itertools.pairwise(rise))
    between = sizes[sizes.index(max(sizes)) : len(sizes) - sizes[::-1].index(max(sizes))]
    assert set(between) == {max(sizes)}


def test_sizes_by_example() -> None:
    assert Schedule(1, 1).sizes == [1]
    assert Schedule(5, 1).sizes == [1] * 5
    assert Schedule(33, 8).sizes == [1, 2, 4, 8, 8, 4, 3, 2, 1]
    assert Schedule(20, 6).sizes == [1, 2, 4, 6, 4, 2, 1]
    assert Schedule(8, 8).sizes == [1, 2, 2, 2, 1]  # too few for 1, 2, 4


@given(shapes())
@settings(deadline=None)
def test_parents_are_in_the_step_before(shape: tuple[int, int]) -> None:
    steps = list(Schedule(*shape))
    assert steps[0].parents.tolist() == [-1]
    for before, step in itertools.pairwise(steps):
        assert step.start == before.start + before.size
        assert step.parents.dtype == np.int64
        lanes = step.parents - before.start
        assert lanes.tolist() == [j * before.size // step.size for j in range(step.size)]
        assert lanes.min() >= 0
        assert lanes.max() < before.size


@given(shapes())
@settings(deadline=None)
def test_a_reversed_schedule(shape: tuple[int, int]) -> None:
    schedule = Schedule(*shape)
    forwards, backwards = list(schedule), list(reversed(schedule))
    assert len(forwards) == len(schedule)
    assert [step.start for step in backwards] == [step.start for step in forwards[::-1]]
    assert all(np.array_equal(a.parents, b.parents) for a, b in zip(forwards, backwards[::-1], strict=True))


@pytest.mark.parametrize(("count", "lanes"), [(0, 0), (0, 1), (3, 0), (3, 4), (-1, -1)])
def test_invalid_schedules_are_refused(count: int, lanes: int) -> None:
    with pytest.raises(ValueError):
        Schedule(count, lanes)


@given(st.integers(1, 10**7), st.integers(1, 10**8), st.booleans())
def test_lanes_keep_within_count_and_memory(count: int, pixels: int, conditional: bool) -> None:
    lanes = choose_lanes(count, pixels, 1, conditional)
    assert lanes.bit_count() == 1
    assert lanes == 1 or _may_have(lanes, count, pixels, conditional)
    assert not _may_have(2 * lanes, count, pixels, conditional)


def _may_have(lanes: int, count: int, pixels: int, conditional: bool) -> bool:
    steps = 16 if not conditional or pixels >= MANY_VALUES else 64
    return lanes * steps <= count and lanes * pixels <= MAX_PIXELS_IN_STEP and lanes <= MAX_LANES


def test_lanes_by_example() -> None:
    assert [choose_lanes(10_000, 784, 1, conditional) for conditional in (True, False)] == [128, 512]
    assert [choose_lanes(256, 784, 1, conditional) for conditional in (True, False)] == [4, 16]
    assert [choose_lanes(10_000, 1024, 3, conditional) for conditional in (True, False)] == [512, 512]
    assert choose_lanes(10_000, MAX_PIXELS_IN_STEP // 4, 1, True) == 4
    assert [choose_lanes(16, 1024, 3, True, quick) for quick in (False, True)] == [1, 4]


@pytest.mark.parametrize("conditional", [True, False])
def test_lanes_of_nothing_are_refused(conditional: bool) -> None:
    for count, pixels in ((0, 784), (10, 0)):
        with pytest.raises(ValueError):
            choose_lanes(count, pixels, 1, conditional)


@given(shapes(90), st.integers(0, 2**32), st.integers(1, 5), st.sampled_from([0, 1, 3, 100]))
@settings(max_examples=60, deadline=None)
def test_tours_agree_with_the_reference(shape: tuple[int, int], seed: int, dimensions: int, spread: int) -> None:
    schedule = Schedule(*shape)
    codes = draw_codes(seed, schedule.count, dimensions, spread)
    order = greedy_tour(codes, schedule)
    assert order.dtype == np.int64
    assert order.tolist() == reference_tour(codes, schedule)


@pytest.mark.parametrize("lanes", [1, 7, 64])
@pytest.mark.parametrize("spread", [1, 4])
def test_tours_agree_with_the_reference_beyond_neighbour_lists(lanes: int, spread: int) -> None:
    schedule = Schedule(12 * LISTED, lanes)
    codes = draw_codes(lanes, schedule.count, 3, spread)
    assert greedy_tour(codes, schedule).tolist() == reference_tour(codes, schedule)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_smallest_tours(count: int) -> None:
    codes = np.array([[9, 9], [1, 0], [0, 0]], np.int16)[:count]
    for lanes in range(1, count + 1):
        schedule = Schedule(count, lanes)
        order = greedy_tour(codes, schedule)
        assert order.tolist() == reference_tour(codes, schedule)
        assert tour_cost(codes, order, schedule) == pytest.approx({1: 0, 2: 64 + 81, 3: (1 + 81 + 81) / 2}[count])


@pytest.mark.parametrize("lanes", [1, 16, 100])
def test_equal_codes_keep_their_order(lanes: int) -> None:
    schedule = Schedule(400, lanes)
    assert greedy_tour(np.full((400, 4), -7, np.int8), schedule).tolist() == list(range(400))


@pytest.mark.parametrize("effort", [1, 2, 5])
@pytest.mark.parametrize("lanes", [1, 32])
def test_planned_order_is_shorter_than_a_random_one(lanes: int, effort: int) -> None:
    codes, schedule = draw_codes(6, 1000, 8, 50), Schedule(1000, lanes)
    order = plan_tour(codes, schedule, effort)
    assert sorted(order.tolist()) == list(range(1000))
    shuffled = np.random.default_rng(7).permutation(1000)
    assert tour_cost(codes, order, schedule) < 0.5 * tour_cost(codes, shuffled, schedule)


def test_codes_that_cannot_be_planned_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        plan_tour(np.zeros((3, 2), np.int8), Schedule(4, 1))
    with pytest.raises(ValueError, match="inexact"):
        plan_tour(np.full((3, 2), 30_000, np.int16), Schedule(3, 1))


def test_nearest_sorts_by_distance_then_index() -> None:
    distances, indices = nearest(np.array([[0, 0]]), np.array([[0, 2], [2, 0], [1, 0], [0, -2]]), 9)
    assert distances.tolist() == [[1, 4, 4, 4]]
    assert indices.tolist() == [[2, 0, 1, 3]]
