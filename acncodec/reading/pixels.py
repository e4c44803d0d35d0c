"""Pixels of an archive's images as arrays; only images that are stored as files go through Pillow."""

import io

import numpy as np
from PIL import Image

from acncodec.archive.classes import METHOD_CODED, METHOD_FILE
from acncodec.errors import InputError
from acncodec.images import picture
from acncodec.reading.reader import Archive, stored_samples

EIGHT_BITS = {"L": "L", "1": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "PA": "RGBA"}


def read_pixels(archive: Archive, content: int) -> np.ndarray:
    """Intensities from 0 to 255 of an image: uint8 [H, W, C], grey, grey and alpha, RGB or RGBA; may be a read-only view.

    Palettes are applied. Raises InputError for more than 8 bits a sample, and errors as `Archive.read`.
    """
    its = archive.class_of(content)
    if its.method == METHOD_CODED:
        return picture.pixels(its.form, archive.samples(content))
    its, data = archive.stored(content)
    if its.method == METHOD_FILE:
        return _of_file(data)
    return picture.pixels(its.form, stored_samples(its, data))


def _of_file(data: bytes) -> np.ndarray:
    """As `read_pixels`, of a file that Pillow opens."""
    with Image.open(io.BytesIO(data)) as image:
        mode = EIGHT_BITS.get(image.mode)
        if image.mode == "P":
            mode = "RGBA" if "transparency" in image.info else "RGB"
        if mode is None:
            raise InputError(f"an image of mode {image.mode} does not fit 8 bits a sample; read it as a Pillow image")
        array = np.asarray(image.convert(mode))
    return array.reshape(*array.shape[:2], -1)
