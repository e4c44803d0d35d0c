"""The self-test of this machine's arithmetic: a short one before anything is coded, the long one on demand.

A network with fixed pseudo-random integer weights is evaluated by the whole-image and by the incremental pass; the bytes of
all frequencies must hash to the constant below, which was computed with 64-bit integers.
"""

import hashlib
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch

from acncodec.coding.frequencies import BASE, latent_frequencies, table
from acncodec.errors import ExactnessError
from acncodec.exact import tables
from acncodec.exact.grids import CODE_MAX, LATENT_MAX
from acncodec.exact.precision import full_precision
from acncodec.nets.architecture import Architecture
from acncodec.nets.heads import Distribution
from acncodec.nets.incremental import IncrementalDecoder
from acncodec.nets.networks import Networks

TABLES_SHA256 = "50e8662c61599edd799ebb45be890ee5ed0568a184bcb396fd20b174402fda06"
FREQUENCIES_SHA256 = "56ea5ace848d0f2c03693f091312389984bf04fa63b93a9141d312b69da8362f"
TINY = {"channels": 4, "blocks": 2, "first": 3, "features": 4, "map_planes": 2, "map_hidden": 8, "map_features": 2}
KINDS: tuple[dict[str, int], ...] = (
    {"levels": 2},
    {"levels": 256},
    {"levels": 256, "colours": 3, "logistics": 2},
    {"levels": 256, "colours": 4, "logistics": 6, "centres": 5},
)
TINY_ARCH = {**TINY, "encoder_features": 2, "code": 3, "hidden": 8, "mixture": 2}


def pseudo_random(label: str, count: int, low: int, high: int) -> np.ndarray:
    """Integers int64 [count] from low to high, the same on every machine."""
    data = hashlib.shake_256(label.encode()).digest(4 * count)
    return low + (np.frombuffer(data, "<u4").astype(np.int64) % (high - low + 1))


