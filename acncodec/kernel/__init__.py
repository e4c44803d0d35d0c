"""Compiled encoder, decoder and frequencies for many images in parallel on the CPU: the same integers, much faster."""
