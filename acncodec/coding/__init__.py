"""Entropy coding: constriction wrapped once, push and pop of latents and pixels as mirrors, Alice and Bob."""
