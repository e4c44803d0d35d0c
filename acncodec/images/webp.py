"""The samples of a picture as lossless WebP, by Pillow, and back."""

import io

import numpy as np
from PIL import Image

from acncodec.errors import DamagedError

MAX_SIDE = 16383  # of a WebP image
_EFFORT = {"lossless": True, "quality": 100, "method": 6, "exact": True}  # exact: colours under alpha 0 stay


def pack_webp(samples: np.ndarray) -> bytes | None:
    """Samples uint8 [H, W, 1..4] as a WebP file; None if an image is too large for one."""
    if max(samples.shape[:2]) > MAX_SIDE:
        return None
    channels = samples.shape[2]
    if channels <= 2:  # grey is told three times, which costs WebP nothing
        samples = np.concatenate([np.repeat(samples[..., :1], 3, axis=2), samples[..., 1:]], axis=2)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(samples)).save(out, "WEBP", **_EFFORT)
    return out.getvalue()


def unpack_webp(data: bytes, height: int, width: int, channels: int) -> np.ndarray:
    """Undo `pack_webp`: uint8 [height, width, channels]. Raises DamagedError if `data` is something else."""
    try:
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            if image.size != (width, height):  # before any pixel takes memory
                raise DamagedError("An image kept as WebP has another size than the archive says.")
            samples = np.asarray(image.convert("RGBA" if channels in (2, 4) else "RGB"))
    except DamagedError:
        raise
    except Exception as error:  # Pillow raises many kinds
        raise DamagedError("An image kept as WebP is damaged.") from error
    if channels <= 2:
        samples = np.concatenate([samples[..., :1], samples[..., 3:]], axis=2)
    return np.ascontiguousarray(samples)
