"""Escape from local optima: batches of random double-bridge kicks, each repaired, then kept or undone separately.

A kick is a double bridge, a move of four edges that are close in code space. The gains of repairs are credited to the place
they belong to. Then the tour is rolled back, and only the moves of places with a net gain are replayed.
"""

from collections import defaultdict

import numpy as np

from acncodec.planning.circle import Circle
from acncodec.planning.three_opt import Search

PLACES = 10  # kicks in a batch: more interfere with each other, fewer take more searches
REPAIRS = 50  # maximum rounds of repair
SEED = 0
FEWEST = 8  # nodes: with fewer, all moves have been searched already


def kick(circle: Circle, search: Search, batches: int) -> None:
    """Apply `batches` batches of PLACES kicks; no batch makes the tour longer."""
    if circle.open_end < FEWEST:
        return
    random = np.random.RandomState(SEED)  # its stream is frozen across NumPy versions, unlike a Generator's
    for _ in range(batches):
        before = circle.order()
        batch = _Batch(circle, search, circle.bridges(_corners(circle.open_end, search, random)))
        batch.repair()
        kept = batch.gaining()
        circle.restore(before)
        while lost := batch.replay(kept):
            kept -= lost
            circle.restore(before)


def _corners(nodes: int, search: Search, random: np.random.RandomState) -> np.ndarray:
    """Four nearby nodes for each of the PLACES, int64 [PLACES, 4]: random walks on the neighbour graph."""
    walk = [(random.random_sample(PLACES) * nodes).astype(np.int64)]
    for _ in range(3):
        walk.append(search.wander(walk[-1], random.random_sample(PLACES)))
    return np.stack(walk, 1)


class _Batch:
    """One batch: every move by the place it is credited to. Places whose moves share a node are merged."""

    def __init__(self, circle: Circle, search: Search, bridges: list[list[int]]) -> None:
        self._circle = circle
        self._search = search
        self._journal: list[tuple[int, list[int]]] = []
        self._same = list(range(len(bridges)))  # merged places, as a union-find forest
        self._owner: dict[int, int] = {}  # place of every touched node
        self._gains: dict[int, float] = defaultdict(float)
        ends = np.array(bridges, np.int64).reshape(-1, 8)
        gone = [circle.distance(ends[:, a], ends[:, a + 1]) for a in (0, 2, 4, 6)]
        come = [circle.distance(ends[:, a], ends[:, b]) for a, b in ((0, 5), (6, 3), (4, 1), (2, 7))]
        gains = np.sum(gone, 0) - np.sum(come, 0)
        for place, (bridge, gain) in enumerate(zip(bridges, gains.tolist(), strict=True)):
            if circle.make(bridge):
                self._enter(place, bridge, gain)

    def repair(self) -> None:
        """Local search around the kicks until no move is found, at most REPAIRS rounds."""
        active = np.array(sorted(self._owner), np.int64)
        for _ in range(REPAIRS):
            if not len(active):
                break
            again: list[int] = []
            for gain, nodes in self._search.best(active):
                if self._circle.make(nodes):
                    self._enter(self._find(self._owner[nodes[0]]), nodes, gain)
                    again += nodes
                else:
                    again.append(nodes[0])
            active = np.unique(np.array(again, np.int64))

    def gaining(self) -> set[int]:
        """Places whose moves shorten the tour in total."""
        total: dict[int, float] = defaultdict(float)
        for place, gain in self._gains.items():
            total[self._find(place)] += gain
        return {place for place, gain in total.items() if gain > 0}

    def replay(self, places: set[int]) -> set[int]:
        """Repeat the moves of those places; returns the places with a move that is infeasible without the others' moves."""
        lost: set[int] = set()
        for entered, nodes in self._journal:
            place = self._find(entered)
            if place in places and place not in lost and not self._circle.make(nodes):
                lost.add(place)
        return lost

    def _enter(self, place: int, nodes: list[int], gain: float) -> None:
        self._journal.append((place, nodes))
        self._gains[place] += gain
        for node in nodes:
            other = self._find(self._owner.get(node, place))
            if other != place:
                self._same[other] = place
            self._owner[node] = place

    def _find(self, place: int) -> int:
        """Representative of the places merged with this one."""
        while self._same[place] != place:
            place = self._same[place]
        return place
