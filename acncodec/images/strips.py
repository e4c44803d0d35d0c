"""Bilevel samples packed for a general-purpose compressor: strips eight columns wide, each from top to bottom.

Repetition in 1-bit drawings is mostly vertical: the next byte is the next row of the same eight pixels. LZMA output is a
quarter smaller than for packed rows, and a third smaller than for one byte per pixel (docs/LOG.md).
"""

import numpy as np


def raw_bytes(samples: np.ndarray, bilevel: bool) -> bytes:
    """Samples uint8 [H, W, C] as raw bytes in the order that compresses best.

    Bilevel ones in strips, except a single column: strips and samples are told apart by their size.
    """
    return pack_strips(samples) if bilevel and samples.shape[1] > 1 else samples.tobytes()


def strips_size(height: int, width: int) -> int:
    """Bytes of a picture's strips."""
    return height * -(-width // 8)


def pack_strips(samples: np.ndarray) -> bytes:
    """Samples uint8 of 0 and 1 [H, W, 1] -> strips, the leftmost pixel in the highest bit; zero-padded on the right."""
    return np.packbits(samples[..., 0], axis=1).T.tobytes()


def unpack_strips(data: bytes, height: int, width: int) -> np.ndarray:
    """Inverse of `pack_strips`: samples uint8 [height, width, 1]. Raises ValueError if `data` has another length."""
    strips = np.frombuffer(data, np.uint8).reshape(-(-width // 8), height)
    return np.unpackbits(np.ascontiguousarray(strips.T), axis=1, count=width)[..., None]
