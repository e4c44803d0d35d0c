"""Networks, some at the exact bound, their passes, and the same by the 64-bit reference."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import numpy as np
import torch
from conftest import KINDS, architecture

from acncodec.coding.selftest import (
    fixed_networks,
    pseudo_random,
)
from acncodec.exact.bounds import EXACT_LIMIT, worst_sums
from acncodec.exact.grids import CODE_MAX, LATENT_MAX
from acncodec.nets.architecture import Architecture
from acncodec.nets.heads import Distribution
from acncodec.nets.incremental import IncrementalDecoder
from acncodec.nets.networks import Networks
from acncodec.nets.product import Product
from acncodec.nets.reference import Reference

CPU = torch.device("cpu")
SMALL = {
    "channels": 10,
    "blocks": 3,
    "first": 5,
    "features": 9,
    "map_planes": 3,
    "map_hidden": 12,
    "map_features": 4,
    "encoder_features": 5,
    "code": 6,
    "hidden": 20,
    "mixture": 3,
}
NETWORKS = [(levels, colours, bound) for levels, colours in KINDS for bound in (False, True)]
# N, H, W
SMALL_SIZES = [(16, 1, 1), (7, 5, 3), (1, 9, 12), (16, 9, 12)]


def put_at_bound(product: Product, label: str, largest: int = 1 << 24) -> None:
    """Random weights that use most of the exact range, and the bias at which every output's worst sum is 2^24 - 1.

    Outputs have three different scales.
    """
    rows, out = product.weight.shape
    weight = torch.from_numpy(pseudo_random(label, rows * out, -127, 127).reshape(rows, out)).double()
    room = 15 / 16 * EXACT_LIMIT / worst_sums(weight, torch.zeros(out), product.row_bounds)
    weight = (weight * room.clamp(max=largest / 127)).trunc()
    rest = EXACT_LIMIT - 1 - worst_sums(weight, torch.zeros(out), product.row_bounds)
    bias = rest * (torch.from_numpy(pseudo_random(label + ".sign", out, 0, 1)) * 2 - 1)
    spread = EXACT_LIMIT // (2 * math.isqrt(rows))
    shift = (spread // max(abs(product.low), product.high)).bit_length()
    product.load_integers(weight, bias, shift + product.out_bits - product.in_bits - torch.arange(out) % 3, label)
    assert worst_sums(product.weight, product.bias, product.row_bounds).tolist() == [EXACT_LIMIT - 1] * out


def networks_at_bound(arch: Architecture, largest: int = 1 << 24) -> Networks:
    networks = Networks(arch)
    for name, product in networks.products():
        put_at_bound(product, name, largest)
    networks.exact = True
    return networks.requires_grad_(False)


@cache
def networks_of(levels: int, colours: int, at_bound: bool) -> Networks:
    arch = architecture(levels, colours, logistics=3, **SMALL)
    return networks_at_bound(arch) if at_bound else fixed_networks(arch)


def inputs_of(arch: Architecture, n: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, latents and parents' codes; the extremes occur."""
    shape = n, height, width, arch.colours
    pixels = pseudo_random(f"x{n}", math.prod(shape), 0, arch.levels - 1).reshape(shape).astype(np.uint8)
    pixels.flat[0] = arch.levels - 1
    z = pseudo_random(f"z{n}", n * arch.code, -LATENT_MAX, LATENT_MAX).reshape(n, arch.code)
    codes = pseudo_random(f"c{n}", n * arch.code, -CODE_MAX, CODE_MAX).reshape(n, arch.code)
    z[-1], codes[-1] = LATENT_MAX, -CODE_MAX
    return pixels, z, codes


def joined(distributions: list[Distribution]) -> torch.Tensor:
    """Everything about the distributions of all colours side by side: [..., parameters]."""
    return torch.cat([part for distribution in distributions for part in distribution], -1)


def incremental(networks: Networks, pixels: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """The distributions, joined, one pixel and one colour after the other."""
    _, height, width, colours = pixels.shape
    decoder, steps = IncrementalDecoder(networks.decoder, networks.latent_map(z, height, width)), []
    for row in range(height):
        decoder.start_row(row)
        for column in range(width):
            decoder.start_pixel(column)
            found = []
            for colour in range(colours):
                found.append(decoder.distribution(colour))
                decoder.put(pixels[:, row, column, colour], colour)
            steps.append(joined(found))
    return torch.stack(steps, 1).unflatten(1, (height, width))


def passes(
    networks: Networks, inputs: tuple[np.ndarray, ...], device: torch.device = CPU, steps: bool = True
) -> dict[str, np.ndarray]:
    """Everything that the networks compute, as int64; without `steps`, nothing pixel by pixel."""
    pixels, z, codes = (torch.from_numpy(a).to(device) for a in inputs)
    z, codes = z.float(), codes.float()
    mixture = networks.mixture(codes)
    parts = {
        "whole": joined(networks.distributions(pixels, z)),
        "codes": networks.encode(pixels),
        "map": networks.latent_map(z, *pixels.shape[1:3]),
        "logits": mixture.logits,
        "means": mixture.means,
        "widths": mixture.widths,
    }
    if steps:
        parts["stepwise"] = incremental(networks, pixels, z)
    for part in parts.values():
        assert torch.equal(part, part.round())
    return {name: part.cpu().numpy().astype(np.int64) for name, part in parts.items()}


def reference_distributions(reference: Reference, pixels: np.ndarray, z: np.ndarray) -> np.ndarray:
    """As `joined`, by the reference."""
    if not reference.arch.logistics:
        return reference.logits(pixels, z)
    mixtures = [reference.logistics(pixels, z, colour) for colour in range(reference.arch.colours)]
    return np.concatenate([part for mixture in mixtures for part in mixture], -1)


def reference_passes(networks: Networks, inputs: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    """The same by the reference."""
    reference = Reference(networks)
    pixels, z, codes = inputs
    whole = reference_distributions(reference, pixels, z)
    parts = {"whole": whole, "stepwise": whole, "codes": reference.encode(pixels)}
    parts["map"] = reference.latent_map(z, *pixels.shape[1:3])
    return parts | dict(zip(("logits", "means", "widths"), reference.mixture(codes), strict=True))


@cache
def wanted(levels: int, colours: int, at_bound: bool, n: int, height: int, width: int) -> dict[str, np.ndarray]:
    networks = networks_of(levels, colours, at_bound)
    return reference_passes(networks, inputs_of(networks.arch, n, height, width))


@contextmanager
def computing(threads: int, onednn: bool, nnpack: bool) -> Iterator[None]:
    before = torch.get_num_threads()
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, before)
        torch.set_num_threads(threads)
        stack.enter_context(torch.backends.mkldnn.flags(enabled=onednn, allow_tf32=False))
        stack.enter_context(torch.backends.nnpack.flags(enabled=nnpack))
        yield


def assert_same(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    assert got.keys() | {"stepwise"} == want.keys()
    for name in got:
        part = want[name]
        assert got[name].shape == part.shape, name
        assert (got[name] == part).all(), f"{name}: {np.count_nonzero(got[name] != part)} of {part.size} differ"
