"""Compression: a directory, or images at hand, to one file."""