def fixed_networks(arch: Architecture) -> Networks:
    """Exact networks with pseudo-random 8-bit weights, each product scaled so that its outputs vary."""
    networks = Networks(arch)
    for name, product in networks.products():
        rows, out = product.weight.shape
        weight = pseudo_random(name, rows * out, -127, 127).reshape(rows, out)
        bias = pseudo_random(name + ".bias", out, -4096, 4096)
        # a sum of `rows` such terms is around 36 * sqrt(rows) * bound: bring it near the output's clamp
        spread = 36 * math.isqrt(rows) * int(product.row_bounds.max())
        shift = (spread // max(abs(product.low), product.high)).bit_length() - 1
        product.load_integers(torch.from_numpy(weight), torch.from_numpy(bias), shift + product.out_bits - product.in_bits)
    networks.exact = True
    return networks.requires_grad_(False)


@full_precision()
def frequencies_digest(device: torch.device) -> str:
    """sha256 over all frequencies that the fixed networks give, by both passes."""
    digest = hashlib.sha256()
    for kind in KINDS:
        networks = fixed_networks(Architecture(**kind, **TINY_ARCH)).to(device)
        shape = (3, 6, 5, networks.arch.colours)
        pixels = pseudo_random("pixels", math.prod(shape), 0, networks.arch.levels - 1).astype(np.uint8).reshape(shape)
        z = torch.from_numpy(pseudo_random("z", 9, -LATENT_MAX, LATENT_MAX).reshape(3, 3)).to(device, torch.float32)
        on_device = torch.from_numpy(pixels).to(device)
        codes = networks.encode(on_device)
        parents = torch.from_numpy(pseudo_random("c", 9, -CODE_MAX, CODE_MAX).reshape(3, 3)).to(device, torch.float32)
        latents = latent_frequencies(networks.mixture(parents))
        for part in (*whole_image(networks, on_device, z), *stepwise(networks, on_device, z), codes, latents):
            digest.update(part.to("cpu", torch.int64).numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def whole_image(networks: Networks, pixels: torch.Tensor, z: torch.Tensor) -> list[torch.Tensor]:
    """Frequencies of every digit of every value by the whole-image pass: [N, H, W, base] for each colour and digit."""
    found = []
    for colour, distribution in enumerate(networks.distributions(pixels, z)):
        found += _of_digits(distribution, pixels[..., colour], networks.arch.levels)
    return found


def stepwise(networks: Networks, pixels: torch.Tensor, z: torch.Tensor) -> list[torch.Tensor]:
    """The same by the incremental pass."""
    _, height, width, colours = pixels.shape
    decoder = IncrementalDecoder(networks.decoder, networks.latent_map(z, height, width))
    steps = []
    for row in range(height):
        decoder.start_row(row)
        for column in range(width):
            decoder.start_pixel(column)
            found = []
            for colour in range(colours):
                values = pixels[:, row, column, colour]
                found += _of_digits(decoder.distribution(colour), values, networks.arch.levels)
                decoder.put(values, colour)
            steps.append(found)
    return [torch.stack(digit, 1).unflatten(1, (height, width)) for digit in zip(*steps, strict=True)]


def _of_digits(distribution: Distribution, values: torch.Tensor, levels: int) -> list[torch.Tensor]:
    frequencies = table(distribution)
    return [frequencies.first()] if levels == 2 else [frequencies.first(), frequencies.second(values // BASE)]


@cache
def quick_selftest(device: torch.device) -> None:
    """Raise ExactnessError unless this device computes what every other does; once a process and device."""
    if tables.fingerprint().hex() != TABLES_SHA256 or frequencies_digest(device) != FREQUENCIES_SHA256:
        raise ExactnessError(
            f"the arithmetic of the device '{device}' is not exact; nothing was coded (try --device cpu, and "
            "'acncodec selftest' for details)"
        )


def exactness() -> bytes:
    """Fingerprint of the arithmetic that archives are made with: 4 bytes."""
    return hashlib.sha256((TABLES_SHA256 + FREQUENCIES_SHA256).encode()).digest()[:4]


def checks(device: torch.device) -> Iterator[tuple[str, bool]]:
    """The long self-test: name and outcome of each check, one after the other."""
    yield "tables", tables.fingerprint().hex() == TABLES_SHA256
    yield f"{device}: whole-image and incremental pass", frequencies_digest(device) == FREQUENCIES_SHA256
    threads = torch.get_num_threads()
    for count in sorted({1, 2, threads}):
        torch.set_num_threads(count)
        yield f"cpu, {count} threads", frequencies_digest(torch.device("cpu")) == FREQUENCIES_SHA256
    torch.set_num_threads(threads)
    # The warning would be about TF32 on processors that are not here.
    with warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False):
        yield "cpu, oneDNN off", frequencies_digest(torch.device("cpu")) == FREQUENCIES_SHA256
    with torch.backends.nnpack.flags(enabled=False):
        yield "cpu, NNPACK off", frequencies_digest(torch.device("cpu")) == FREQUENCIES_SHA256
    for capability in _capabilities():
        command = (
            "import torch; from acncodec.coding.selftest import frequencies_digest as f; print(f(torch.device('cpu')))"
        )
        environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
        done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=False)
        yield f"cpu, instructions limited to {capability}", done.stdout.strip() == FREQUENCIES_SHA256
    for index in range(torch.cuda.device_count()):
        yield f"cuda:{index}", frequencies_digest(torch.device("cuda", index)) == FREQUENCIES_SHA256


def _capabilities() -> list[str]:
    """Values of ATEN_CPU_CAPABILITY up to this processor's; asking for more would end in an illegal instruction."""
    order = ["default", "avx2", "avx512"]
    own = torch.backends.cpu.get_cpu_capability().lower()
    return order[: order.index(own) + 1] if own in order else ["default"]
