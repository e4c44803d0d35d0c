"""Encoder, decoder and frequencies compiled, for many images side by side on the CPU: the same integers, much faster."""
