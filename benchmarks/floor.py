"""The machine's floor: operations of the networks over the rate of a large float32 matrix product."""

import time

import torch

from acncodec.nets.model import Model


def operations(model: Model, height: int, width: int) -> int:
    """Floating-point operations (two a multiplication) of decoding one image: decoder, latent map, encoder, prior."""
    quarter = -(-height // 4) * -(-width // 4)
    positions = {
        "encoder.first": height * width,
        "encoder.second": -(-height // 2) * -(-width // 2),
        "encoder.third": quarter,
        "map.up": quarter,
        "map.out": 4 * quarter,
    }
    total = 0
    for name, product in model.networks.products():
        times = height * width if name.startswith("decoder") else positions.get(name, 1)
        total += 2 * product.weight.numel() * times
    return total


def matmul_rate(seconds: float = 3.0, side: int = 2048) -> float:
    """Operations a second of a square float32 matrix product, the median over `seconds`."""
    a, b = torch.rand(side, side), torch.rand(side, side)
    rates, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ b
        rates.append(2 * side**3 / (time.perf_counter() - start))
    return sorted(rates)[len(rates) // 2]
