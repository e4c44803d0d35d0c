"""Floors, the machine's best rates: of a large float32 product, of a copy in memory, and of the coder on a long array."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from acncodec.coding.stack import Stack
from acncodec.nets.model import Model
from acncodec.nets.networks import Networks

_CPU = torch.device("cpu")


def operations_by_part(networks: Networks, height: int, width: int) -> dict[str, int]:
    """Floating-point operations (two a multiplication) for one image: of decoder with latent map, encoder and prior."""
    quarter = -(-height // 4) * -(-width // 4)
    positions = {
        "encoder.first": height * width,
        "encoder.second": -(-height // 2) * -(-width // 2),
        "encoder.third": quarter,
        "map.up": quarter,
        "map.out": 4 * quarter,
    }
    parts = {"decoder": 0, "encoder": 0, "prior": 0}
    for name, product in networks.products():
        times = height * width if name.startswith("decoder") else positions.get(name, 1)
        part = name.split(".")[0]
        parts["decoder" if part == "map" else part] += 2 * product.weight.numel() * times
    return parts


def operations(model: Model, height: int, width: int) -> int:
    """Operations of decoding one image, all parts."""
    return sum(operations_by_part(model.networks, height, width).values())


def matmul_rate(seconds: float = 3.0, side: int = 2048, device: torch.device = _CPU) -> float:
    """Operations a second of a square float32 matrix product, the median over `seconds`."""
    a, b = torch.rand(side, side, device=device), torch.rand(side, side, device=device)

    def product() -> None:
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return 2 * side**3 / _median_time(product, seconds)


def copy_rate(megabytes: int = 64, seconds: float = 0.3) -> float:
    """Bytes a second of a copy in memory."""
    source = np.zeros(megabytes << 20, np.uint8)
    target = np.empty_like(source)
    return source.nbytes / _median_time(lambda: np.copyto(target, source), seconds)


def symbol_rates(base: int, count: int = 1 << 15) -> tuple[float, float]:
    """Symbols a second pushed and popped as one long array, each under its own `base` frequencies."""
    random = np.random.default_rng(0)
    frequencies = random.integers(1, 1 << 20, (count, base)).astype(np.float64)
    stack = Stack.seeded(count)
    symbols = stack.pop(frequencies)
    pushing, popping = [], []
    for _ in range(7):
        start = time.perf_counter()
        stack.push(symbols, frequencies)
        middle = time.perf_counter()
        stack.pop(frequencies)
        pushing.append(middle - start)
        popping.append(time.perf_counter() - middle)
    return count / median(pushing), count / median(popping)


def _median_time(work: Callable[[], None], seconds: float) -> float:
    times, end = [], time.perf_counter() + seconds
    work()
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)
