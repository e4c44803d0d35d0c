"""Costs of images under models and other codecs, and images sampled from models: the paper's tables, and benchmarks."""
