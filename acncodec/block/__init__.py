"""Shared by packing and reading: blocks of pictures, encoded and decoded, and the sections of file names."""
