"""Greedy tour: assigns images to the positions of a schedule so that a child's code is close to its parent's.

The nearest-neighbour heuristic for short tours, generalised to lanes: all elements of a step choose among the unvisited
images at once, closest pair first (design, section 4).
"""

import heapq

import numpy as np

from acncodec.planning.neighbours import Shrinking
from acncodec.planning.schedule import Schedule


def greedy_tour(codes: np.ndarray, schedule: Schedule) -> np.ndarray:
    """order[position] = index of the image there, int64 [N], for `codes` int8/int16 [N, D] in steps of the latent grid.

    The root is the image nearest to the mean code. Then, step by step, pairs of a lane and an unvisited image are joined in
    order of (squared distance of the image to the lane's parent, lane, index), until the step is full.
    """
    if len(codes) != schedule.count:
        raise ValueError(f"{len(codes)} codes do not fit a schedule of {schedule.count} elements")
    unvisited = Shrinking(codes)
    order = np.empty(schedule.count, np.int64)
    for step in schedule:
        if step.start == 0:
            joined = [_root(codes)]
            unvisited.take(joined[0])
        else:
            joined = _join(codes[order[step.parents]], unvisited)
        order[step.start : step.start + step.size] = joined
    return order


def _root(codes: np.ndarray) -> int:
    """Index of the first code nearest to the mean: argmin of the integer N|c|^2 - 2cS, equivalent to |c - S/N|^2."""
    wide = codes.astype(np.int64)
    return int(np.argmin(len(wide) * np.square(wide).sum(1) - 2 * wide @ wide.sum(0)))


def _join(parents: np.ndarray, unvisited: Shrinking) -> list[int]:
    """Take one unvisited image for each of the parents' codes [lanes, D]; returns their indices by lane."""
    chosen = [-1] * len(parents)
    lists = [iter(known) for known in unvisited.candidates(parents)]

    def head(lane: int) -> tuple[int, int, int]:
        """The lane's best pair as (distance, lane, index), or with index -1 a lower bound where its list ends."""
        return next((d, lane, index) for d, index in lists[lane] if index < 0 or index in unvisited)

    heap = [head(lane) for lane in range(len(parents))]
    heapq.heapify(heap)
    while heap:
        _, lane, index = heapq.heappop(heap)
        if index < 0:
            # A bound sorts before any pair it may hide. One search serves all lanes that would soon need it.
            asking = [lane, *(other for _, other, best in heap if best < 0 or best not in unvisited)]
            heap = [pair for pair in heap if pair[2] >= 0 and pair[2] in unvisited]
            for other, known in zip(asking, unvisited.candidates(parents[asking]), strict=True):
                lists[other] = iter(known)
                heap.append(head(other))
            heapq.heapify(heap)
        elif index in unvisited:
            chosen[lane] = index
            unvisited.take(index)
        else:
            heapq.heappush(heap, head(lane))
    return chosen
