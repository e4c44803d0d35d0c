"""The pictures of a source that networks can model, by their layout."""

import numpy as np

from acncodec.images.picture import expand, layout, read_picture
from acncodec.images.raster import Layout
from acncodec.images.source import Source
from acncodec.images.tiles import MAX_WHOLE, TILE, tiles

LOGISTICS = {"levels": 256, "logistics": 8, "channels": 32, "features": 48}
# Most images with alpha are drawings, whose pixels are seen again in others.
DRAWINGS = {"levels": 256, "colours": 4, "logistics": 18, "centres": 5, "candidates": 6, "channels": 32, "features": 64}
DRAWINGS |= {"first": 5}
ARCHITECTURES = {  # architecture of a new model for each layout
    Layout.BILEVEL: {"levels": 2, "channels": 16, "features": 32},
    Layout.GREY: LOGISTICS,
    Layout.RGB: {**LOGISTICS, "colours": 3},
    Layout.RGBA: DRAWINGS,
}


def read_pictures(source: Source) -> dict[Layout, list[np.ndarray]]:
    """Samples uint8 [H, W, C] of all pictures of a source, in the order of names, palettes expanded. Raises InputError."""
    found: dict[Layout, list[np.ndarray]] = {each: [] for each in ARCHITECTURES}
    for name in source.listing().files:
        picture = read_picture(source.read(name))
        if picture is not None:
            picture = expand(picture) or picture
            found.get(layout(picture.form), []).append(picture.samples)
    return found


def elements(samples: np.ndarray) -> list[np.ndarray]:
    """The elements that a picture's samples uint8 [H, W, C] are coded as: the whole picture, or tiles if it is large."""
    height, width, _ = samples.shape
    side = 0 if height * width <= MAX_WHOLE else TILE
    return [samples[rows, columns] for rows, columns in tiles(height, width, side)]
