"""Tour planning: neighbour graph, initial path, edge exchanges, random kicks, and the path laid into lanes."""

import itertools
from unittest.mock import patch

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.planning import graph
from acncodec.planning.circle import Circle
from acncodec.planning.fragments import greedy_path
from acncodec.planning.graph import neighbour_graph
from acncodec.planning.greedy import greedy_tour
from acncodec.planning.kicks import kick
from acncodec.planning.laying import lay
from acncodec.planning.schedule import Schedule
from acncodec.planning.three_opt import Search, shorten
from acncodec.planning.tour import DEFAULT_EFFORT, EFFORTS, plan_tour, short_path, tour_cost

SEEDS = st.integers(0, 2**32 - 1)


def draw_codes(seed: int, count: int, dimensions: int, spread: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(-spread, spread + 1, (count, dimensions)).astype(np.int16)


def distinct_codes(seed: int, count: int, dimensions: int, spread: int) -> np.ndarray:
    return np.unique(draw_codes(seed, count, dimensions, spread), axis=0)


def squared_length(codes: np.ndarray, path: np.ndarray) -> int:
    return int(np.square(np.diff(codes[path].astype(np.int64), axis=0)).sum())


def is_permutation(order: np.ndarray, count: int) -> bool:
    return order.dtype == np.int64 and np.array_equal(np.sort(order), np.arange(count))


def all_distances(codes: np.ndarray) -> np.ndarray:
    wide = codes.astype(np.int64)
    return np.square(wide[:, None] - wide).sum(-1)


def start(codes: np.ndarray, path: np.ndarray, k: int = 6) -> tuple[Circle, Search]:
    circle = Circle(codes, path)
    return circle, Search(circle, *neighbour_graph(codes, k))


@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 40), SEEDS)
@settings(max_examples=50, deadline=None)
def test_graph_lists_the_nearest(count: int, dimensions: int, spread: int, seed: int) -> None:
    codes = draw_codes(seed, count, dimensions, spread)
    distances, indices = neighbour_graph(codes, 5)
    every = all_distances(codes)
    assert distances.shape == indices.shape == (count, min(5, count - 1))
    np.testing.assert_array_equal(distances, np.take_along_axis(every, indices.astype(np.int64), 1))
    np.fill_diagonal(every, 1 << 30)
    np.testing.assert_array_equal(distances, np.sort(every, 1)[:, : distances.shape[1]])
    assert not (indices == np.arange(count)[:, None]).any()
    assert all(pairs == sorted(pairs) for pairs in map(list, map(zip, distances.tolist(), indices.tolist())))


def test_graph_by_cells_finds_nearly_all() -> None:
    codes = distinct_codes(1, 6000, 4, 60)
    whole = neighbour_graph(codes, 5)[1]
    with patch.object(graph, "EXHAUSTIVE", 1000):
        distances, indices = neighbour_graph(codes, 5)
    assert np.mean([len(np.intersect1d(a, b)) / 5 for a, b in zip(whole, indices, strict=True)]) > 0.97
    chosen = codes[indices].astype(np.int64) - codes[:, None]
    np.testing.assert_array_equal(distances, np.square(chosen).sum(-1))


def test_cells_of_too_few_codes_leave_places_unused() -> None:
    codes = np.concatenate([[[60, 60]], draw_codes(2, 1201, 2, 3)]).astype(np.int16)
    with patch.multiple(graph, EXHAUSTIVE=100, PROBED=1, CODES_IN_CELL=24):
        distances, indices = neighbour_graph(codes, 5)
        path = greedy_path(codes, distances, indices)
    assert distances.shape == (1202, 5)
    assert np.isinf(distances[0]).all()
    assert is_permutation(path, 1202)


