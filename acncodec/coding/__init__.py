"""Entropy coding: the ANS stack (constriction), push and pop of latents and pixels, and the bits-back protocol."""
