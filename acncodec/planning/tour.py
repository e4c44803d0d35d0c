"""The tour: assigns images to the positions of a schedule so that a child's code is close to its parent's.

First a short path through all codes is searched, then it is laid into the schedule's lanes. Effort is counted in
neighbours, rounds and batches, never in seconds, so that the same codes give the same tour in every run, on every machine.
Squared distance is a proxy for the KL between neighbours, with which it correlates (`benchmarks/planner.py`).
"""

from typing import NamedTuple

import numpy as np

from acncodec.planning.circle import Circle
from acncodec.planning.fragments import greedy_path
from acncodec.planning.graph import neighbour_graph
from acncodec.planning.greedy import greedy_tour
from acncodec.planning.kicks import kick
from acncodec.planning.laying import lay
from acncodec.planning.neighbours import LARGEST_NORM
from acncodec.planning.schedule import Schedule
from acncodec.planning.three_opt import Search, shorten

DEFAULT_EFFORT = 5
GREEDY_EFFORT = 1
GREEDY_MOST = 1 << 16  # codes for which effort 1 uses the greedy tour, whose time is quadratic


class Effort(NamedTuple):
    """What an effort level means: neighbours per code, rounds of edge exchanges, batches of kicks."""

    neighbours: int
    rounds: int
    batches: int


TO_THE_END = 1000  # rounds: in practice about ten until no more moves are found
EFFORTS = {
    GREEDY_EFFORT: Effort(5, 0, 0),
    2: Effort(5, 0, 0),
    3: Effort(5, 2, 0),
    4: Effort(8, 4, 0),
    DEFAULT_EFFORT: Effort(10, TO_THE_END, 0),
    6: Effort(10, TO_THE_END, 100),
    7: Effort(10, TO_THE_END, 500),
    8: Effort(10, TO_THE_END, 2_000),
    9: Effort(10, TO_THE_END, 10_000),
}


def plan_tour(codes: np.ndarray, schedule: Schedule, effort: int = DEFAULT_EFFORT) -> np.ndarray:
    """order[position] = index of the image there, int64 [N], for `codes` int8/int16 [N, D] in steps of the latent grid.

    Effort 1 is the greedy tour for up to GREEDY_MOST codes, 2 the initial path, 3 to 5 add local search, 6 to 9 kicks
    (EFFORTS). Raises ValueError if codes and schedule differ in size, an effort is not from 1 to 9, or codes are too large
    for exact distances.
    """
    if len(codes) != schedule.count:
        raise ValueError(f"{len(codes)} codes do not fit a schedule of {schedule.count} elements")
    if effort not in EFFORTS:
        raise ValueError(f"effort must be from 1 to {max(EFFORTS)}, not {effort}")
    if np.square(codes, dtype=np.int64).sum(1).max() > LARGEST_NORM:
        raise ValueError(f"codes with a squared norm above {LARGEST_NORM} have distances inexact in float32")
    if effort == GREEDY_EFFORT and len(codes) <= GREEDY_MOST:
        return greedy_tour(codes, schedule)
    # Images with equal codes stay together: as separate nodes they would be each other's only neighbours.
    distinct, numbers = np.unique(codes, axis=0, return_inverse=True)
    rank = np.argsort(short_path(distinct, EFFORTS[effort]))
    return lay(codes, np.argsort(rank[numbers.ravel()], kind="stable"), schedule)


def short_path(codes: np.ndarray, effort: Effort) -> np.ndarray:
    """A short path through distinct `codes` [N, D], int64 [N]."""
    distances, indices = neighbour_graph(codes, effort.neighbours)
    path = greedy_path(codes, distances, indices)
    if not effort.rounds:
        return path
    circle = Circle(codes, path)
    search = Search(circle, distances, indices)
    shorten(circle, search, effort.rounds)
    kick(circle, search, min(effort.batches, len(codes)))
    return circle.path()


def tour_cost(codes: np.ndarray, order: np.ndarray, schedule: Schedule) -> float:
    """Mean squared distance from parent to child, in squared steps of the latent grid; 0 if there are no children."""
    parents = np.concatenate([step.parents for step in schedule])
    along = codes[order].astype(np.int64)
    steps = along[1:] - along[parents[1:]]
    return float(np.square(steps).sum(1).mean()) if len(steps) else 0.0
