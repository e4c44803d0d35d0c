"""Compression of a directory, or of images in memory, to one archive file."""
