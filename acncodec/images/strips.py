"""Bilevel samples as bytes that a general compressor can do most with: strips of eight columns, each from top to bottom.

What repeats in drawings of one bit repeats downwards: the next byte is the next row of the same eight pixels. LZMA takes a
quarter less than of rows of bytes, and a third less than of a byte a pixel (docs/LOG.md).
"""

import numpy as np


def raw_bytes(samples: np.ndarray, bilevel: bool) -> bytes:
    """Samples uint8 [H, W, C] as they are kept raw and a general compressor likes them.

    Bilevel ones in strips, but for a single column: strips are told from samples by their size.
    """
    return pack_strips(samples) if bilevel and samples.shape[1] > 1 else samples.tobytes()


def strips_size(height: int, width: int) -> int:
    """Bytes of a picture's strips."""
    return height * -(-width // 8)


def pack_strips(samples: np.ndarray) -> bytes:
    """Samples uint8 of 0 and 1 [H, W, 1] -> strips, the leftmost pixel in the highest bit; beside the picture lie zeros."""
    return np.packbits(samples[..., 0], axis=1).T.tobytes()


def unpack_strips(data: bytes, height: int, width: int) -> np.ndarray:
    """Undo `pack_strips`: samples uint8 [height, width, 1]. Raises ValueError if `data` has another length."""
    strips = np.frombuffer(data, np.uint8).reshape(-(-width // 8), height)
    return np.unpackbits(np.ascontiguousarray(strips.T), axis=1, count=width)[..., None]
