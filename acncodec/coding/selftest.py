"""Self-test of this machine's arithmetic: a short one before coding, the full one on demand.

Networks with fixed pseudo-random integer weights, coarse and fine, are evaluated by the whole-image and the incremental
pass; all frequencies must hash to the constants below, which were computed with 64-bit integers.
"""

import hashlib
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import torch

from acncodec.coding.frequencies import latent_frequencies
from acncodec.coding.fusing import exact_weights, fused_steps
from acncodec.coding.passes import Passes, by_steps, whole_image
from acncodec.coding.steps import split
from acncodec.errors import ExactnessError, InputError
from acncodec.exact import tables
from acncodec.exact.bounds import EXACT_LIMIT
from acncodec.exact.grids import CODE_MAX, LATENT_MAX
from acncodec.exact.precision import full_precision
from acncodec.kernel.decoder import CompiledDecoder
from acncodec.kernel.encoder import CompiledEncoder
from acncodec.kernel.team import instructions
from acncodec.nets.architecture import Architecture
from acncodec.nets.networks import Networks
from acncodec.nets.product import WEIGHT_MAX

CPU = torch.device("cpu")
DEVICES = ("auto", "cpu", "cuda")
TABLES_SHA256 = "50e8662c61599edd799ebb45be890ee5ed0568a184bcb396fd20b174402fda06"
FREQUENCIES_SHA256 = "56ea5ace848d0f2c03693f091312389984bf04fa63b93a9141d312b69da8362f"
FINE_SHA256 = "a727f6b05c1005bab7cbef2ecfbaf403a474518728006f1ad61c0eb9670b4c0f"
TINY = {"channels": 4, "blocks": 2, "first": 3, "features": 4, "map_planes": 2, "map_hidden": 8, "map_features": 2}
TEST_ARCHITECTURES: tuple[dict[str, int], ...] = (
    {"levels": 2},
    {"levels": 256},
    {"levels": 256, "colours": 3, "logistics": 2},
    {"levels": 256, "colours": 4, "logistics": 6, "centres": 5},
)
FINE_ARCHITECTURES: tuple[dict[str, int], ...] = (  # those and newer ones, which came with finer weights
    *TEST_ARCHITECTURES,
    {"levels": 256, "errors": 1},
    {"levels": 256, "logistics": 2},
)
TINY_ARCH = {**TINY, "encoder_features": 2, "code": 3, "hidden": 8, "mixture": 2}


def pseudo_random(label: str, count: int, low: int, high: int) -> np.ndarray:
    """Pseudo-random integers int64 [count] from low to high inclusive, the same on every machine."""
    data = hashlib.shake_256(label.encode()).digest(4 * count)
    return low + (np.frombuffer(data, "<u4").astype(np.int64) % (high - low + 1))


