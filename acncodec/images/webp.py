"""Lossless WebP of a picture's samples, by Pillow."""

import io

import numpy as np
from PIL import Image

from acncodec.errors import DamagedError

MAX_SIDE = 16383  # limit of WebP
_MODE = {"lossless": True, "exact": True}  # exact: keeps colours under alpha 0
_DRAFT, _THOROUGH = {"quality": 75, "method": 4}, {"quality": 100, "method": 6}


def pack_webp(samples: np.ndarray, draft: bool = False) -> bytes | None:
    """Samples uint8 [H, W, 1..4] as a WebP file; None if an image is too large for one.

    A `draft` takes a tenth of the time and is mostly 0 to 3 % larger, rarely 25 %.
    """
    if max(samples.shape[:2]) > MAX_SIDE:
        return None
    channels = samples.shape[2]
    if channels <= 2:  # grey is repeated as RGB, which costs WebP nothing
        samples = np.concatenate([np.repeat(samples[..., :1], 3, axis=2), samples[..., 1:]], axis=2)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(samples)).save(out, "WEBP", **_MODE, **(_DRAFT if draft else _THOROUGH))
    return out.getvalue()


def unpack_webp(data: bytes, height: int, width: int, channels: int) -> np.ndarray:
    """Inverse of `pack_webp`: uint8 [height, width, channels]. Raises DamagedError if `data` is something else."""
    try:
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            if image.size != (width, height):  # before pixels are allocated
                raise DamagedError("An image stored as WebP has another size than the archive says.")
            samples = np.asarray(image.convert("RGBA" if channels in (2, 4) else "RGB"))
    except DamagedError:
        raise
    except Exception as error:  # Pillow raises many types
        raise DamagedError("An image stored as WebP is damaged.") from error
    if channels <= 2:
        samples = np.concatenate([samples[..., :1], samples[..., 3:]], axis=2)
    return np.ascontiguousarray(samples)
