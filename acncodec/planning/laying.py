"""Lays a path into the lanes of a schedule.

The path is cut into as many pieces as there are leaves, the elements of the step before the widest one. A leaf has one or
two lanes, the halves of its piece: one runs forwards from the leaf and one backwards, so the cut costs nothing. The trunk,
from the root to the leaves, is a binary tree built bottom-up: leaves close to each other share a parent, a code near their
midpoint that is taken out of a piece.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from acncodec.planning.schedule import Schedule


class Shape(NamedTuple):
    """Start positions of the steps up to the leaves' (the last); for each leaf the positions of its one or two lanes."""

    starts: list[int]
    halves: list[list[np.ndarray]]


class Branch(NamedTuple):
    """A subtree: the code at its root, its shape's kind, and its content: a piece by number, or two branches."""

    code: int
    kind: int
    piece: int
    branches: tuple["Branch", ...]


def lay(codes: np.ndarray, path: np.ndarray, schedule: Schedule) -> np.ndarray:
    """order[position] = index of the code there, int64 [N], for `codes` int8/int16 [N, D] and a `path` int64 [N].

    Ties go to the first code along the path.
    """
    if max(schedule.sizes) == 1:
        return path.copy()
    shape = _shape(schedule)
    # A piece holds its leaf, its lanes and, except for the last piece, a code for the trunk.
    backwards = [len(halves[1]) if len(halves) > 1 else 0 for halves in shape.halves]
    lengths = np.array([1 + sum(map(len, halves)) for halves in shape.halves])
    lengths[:-1] += 1
    pieces = np.split(path, np.cumsum(lengths)[:-1])
    root, taken = _grow_trunk(codes, pieces, backwards, shape)

    order = np.empty(schedule.count, np.int64)
    level = [root]
    for start in shape.starts[:-1]:
        order[start : start + len(level)] = [branch.code for branch in level]
        level = [child for branch in level for child in branch.branches]
    for leaf, branch in enumerate(level):
        piece, middle = pieces[branch.piece], backwards[branch.piece]
        piece = piece[~np.isin(piece, taken)]
        order[shape.starts[-1] + leaf] = piece[middle]
        for positions, lane in zip(shape.halves[leaf], (piece[middle + 1 :], piece[:middle][::-1]), strict=False):
            order[positions] = lane
    return order


def _shape(schedule: Schedule) -> Shape:
    steps = list(schedule)
    widest = schedule.sizes.index(max(schedule.sizes))
    leaves, first = steps[widest - 1], steps[widest]
    lane = np.arange(-first.start, schedule.count - first.start)  # lane of each position; 0, 1, ... in the widest step
    for step in steps[widest + 1 :]:
        lane[step.start : step.start + step.size] = lane[step.parents]
    by_lane = np.argsort(lane[first.start :], kind="stable") + first.start
    lanes = np.split(by_lane, np.cumsum(np.bincount(lane[first.start :]))[:-1])
    halves: list[list[np.ndarray]] = [[] for _ in range(leaves.size)]
    for number, parent in enumerate((first.parents - leaves.start).tolist()):
        halves[parent].append(lanes[number])
    return Shape([step.start for step in steps[:widest]], halves)


def _grow_trunk(
    codes: np.ndarray, pieces: list[np.ndarray], backwards: list[int], shape: Shape
) -> tuple[Branch, list[int]]:
    """The trunk over the pieces' leaves, and the codes taken out of the pieces for it."""
    path = np.concatenate(pieces)
    owner = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    free = owner < len(pieces) - 1
    table = codes[path].astype(np.float32)
    norms = np.einsum("ij,ij->i", table, table)
    kinds = _Kinds()
    wanted = [kinds.of(*map(len, halves)) for halves in shape.halves]
    level = [Branch(int(piece[backwards[n]]), wanted[n], n, ()) for n, piece in enumerate(pieces)]
    taken = []
    while len(level) > 1:
        pairs = list(zip(wanted[::2], wanted[1::2], strict=True))
        above = []
        for one, other in _pair_up(codes, level, Counter(pairs)):
            # Nearest to the midpoint m: minimises |x|^2 - 2mx, which is exact in float32 (neighbours.LARGEST_NORM).
            twice_middle = codes[[one.code, other.code]].sum(0, dtype=np.int64).astype(np.float32)
            found = int(np.argmin(np.where(free, norms - table @ twice_middle, np.inf)))
            free &= owner != owner[found]
            taken.append(int(path[found]))
            above.append(Branch(taken[-1], kinds.of(one.kind, other.kind), -1, (one, other)))
        level, wanted = above, [kinds.of(*pair) for pair in pairs]
    return level[0], taken


def _pair_up(codes: np.ndarray, level: list[Branch], kinds: Counter[tuple[int, int]]) -> list[tuple[Branch, Branch]]:
    """Pair up branches, nearest pairs first, as many as given of each pair of kinds."""
    at = codes[[branch.code for branch in level]].astype(np.int64)
    squares = np.square(at).sum(1)
    distances = squares[:, None] + squares - 2 * at @ at.T
    rows, columns = np.triu_indices(len(level), 1)
    nearest = np.argsort(distances[rows, columns], kind="stable")
    single = [True] * len(level)
    pairs = []
    for a, b in zip(rows[nearest].tolist(), columns[nearest].tolist(), strict=True):
        if single[a] and single[b]:
            for one, other in ((level[a], level[b]), (level[b], level[a])):
                if kinds[one.kind, other.kind]:
                    kinds[one.kind, other.kind] -= 1
                    single[a] = single[b] = False
                    pairs.append((one, other))
                    break
    return pairs


class _Kinds:
    """Numbers subtree shapes; equal ones are interchangeable. A shape is a leaf's lane lengths, or two branches' kinds."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, ...], int] = {}

    def of(self, *parts: int) -> int:
        return self._numbers.setdefault(parts, len(self._numbers))
