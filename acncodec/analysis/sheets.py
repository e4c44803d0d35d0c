"""Contact sheets: images side by side in one picture."""

import math

import numpy as np
from PIL import Image

GAP = 1  # pixels between images, before they are enlarged
GROUND = 96  # grey of the gaps
SIDE = 1000  # pixels of a sheet's longer side, at most, when it is enlarged


def sheet(images: np.ndarray, levels: int, columns: int | None = None) -> Image.Image:
    """Images uint8 [N, H, W, colours] of `levels` levels, row by row, near-square unless `columns` is given."""
    count, height, width, _ = images.shape
    columns = columns or math.isqrt(count - 1) + 1
    rows = -(-count // columns)
    colours = as_rgb(images, levels)
    canvas = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), GROUND, np.uint8)
    for i, picture in enumerate(colours):
        top, left = GAP + i // columns * (height + GAP), GAP + i % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = picture
    return enlarged(canvas)


def as_rgb(images: np.ndarray, levels: int) -> np.ndarray:
    """Images uint8 [N, H, W, 1, 3 or 4] for display: uint8 [N, H, W, 3], alpha over grey."""
    if levels == 2:
        images = images * np.uint8(255)
    if images.shape[-1] == 4:
        alpha = images[..., 3:] / 255.0
        return np.round(images[..., :3] * alpha + GROUND * (1 - alpha)).astype(np.uint8)
    return np.repeat(images, 3, -1) if images.shape[-1] == 1 else images


def enlarged(canvas: np.ndarray) -> Image.Image:
    """A picture uint8 [H, W, 3] enlarged by the largest whole factor that keeps it within SIDE."""
    height, width, _ = canvas.shape
    factor = max(1, SIDE // max(height, width))
    return Image.fromarray(canvas).resize((width * factor, height * factor), Image.Resampling.NEAREST)
