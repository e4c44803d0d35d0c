"""Directories of images as data: which files there are, which of them are plain images, what they are called."""
