"""Encoder, prior network and gated PixelCNN, each defined once: trained, whole-image and incremental."""
