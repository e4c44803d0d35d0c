"""Initial path by the greedy edge heuristic: shortest edges of the neighbour graph, then edges between fragment ends."""

import numpy as np

from acncodec.planning.graph import neighbour_graph

AMONG_ENDS = 8  # nearest ends considered for joining a fragment to the next


def greedy_path(codes: np.ndarray, distances: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """A path through distinct `codes` [N, D], int64 [N], from their neighbour graph (`graph.neighbour_graph`).

    Edges are taken in order of (distance, indices) unless they give a code a third edge or close a cycle. The remaining
    fragments are joined the same way on a neighbour graph of their ends, until one is left.
    """
    fragments = Fragments(len(codes))
    fragments.join(np.arange(len(codes)), distances, indices)
    while fragments.count > 1:
        ends = fragments.ends()
        # Only one other end belongs to the same fragment, so three neighbours of an end include another: every round joins.
        fragments.join(ends, *neighbour_graph(codes[ends], AMONG_ENDS))
    return fragments.path()


class Fragments:
    """Disjoint paths through N nodes; initially every node is one."""

    def __init__(self, nodes: int) -> None:
        self.count = nodes
        self._other = list(range(nodes))  # of a fragment's end the opposite end; meaningless for inner nodes
        self._before = [-1] * nodes  # a node's neighbours in its fragment, in no particular order
        self._after = [-1] * nodes

    def join(self, nodes: np.ndarray, distances: np.ndarray, indices: np.ndarray) -> None:
        """Add edges of a neighbour graph of `nodes` [M] ([M, k], indices into `nodes`), shortest first."""
        tails = np.repeat(np.arange(len(nodes)), indices.shape[1])
        heads, lengths = indices.ravel().astype(np.int64), distances.ravel()
        low, high = np.minimum(tails, heads), np.maximum(tails, heads)
        # An edge listed by both ends is kept once.
        kept = (low < high) & ((tails == low) | ~_lists(indices, low, high))
        order = np.lexsort((high[kept], low[kept], lengths[kept]))
        other, before, after = self._other, self._before, self._after
        left = self.count
        edges = zip(nodes[low[kept][order]].tolist(), nodes[high[kept][order]].tolist(), strict=True)
        for a, b in edges:
            if after[a] < 0 and after[b] < 0 and other[a] != b:
                for node, joined in ((a, b), (b, a)):
                    if before[node] < 0:
                        before[node] = joined
                    else:
                        after[node] = joined
                far_a, far_b = other[a], other[b]
                other[far_a], other[far_b] = far_b, far_a
                left -= 1
        self.count = left

    def ends(self) -> np.ndarray:
        """All nodes with fewer than two neighbours, int64, ascending."""
        return np.flatnonzero(np.array(self._after) < 0)

    def path(self) -> np.ndarray:
        """The one remaining fragment, from its end of lower index: int64 [N]."""
        node, last = int(self.ends()[0]), -1
        path = []
        while node >= 0:
            path.append(node)
            step = self._before[node] if self._before[node] != last else self._after[node]
            node, last = step, node
        return np.array(path, np.int64)


def _lists(indices: np.ndarray, nodes: np.ndarray, sought: np.ndarray) -> np.ndarray:
    """Whether row nodes[i] of `indices` contains sought[i], for all i: bool [E]."""
    found = np.zeros(len(nodes), bool)
    for column in indices.T:
        found |= column[nodes] == sought
    return found