@given(st.integers(1, 120), st.integers(1, 5), st.integers(1, 60), st.sampled_from([1, 3, 8]), SEEDS)
@settings(max_examples=60, deadline=None)
def test_first_path_goes_through_all(count: int, dimensions: int, spread: int, k: int, seed: int) -> None:
    codes = distinct_codes(seed, count, dimensions, spread)
    assert is_permutation(greedy_path(codes, *neighbour_graph(codes, k)), len(codes))


@given(st.integers(1, 80), st.integers(1, 4), st.integers(1, 60), SEEDS)
@settings(max_examples=60, deadline=None)
def test_shortening_never_lengthens(count: int, dimensions: int, spread: int, seed: int) -> None:
    codes = distinct_codes(seed, count, dimensions, spread)
    path = np.random.RandomState(seed).permutation(len(codes))
    circle, search = start(codes, path)
    last = squared_length(codes, path)
    for improve in (
        lambda: shorten(circle, search, 1),
        lambda: shorten(circle, search, 100),
        lambda: kick(circle, search, 3),
    ):
        improve()
        now = squared_length(codes, circle.path())
        assert is_permutation(circle.path(), len(codes))
        assert now <= last
        last = now


@given(st.integers(4, 60), SEEDS)
@settings(max_examples=40, deadline=None)
def test_every_move_gains_what_it_says(count: int, seed: int) -> None:
    codes = distinct_codes(seed, count, 3, 40)
    circle, search = start(codes, np.random.RandomState(seed).permutation(len(codes)))
    while found := search.best(np.arange(circle.size)):
        gain, nodes = found[-1]  # the least: all kinds of moves come up
        before = squared_length(codes, circle.path())
        assert circle.make(nodes)
        assert before - squared_length(codes, circle.path()) == gain > 0


@given(st.integers(8, 60), SEEDS)
@settings(max_examples=40, deadline=None)
def test_bridges_are_made_or_refused_whole(count: int, seed: int) -> None:
    codes = distinct_codes(seed, count, 3, 40)
    random = np.random.RandomState(seed)
    circle, _ = start(codes, random.permutation(len(codes)))
    for bridge in circle.bridges(random.randint(len(codes), size=(5, 4))):
        before = circle.order().tolist()
        made = circle.make(bridge)
        after = circle.order().tolist()
        removed = {frozenset(e) for e in itertools.pairwise([*before, before[0]])}
        removed -= {frozenset(e) for e in itertools.pairwise([*after, after[0]])}
        gone = {frozenset(bridge[i : i + 2]) for i in (0, 2, 4, 6)}
        assert sorted(after) == sorted(before)
        assert removed <= gone if made else before == after


def test_a_stale_move_is_refused() -> None:
    codes = distinct_codes(3, 50, 3, 40)
    circle, search = start(codes, np.random.RandomState(0).permutation(len(codes)))
    _, nodes = search.best(np.arange(len(codes)))[0]
    assert circle.make(nodes)
    after = circle.order()
    assert not circle.make(nodes)
    np.testing.assert_array_equal(circle.order(), after)


@pytest.mark.parametrize("count", range(1, 8))
@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_the_optimum_of_few_codes_is_found(count: int, dimensions: int) -> None:
    for seed in range(3):
        codes = distinct_codes(seed, count, dimensions, 40)
        least = min(squared_length(codes, np.array(p)) for p in itertools.permutations(range(len(codes))))
        found = squared_length(codes, short_path(codes, EFFORTS[9]._replace(batches=20)))
        assert least <= found <= 1.1 * least + 1


@given(st.integers(1, 300), st.integers(1, 512), st.integers(1, 4), st.sampled_from([0, 1, 40]), SEEDS)
@settings(max_examples=100, deadline=None)
def test_tours_hold_every_image_once(count: int, lanes: int, dimensions: int, spread: int, seed: int) -> None:
    codes, schedule = draw_codes(seed, count, dimensions, spread), Schedule(count, min(lanes, count))
    assert is_permutation(plan_tour(codes, schedule, 2), count)