def fixed_networks(arch: Architecture, fine: bool = False) -> Networks:
    """Exact networks with pseudo-random weights, each product scaled so that its outputs vary.

    Weights have 8 bits and one scale for all outputs; if `fine`, up to 12 bits within the exact bound, and several scales.
    """
    networks = Networks(arch)
    for name, product in networks.products():
        rows, out = product.weight.shape
        room = (EXACT_LIMIT - 4096) // int(product.row_bounds.sum())
        largest = min(WEIGHT_MAX, room) if fine else 127
        weight = pseudo_random(name, rows * out, -largest, largest).reshape(rows, out)
        bias = pseudo_random(name + ".bias", out, -4096, 4096)
        # a sum of `rows` such terms is around 0.29 * largest * sqrt(rows) * bound: bring it near the output's clamp
        spread = (largest * 2 // 7) * math.isqrt(rows) * int(product.row_bounds.max())
        shift = (spread // max(abs(product.low), product.high)).bit_length() - 1
        log2_scale = shift + product.out_bits - product.in_bits - (torch.arange(out) % 3 if fine else 0)
        product.load_integers(torch.from_numpy(weight), torch.from_numpy(bias), log2_scale)
    networks.exact = True
    return networks.requires_grad_(False)


@full_precision()
def frequencies_digest(device: torch.device, passes: Passes | None = None, fine: bool = False) -> str:
    """sha256 over all frequencies and codes of the fixed networks, computed by `passes` (default: on tensors)."""
    digest = hashlib.sha256()
    for sizes in FINE_ARCHITECTURES if fine else TEST_ARCHITECTURES:
        networks, pixels, z = _fixed_inputs(sizes, 3, fine)
        networks.to(device)
        parents = networks.tensor(pseudo_random("c", 9, -CODE_MAX, CODE_MAX).reshape(3, 3))
        for found in (part for each in passes or TENSORS for part in each(networks, pixels, z)):
            digest.update(found.astype("<i8").tobytes())
        latents = latent_frequencies(networks.mixture(parents)).cpu().numpy()
        digest.update(latents.astype("<i8").tobytes())
    return digest.hexdigest()


def _agrees(device: torch.device, passes: Passes | None = None) -> bool:
    """Whether the fixed networks, coarse and fine, give the reference digests."""
    wanted = FREQUENCIES_SHA256, FINE_SHA256
    return all(frequencies_digest(device, passes, fine) == wanted[fine] for fine in (False, True))


def _fixed_inputs(sizes: dict[str, int], count: int, fine: bool) -> tuple[Networks, np.ndarray, np.ndarray]:
    """Fixed networks, pixels uint8 [count, 6, 5, colours] and latents int64 [count, 3]."""
    networks = fixed_networks(Architecture(**sizes, **TINY_ARCH), fine)
    shape = (count, 6, 5, networks.arch.colours)
    pixels = pseudo_random("pixels", math.prod(shape), 0, networks.arch.levels - 1).astype(np.uint8).reshape(shape)
    return networks, pixels, pseudo_random("z", 3 * count, -LATENT_MAX, LATENT_MAX).reshape(count, 3)


@full_precision()
def agrees_on_many(device: torch.device, count: int = 512) -> bool:
    """Whether the device gives the CPU's frequencies for `count` images at once, where products have other shapes."""
    for sizes in FINE_ARCHITECTURES:
        networks, pixels, z = _fixed_inputs(sizes, count, fine=True)
        want = whole_image(networks, pixels, z)
        networks.to(device)
        for found in (whole_image(networks, pixels, z), stepwise(networks, pixels, z, groups=3)):
            if not all(np.array_equal(a, b) for a, b in zip(found, want, strict=True)):
                return False
    return True


def stepwise(
    networks: Networks, pixels: np.ndarray, z: np.ndarray, groups: int = 1, graphs: bool = True
) -> list[np.ndarray]:
    """Frequencies by the incremental pass on tensors, called as Bob does."""
    n, height, width, _ = pixels.shape
    found = []
    for lanes, steps in split(networks, n, height, width, groups, graphs):
        steps.load(z[lanes].astype(np.int16))
        found.append(by_steps(steps, pixels[lanes], networks.arch.levels))
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def codes_of(networks: Networks, pixels: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    """Codes by the encoder on tensors."""
    return [networks.encode(torch.from_numpy(pixels).to(networks.device)).cpu().numpy()]


def fused(networks: Networks, pixels: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    """Frequencies by the fused steps; none where they cannot be used."""
    steps = fused_steps(networks, *pixels.shape[:3])
    if steps is None:
        return []
    steps.load(z.astype(np.int16))
    return by_steps(steps, pixels, networks.arch.levels)


TENSORS: Passes = whole_image, stepwise, codes_of


def compiled(isa: str) -> Passes:
    """All passes by the compiled kernel with an instruction set, by name."""
    return partial(compiled_whole, isa), partial(compiled_steps, isa), partial(compiled_codes, isa)


def compiled_codes(isa: str, networks: Networks, pixels: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    """Codes by the compiled kernel."""
    n, height, width, _ = pixels.shape
    return [CompiledEncoder(networks, n, height, width, isa).codes(pixels)]


def compiled_whole(isa: str, networks: Networks, pixels: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    """Frequencies by the kernel's whole-image pass."""
    n, height, width, _ = pixels.shape
    decoder = CompiledDecoder(networks, n, height, width, isa)
    decoder.load(z.astype(np.int16))
    with decoder.team:
        frequencies, _ = decoder.whole(pixels)
    return list(frequencies.transpose(2, 3, 4, 0, 1, 5).reshape(-1, *pixels.shape[:3], frequencies.shape[-1]))


def compiled_steps(isa: str, networks: Networks, pixels: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    """Frequencies by the kernel's incremental pass."""
    n, height, width, _ = pixels.shape
    decoder = CompiledDecoder(networks, n, height, width, isa)
    decoder.load(z.astype(np.int16))
    with decoder.team:
        return by_steps(decoder, pixels, networks.arch.levels)


def trusted_device() -> torch.device:
    """CUDA if a device passes the short self-test, else the CPU."""
    cuda = torch.device("cuda")
    try:
        if torch.cuda.is_available():
            quick_selftest(cuda)
            return cuda
    except (ExactnessError, RuntimeError) as error:  # PyTorch raises RuntimeError for a device that does not work
        warnings.warn(f"CUDA is not used: {error}", stacklevel=2)
    return torch.device("cpu")


def device_of(name: str, training: bool = False) -> torch.device:
    """The device 'cpu' or 'cuda', or for 'auto' the faster one. Raises InputError if unknown or unavailable.

    The faster one is the `trusted_device` for training, and for coding without the compiled kernel. With the kernel it is
    the CPU: on the GPU that was tried whole commands took 1.7 to 3.4 times as long as on its host (docs/PERFORMANCE.md).
    """
    if name not in DEVICES:
        raise InputError(f"unknown device '{name}'; choose one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("PyTorch finds no usable CUDA device here; use the CPU")
    if name != "auto":
        return torch.device(name)
    return trusted_device() if training or not instructions() else CPU


@cache
def quick_selftest(device: torch.device) -> None:
    """Raise ExactnessError unless this device gives the reference digests; runs once per process and device."""
    # Fine networks alone: larger weights and more shifts, by the same operations as coarse ones.
    right = tables.fingerprint().hex() == TABLES_SHA256 and frequencies_digest(device, fine=True) == FINE_SHA256
    if device.type == "cpu" and instructions():
        right &= frequencies_digest(device, compiled(list(instructions())[-1]), fine=True) == FINE_SHA256
    if not right:
        raise ExactnessError(
            f"the arithmetic of the device '{device}' is not exact; nothing was coded (try --device cpu, and "
            "'acncodec selftest' for details)"
        )


def exactness() -> bytes:
    """Fingerprint of the coding arithmetic, stored in archives: 4 bytes. Finer weights have not changed it."""
    return hashlib.sha256((TABLES_SHA256 + FREQUENCIES_SHA256).encode()).digest()[:4]


def checks(device: torch.device) -> Iterator[tuple[str, bool]]:
    """The full self-test: name and outcome of each check, as it completes."""
    yield "tables", tables.fingerprint().hex() == TABLES_SHA256
    yield f"{device}: whole-image and incremental pass", _agrees(device)
    for isa in instructions():
        yield f"cpu, compiled for {isa}", _agrees(CPU, compiled(isa))
    threads = torch.get_num_threads()
    for count in sorted({1, 2, threads}):
        torch.set_num_threads(count)
        yield f"cpu, {count} threads", _agrees(CPU)
    torch.set_num_threads(threads)
    # Suppress a warning about TF32 on other processors.
    with warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False):
        yield "cpu, oneDNN off", _agrees(CPU)
    with torch.backends.nnpack.flags(enabled=False):
        yield "cpu, NNPACK off", _agrees(CPU)
    for capability in _capabilities():
        command = (
            "import torch; from acncodec.coding.selftest import frequencies_digest as f; c = torch.device('cpu'); "
            "print(f(c), f(c, fine=True))"
        )
        environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
        done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=False)
        yield f"cpu, instructions limited to {capability}", done.stdout.split() == [FREQUENCIES_SHA256, FINE_SHA256]
    for index in range(torch.cuda.device_count()):
        cuda = torch.device("cuda", index)
        yield f"{cuda}, recorded steps", _agrees(cuda)
        unrecorded = whole_image, partial(stepwise, groups=2, graphs=False), codes_of
        yield f"{cuda}, steps in groups, unrecorded", _agrees(cuda, unrecorded)
        yield f"{cuda}, 512 images side by side", agrees_on_many(cuda)
        if exact_weights(cuda) is not None:
            yield f"{cuda}, fused steps", _agrees(cuda, (whole_image, fused, codes_of))


def _capabilities() -> list[str]:
    """Values of ATEN_CPU_CAPABILITY up to this processor's; higher ones would fail with an illegal instruction."""
    order = ["default", "avx2", "avx512"]
    own = torch.backends.cpu.get_cpu_capability().lower()
    return order[: order.index(own) + 1] if own in order else ["default"]
