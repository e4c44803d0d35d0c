"""Large images in tiles: nearly equal rectangles, so that no sliver is left over at an edge."""

from itertools import pairwise

MAX_WHOLE = 128 * 128  # pixels of an image that stays whole
TILE = 32  # side of the tiles of larger ones: as good as any larger one (docs/LOG.md), and more lanes


def spans(length: int, side: int) -> list[slice]:
    """The fewest parts of `length`, none above `side`; lengths differ by one at most, longer ones first."""
    count = -(-length // side)
    short, longer = divmod(length, count)
    bounds = [i * short + min(i, longer) for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(bounds)]


def tiles(height: int, width: int, side: int) -> list[tuple[slice, slice]]:
    """Rows and columns of every tile, in raster order; `side` 0 is the whole image."""
    if side == 0:
        return [(slice(0, height), slice(0, width))]
    return [(rows, columns) for rows in spans(height, side) for columns in spans(width, side)]