@pytest.mark.parametrize("effort", EFFORTS)
def test_every_effort_plans(effort: int) -> None:
    codes, schedule = draw_codes(4, 60, 3, 5), Schedule(60, 4)
    assert is_permutation(plan_tour(codes, schedule, effort), 60)
    assert plan_tour(codes[:1], Schedule(1, 1), effort).tolist() == [0]


def test_more_effort_gives_shorter_tours() -> None:
    codes, schedule = draw_codes(5, 1500, 8, 50), Schedule(1500, 1)
    costs = [tour_cost(codes, plan_tour(codes, schedule, effort), schedule) for effort in (1, 2, 3, DEFAULT_EFFORT, 6)]
    assert costs == sorted(costs, reverse=True)
    assert costs[3] < 0.93 * costs[0]


def test_one_dimension_is_sorted() -> None:
    codes = np.random.RandomState(6).permutation(np.arange(-60, 61))[:, None].astype(np.int16)
    along = codes[plan_tour(codes, Schedule(len(codes), 1))][:, 0]
    assert np.abs(np.diff(along)).tolist() == [1] * 120


def test_images_with_equal_codes_are_consecutive() -> None:
    codes = np.repeat(distinct_codes(7, 40, 3, 30), 9, axis=0)
    codes = codes[np.random.RandomState(0).permutation(len(codes))]
    order = plan_tour(codes, Schedule(len(codes), 1))
    runs = np.any(np.diff(codes[order], axis=0) != 0, axis=1).sum() + 1
    assert runs == len(np.unique(codes, axis=0))
    same = np.all(np.diff(codes[order], axis=0) == 0, axis=1)
    assert (np.diff(order)[same] > 0).all()


@given(st.integers(1, 300), st.integers(1, 300))
@settings(max_examples=150, deadline=None)
def test_lanes_follow_the_path(count: int, lanes: int) -> None:
    """Of all children but those on the trunk and its leaves, nearly all stand beside their parents in the path."""
    schedule = Schedule(count, min(lanes, count))
    codes = np.stack([np.arange(count), np.zeros(count, int)], 1).astype(np.int16)
    order = lay(codes, np.arange(count), schedule)
    assert is_permutation(order, count)
    parents = np.concatenate([step.parents for step in schedule])
    start = schedule.sizes.index(max(schedule.sizes))
    first = sum(schedule.sizes[:start])
    # What the trunk takes out of a lane leaves a gap of one.
    assert (np.abs(order[first:] - order[parents[first:]])[parents[first:] >= 0] <= 2).all()


@pytest.mark.parametrize("lanes", [16, 128])
def test_lanes_of_a_path_cost_less_than_greedy_ones(lanes: int) -> None:
    codes, schedule = draw_codes(8, 3000, 8, 50), Schedule(3000, lanes)
    planned = tour_cost(codes, plan_tour(codes, schedule), schedule)
    assert planned < 0.96 * tour_cost(codes, greedy_tour(codes, schedule), schedule)


@pytest.mark.slow
@pytest.mark.parametrize("exhaustive", [graph.EXHAUSTIVE, 500])
def test_threads_and_runs_do_not_matter(exhaustive: int) -> None:
    codes, schedule = draw_codes(9, 1500, 6, 8), Schedule(1500, 64)
    threads = faiss.omp_get_max_threads()
    orders = set()
    try:
        for count in (1, 2, 2):
            faiss.omp_set_num_threads(count)
            with patch.object(graph, "EXHAUSTIVE", exhaustive):
                orders |= {plan_tour(codes, schedule, effort).tobytes() for effort in (1, 6)}
    finally:
        faiss.omp_set_num_threads(threads)
    assert len(orders) == 2


def test_invalid_efforts_are_refused() -> None:
    for effort in (0, 10, -1):
        with pytest.raises(ValueError, match="effort"):
            plan_tour(np.zeros((3, 2), np.int8), Schedule(3, 1), effort)
