"""acncodec: lossless compression of directories of images with associative compression networks."""

__version__ = "0.1.0"
