"""A tour as a cyclic sequence of nodes, and the edge exchanges (2-opt, 3-opt, double bridge) applied to it."""

import numpy as np


class Circle:
    """Cyclic tour through the nodes of a path and a dummy node at distance 0 from all, the path's open end.

    A move of two edges is four nodes: edges 0-1 and 2-3 are removed, 1-2 and 3-0 added. One of three edges is six: 0-1, 2-3
    and 4-5 are removed, 1-2, 3-4 and 5-0 added. One of four, eight nodes, swaps the first and last of three segments 1..2,
    3..4, 5..6.
    """

    def __init__(self, codes: np.ndarray, path: np.ndarray) -> None:
        """`codes` integers [N, D] whose squared distances are exact in float32; `path` int64 [N]."""
        self.size = len(path) + 1
        self.open_end = len(path)
        self._order = np.append(path, self.open_end).astype(np.int32)
        self._place = np.empty(self.size, np.int32)  # position of each node in the order
        self._places = np.arange(2 * self.size, dtype=np.int32)
        self._place[self._order] = self._places[: self.size]
        self._codes = np.concatenate([codes, codes[:1]]).astype(np.float32)  # plus a row for the open end

    def path(self) -> np.ndarray:
        """The nodes in tour order, starting after the open end: int64 [N]."""
        start = int(self._place[self.open_end])
        return np.concatenate([self._order[start + 1 :], self._order[:start]]).astype(np.int64)

    def order(self) -> np.ndarray:
        """All nodes in tour order, int32 [N + 1]; a copy."""
        return self._order.copy()

    def restore(self, order: np.ndarray) -> None:
        """Restore a tour returned by `order`."""
        self._order[:] = order
        self._place[order] = self._places[: self.size]

    def ahead(self, nodes: np.ndarray, way: int | np.ndarray) -> np.ndarray:
        """The tour neighbours of `nodes` [M]: next for `way` 1, previous for -1."""
        return self._order[(self._place[nodes] + way) % self.size]

    def bridges(self, corners: np.ndarray) -> list[list[int]]:
        """Double bridges on the edges after the nodes of each row of `corners` [M, 4], except rows that repeat a node."""
        cuts = np.sort(self._place[corners], 1)
        cuts = cuts[(np.diff(cuts, axis=1) > 0).all(1)]
        return self._order[np.stack([cuts, cuts + 1], 2).reshape(-1, 8) % self.size].tolist()

    def between(self, start: np.ndarray, ends: np.ndarray, way: int) -> np.ndarray:
        """Number of steps along `way` from the nodes `start` [M] to `ends` [M]."""
        return (way * (self._place[ends] - self._place[start])) % self.size

    def distance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Squared distances between nodes a and b [M]: float64 [M], exact, as are their sums."""
        step = self._codes[a] - self._codes[b]
        distance = np.einsum("ij,ij->i", step, step).astype(np.float64)
        distance[(a == self.open_end) | (b == self.open_end)] = 0
        return distance

    def make(self, nodes: list[int]) -> bool:
        """Apply a move; returns False if its edges are no longer in the tour or the result would not be one cycle."""
        base = int(self._place[nodes[1]])
        way = 1 if (base - int(self._place[nodes[0]])) % self.size == 1 else -1
        steps = [way * (int(self._place[node]) - base) % self.size for node in nodes]
        if steps[0] != self.size - 1 or (steps[2] < 2 and len(nodes) < 8):
            return False
        turns = _turns_of_four(steps) if len(nodes) == 8 else _turns_of_three(steps)
        for low, high in turns:
            base, way = self._turn(base, way, low, high)
        return bool(turns)

    def _turn(self, base: int, way: int, low: int, high: int) -> tuple[int, int]:
        """Reverse steps low..high, counted along `way` from place `base`; returns the new (base, way) to count from."""
        length = high - low + 1
        start = base + low if way > 0 else base - high
        if 2 * length > self.size:
            # Reversing the complement gives the same cycle in the other direction, and is cheaper.
            start, length = start + length, self.size - length
            base, way = base + way * (low + high), -way
        start %= self.size
        places = self._places[start : start + length]
        if start + length > self.size:
            places = places % self.size
            turned = self._order[places[::-1]]
            self._order[places] = turned
        else:
            turned = self._order[start : start + length][::-1].copy()
            self._order[start : start + length] = turned
        self._place[turned] = places
        return base % self.size, way


Turns = list[tuple[int, int]]


def _turns_of_three(steps: list[int]) -> Turns:
    """The reversals, in order, that carry out a move of two or three edges; empty if the move is infeasible.

    `steps` lead from node 1 to each node, away from node 0. Reversed segments are counted in the same direction.
    """
    last, _, at, after, *third = steps
    if abs(at - after) != 1:
        return []
    if not third:
        return [(0, after)] if after < at else []
    start, end = third
    if after < at:  # node 3 before node 2: reversed up to there, it is one path, whose tail may be reversed again
        if at < start == end + 1 < last:
            return [(0, after), (0, end)]
        return [(0, after), (0, after - end)] if start == end - 1 < at - 2 else []
    # Node 3 after node 2: the nodes up to there form a separate cycle, opened next to node 4.
    if start == end - 1 < at:
        return [(0, start), (end, at), (0, at)]
    return [(0, end), (start, at)] if start == end + 1 <= at else []


def _turns_of_four(steps: list[int]) -> Turns:
    """As `_turns_of_three`, for the double bridge: segments b, c, d become d, c, b, each in its original direction."""
    _, _, b, c_start, c, d_start, d, after = steps
    if not (b + 1 == c_start <= c and c + 1 == d_start <= d and d + 1 == after):
        return []
    return [(0, d), (0, d - d_start), (d - d_start + 1, d - c_start), (d - b, d)]
