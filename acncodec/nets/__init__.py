"""Encoder, prior network and gated PixelCNN, each defined once for training, whole-image and incremental passes."""
