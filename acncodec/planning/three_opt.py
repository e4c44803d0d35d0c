"""Local search for shorter tours: exchanges of two or three edges along the neighbour graph.

They include all 2-opt and Or-opt moves. The best move of every node is searched at once, in arrays; costs are integers, so
the moves are the same on every machine.
"""

from typing import NamedTuple

import numpy as np

from acncodec.planning.circle import Circle

SEARCHED_AT_ONCE = 1 << 13  # nodes: bounds the memory of a search


class Moves(NamedTuple):
    """Moves with gain > 0, float64 [M], and nodes int64 [M, 6] as for `Circle.make`, the last two -1 if unused."""

    gains: np.ndarray
    nodes: np.ndarray


class Search:
    """Finds improving moves in a tour through the nodes of a neighbour graph (`graph.neighbour_graph`)."""

    def __init__(self, circle: Circle, distances: np.ndarray, indices: np.ndarray) -> None:
        self._circle = circle
        # The open end has no neighbours: its list is itself at infinite distance, which gains nothing.
        self._lengths = np.concatenate([distances, np.full_like(distances[:1], np.inf)])
        self._neighbours = np.concatenate([indices, np.full_like(indices[:1], circle.open_end)])

    def best(self, active: np.ndarray) -> list[tuple[float, list[int]]]:
        """The best move of each of the nodes `active` [M] that has one, as (gain, nodes), greatest gain first."""
        chunks = range(0, len(active), SEARCHED_AT_ONCE)
        parts = [self._best(active[start : start + SEARCHED_AT_ONCE]) for start in chunks]
        gains, nodes = np.concatenate([p.gains for p in parts]), np.concatenate([p.nodes for p in parts])
        order = np.lexsort((nodes[:, 0], -gains))
        trimmed = (six if six[4] >= 0 else six[:4] for six in nodes[order].tolist())
        return list(zip(gains[order].tolist(), trimmed, strict=True))

    def wander(self, nodes: np.ndarray, chances: np.ndarray) -> np.ndarray:
        """A random neighbour of each of `nodes` [M]; `chances` [M] are uniform in [0, 1)."""
        ranks = (chances * self._neighbours.shape[1]).astype(np.int64)
        return self._neighbours[nodes, ranks]

    def _best(self, active: np.ndarray) -> Moves:
        """The best move of each of the nodes `active` [M] that has one; the first found in case of ties."""
        found = [moves for way in (1, -1) for moves in self._along(active, way)]
        gains, nodes = np.concatenate([m.gains for m in found]), np.concatenate([m.nodes for m in found])
        order = np.lexsort((-gains, nodes[:, 0]))
        kept = order[np.diff(nodes[order, 0], prepend=-1) != 0]
        return Moves(gains[kept], nodes[kept])

    def _along(self, a: np.ndarray, way: int) -> list[Moves]:
        """Improving moves whose first edge leads from nodes `a` [M] along `way` to node 1; steps are counted from there."""
        circle = self._circle
        b = circle.ahead(a, way)
        gain, row, rank = _positive(circle.distance(a, b)[:, None] - self._lengths[b])
        a, b, c = a[row], b[row], self._neighbours[b[row], rank]
        at = circle.between(b, c, way)
        apart = at > 1  # else b-c is a tour edge already
        a, b, c, gain, at = (x[apart] for x in (a, b, c, gain, at))

        # Node 3 before node 2: either a move of two edges, or reverse the path up to there and search for a third edge.
        d = circle.ahead(c, -way)
        opened = gain + circle.distance(c, d)
        found = [_gaining(opened - circle.distance(d, a), (a, b, c, d))]
        partial, row, e = self._extend(opened, d)
        start = circle.between(b[row], e, way)
        beyond = start > at[row]
        fits = (beyond & (start < circle.size - 1)) | (start < at[row] - 2)
        found.append(self._close(partial, row, e, np.where(beyond, -way, way), fits, (a, b, c, d)))

        # Node 3 after node 2: the nodes up to there form a separate cycle, opened at a neighbour of node 3.
        d = circle.ahead(c, way)
        partial, row, e = self._extend(gain + circle.distance(c, d), d)
        start = circle.between(b[row], e, way)
        found.append(self._close(partial, row, e, way, start < at[row], (a, b, c, d)))
        found.append(self._close(partial, row, e, -way, (start < at[row]) & (start > 0), (a, b, c, d)))
        return found

    def _extend(self, opened: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Edges from nodes `d` [M] that are shorter than the gain so far, `opened` [M]: remaining gain, row and end."""
        gain, row, rank = _positive(opened[:, None] - self._lengths[d])
        return gain, row, self._neighbours[d[row], rank]

    def _close(
        self,
        gain: np.ndarray,
        row: np.ndarray,
        e: np.ndarray,
        side: int | np.ndarray,
        fits: np.ndarray,
        first: tuple[np.ndarray, ...],
    ) -> Moves:
        """Moves whose third removed edge is from nodes `e` to their neighbour on `side`, where it `fits`, all [E]."""
        side = side[fits] if isinstance(side, np.ndarray) else side
        gain, row, e = gain[fits], row[fits], e[fits]
        f = self._circle.ahead(e, side)
        a, b, c, d = (nodes[row] for nodes in first)
        return _gaining(gain + self._circle.distance(e, f) - self._circle.distance(f, a), (a, b, c, d, e, f))


def shorten(circle: Circle, search: Search, rounds: int) -> None:
    """Apply moves, greatest gain first, for at most `rounds` rounds of search or until none is found."""
    active = np.arange(circle.open_end)
    for _ in range(rounds):
        again: list[int] = []
        for _, nodes in search.best(active):
            # Nodes whose move has become infeasible are searched again.
            again += nodes if circle.make(nodes) else nodes[:1]
        active = np.unique(np.array(again, np.int64))
        if not len(active):
            break


def _positive(gains: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The positive entries of `gains` [M, k], with their rows and columns."""
    rows, columns = np.nonzero(gains > 0)
    return gains[rows, columns], rows, columns


def _gaining(gains: np.ndarray, columns: tuple[np.ndarray, ...]) -> Moves:
    """The moves with a positive gain; `columns` are their nodes, each [M]."""
    good = np.flatnonzero(gains > 0)
    nodes = np.full((len(good), 6), -1, np.int64)
    for column, node in enumerate(columns):
        nodes[:, column] = node[good]
    return Moves(gains[good], nodes)
