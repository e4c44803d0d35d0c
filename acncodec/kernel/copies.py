"""Structures of copy candidates as the compiled module has them (native/candidates.h)."""

import numpy as np

SPOT = np.dtype([("at", "<u4"), ("stride", "<u4")])  # where a pixel was seen: index, and distance of its image's rows
MEMORY = np.dtype([("pixels", "<i8"), ("tables", "<i8"), ("bits", "<i8"), ("own_bits", "<i8"), ("complete", "<i8")])
IMAGE = np.dtype(
    [
        *(("first", "<i8"), ("parent", "<i8"), ("stride", "<i8"), ("tables", "<i8"), ("best", SPOT), ("next", SPOT)),
        *(("contexts", "<u4", 4), ("recent", "<u4", 16), ("count", "<i8")),
    ]
)
CONTEXTS, SHARED, PREFIXES = 4, 3, 3  # tables of an image, of all, and for first colours in both
MEMORY_BYTES, IMAGE_BYTES = MEMORY.itemsize, IMAGE.itemsize
