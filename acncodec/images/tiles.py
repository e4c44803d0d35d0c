"""Large images in tiles: nearly equal rectangles, so that no narrow ones are left at the edges."""

from itertools import pairwise

MAX_WHOLE = 128 * 128  # pixels up to which an image is not tiled
TILE = 32  # side of the tiles of larger ones: compresses as well as larger tiles (docs/LOG.md), with more lanes


def spans(length: int, side: int) -> list[slice]:
    """The fewest spans that cover `length`, none longer than `side`; lengths differ by one at most, longer ones first."""
    count = -(-length // side)
    short, longer = divmod(length, count)
    bounds = [i * short + min(i, longer) for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(bounds)]


def tiles(height: int, width: int, side: int) -> list[tuple[slice, slice]]:
    """Rows and columns of every tile, in raster order; `side` 0 gives the whole image."""
    if side == 0:
        return [(slice(0, height), slice(0, width))]
    return [(rows, columns) for rows in spans(height, side) for columns in spans(width, side)]
