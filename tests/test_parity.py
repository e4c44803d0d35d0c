"""Exact parity of whole-image pass, pixel-by-pixel pass and 64-bit reference, for all thread counts, kernels and devices.

Run as a program it prints its digests, for comparison under other CPU capabilities.
"""

import copy
import hashlib
import math
import os
import subprocess
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import KINDS, architecture, needs_cuda
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import (
    CPU,
    NETWORKS,
    SMALL,
    SMALL_SIZES,
    assert_same,
    computing,
    inputs_of,
    joined,
    networks_at_bound,
    networks_of,
    passes,
    put_at_bound,
    reference_passes,
    wanted,
)

from acncodec.coding.passes import whole_image
from acncodec.coding.selftest import (
    FINE_ARCHITECTURES,
    FINE_SHA256,
    FREQUENCIES_SHA256,
    TEST_ARCHITECTURES,
    TINY_ARCH,
    fixed_networks,
    frequencies_digest,
    pseudo_random,
    stepwise,
)
from acncodec.exact.bounds import EXACT_LIMIT
from acncodec.exact.grids import BASE, CODE_MAX, LATENT_LEVELS, LATENT_MAX, STREAM_MAX
from acncodec.exact.precision import full_precision
from acncodec.exact.tables import exp_table, gaussian_table
from acncodec.nets import reference as definition
from acncodec.nets.architecture import Architecture
from acncodec.nets.incremental import IncrementalDecoder
from acncodec.nets.planes import plane_count, predict, tell_colours, to_planes
from acncodec.nets.product import Input, Product, Window
from acncodec.nets.reference import Reference, logistics_frequencies, planes_of, softmax_frequencies, taps_of

pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")


@pytest.mark.parametrize("nnpack", [False, True])
@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("levels", "colours", "at_bound"), NETWORKS)
def test_passes_agree(levels: int, colours: int, at_bound: bool, threads: int, onednn: bool, nnpack: bool) -> None:
    networks = networks_of(levels, colours, at_bound)
    with computing(threads, onednn, nnpack):
        # several threads wait for each other at every step, slowly where the processor is busy: fewer steps there
        for size in SMALL_SIZES if threads == 1 else [(7, 5, 3), (16, 9, 12)]:
            steps = threads == 1 or size == (7, 5, 3)
            got = passes(networks, inputs_of(networks.arch, *size), steps=steps)
            assert_same(got, wanted(levels, colours, at_bound, *size))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("levels", "colours", "at_bound"), NETWORKS)
def test_passes_agree_at_28x28(levels: int, colours: int, at_bound: bool, threads: int) -> None:
    networks = networks_of(levels, colours, at_bound)
    with computing(threads, onednn=threads == 2, nnpack=threads == 2):
        got = passes(networks, inputs_of(networks.arch, 2, 28, 28), steps=threads == 1)
    assert_same(got, wanted(levels, colours, at_bound, 2, 28, 28))


def test_networks_under_test_have_varied_outputs() -> None:
    """Parity is meaningless if all outputs are equal or clamped."""
    for kind in NETWORKS:
        for name, part in wanted(*kind, 16, 9, 12).items():
            clamped = max(np.mean(part == part.min()), np.mean(part == part.max()))
            assert len(np.unique(part)) > 4, (kind, name)
            assert clamped < 0.9, (kind, name)
    for at_bound in (False, True):
        logistics = np.split(wanted(256, 3, at_bound, 16, 9, 12)["whole"], 9, axis=-1)
        for part in logistics:
            assert len(np.unique(part)) > 100
            assert max(np.mean(part == part.min()), np.mean(part == part.max())) < 0.9


@pytest.mark.parametrize("centres", [1, 5])
@pytest.mark.parametrize("colours", [1, 2, 3, 4])
def test_passes_agree_for_other_colours_and_centres(colours: int, centres: int) -> None:
    networks = networks_at_bound(architecture(256, colours, logistics=7, softmax=False, centres=centres, **SMALL))
    for size in ((3, 4, 5), (2, 1, 4), (2, 4, 1)):
        inputs = inputs_of(networks.arch, *size)
        inputs[0][:, size[1] // 2 :] = inputs[0][:, :1, :1]  # neighbours that are copied
        assert_same(passes(networks, inputs), reference_passes(networks, inputs))


def test_passes_agree_with_planes_of_prediction_errors() -> None:
    networks = networks_at_bound(architecture(256, 1, errors=1, **SMALL))
    for size in ((3, 4, 5), (2, 1, 4), (2, 4, 1)):
        inputs = inputs_of(networks.arch, *size)
        inputs[0][0, 1:] = inputs[0][0, :1]  # small errors
        assert_same(passes(networks, inputs), reference_passes(networks, inputs))


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_passes_agree_at_a_real_models_size(levels: int, colours: int) -> None:
    networks = networks_at_bound(architecture(levels, colours, logistics=10))
    inputs = inputs_of(networks.arch, 2, 14, 14)
    assert_same(passes(networks, inputs), reference_passes(networks, inputs))


@pytest.mark.parametrize("sizes", [(1, 1, 5, 2), (16, 7, 28, 27), (7, 9, 130, 48), (64, 8, 160, 96)])
def test_accumulators_at_the_bound(sizes: tuple[int, ...]) -> None:
    """The sums themselves, before any rounding could hide a wrong last bit, with inputs at their largest magnitude."""
    n, side, channels, out = sizes
    rng = np.random.default_rng(channels)
    window = Window(-1, 0, -1, 1) if channels < 28 else Window()
    product = Product([Input(channels, STREAM_MAX, window)], out, 0, 0, -EXACT_LIMIT, EXACT_LIMIT)
    put_at_bound(product, f"product {channels}")
    product.load_integers(product.weight, product.bias, 0)
    extreme = rng.choice([-STREAM_MAX, STREAM_MAX], (n, side, side, channels))
    inputs = np.where(rng.random(extreme.shape) < 0.5, extreme, rng.integers(-STREAM_MAX, STREAM_MAX + 1, extreme.shape))
    # one position whose taps all carry the sign of one output's weights: the worst sum itself
    weight, bias = (p.numpy().astype(np.int64) for p in (product.weight, product.bias))
    if window == Window():
        inputs[0, 0, 0] = np.where(weight[:, 0] * bias[0] >= 0, STREAM_MAX, -STREAM_MAX)
    taps = taps_of(inputs, (window.top, window.bottom, window.left, window.right))
    want = taps @ weight + bias
    if window == Window():
        assert abs(want[0, 0, 0, 0]) == EXACT_LIMIT - 1
    for threads in (1, 2):
        for onednn in (False, True):
            with computing(threads, onednn, nnpack=onednn):
                got = product(torch.from_numpy(inputs).float())
            assert (got.numpy().astype(np.int64) == want).all()


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_a_batch_is_its_images(levels: int, colours: int) -> None:
    networks = networks_of(levels, colours, False)
    pixels, z, codes = inputs_of(networks.arch, 7, 5, 3)
    together = passes(networks, (pixels, z, codes))
    for i in range(7):
        alone = passes(networks, (pixels[i : i + 1], z[i : i + 1], codes[i : i + 1]))
        assert_same(alone, {name: part[i : i + 1] for name, part in together.items()})


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_no_distribution_sees_its_own_value_or_a_later_one(levels: int, colours: int) -> None:
    networks = networks_of(levels, colours, False)
    pixels, z, _ = inputs_of(networks.arch, 1, 6, 7)
    # image v + 1 of the batch differs from the first one in value v only, in the order of coding
    values = pixels.size
    batch = np.repeat(pixels, values + 1, 0)
    for v in range(values):
        batch[v + 1].flat[v] = (int(batch[0].flat[v]) + levels // 2) % levels
    found = networks.distributions(torch.from_numpy(batch), torch.from_numpy(np.repeat(z, values + 1, 0)).float())
    each = torch.stack([joined([distribution]) for distribution in found], 3).flatten(1, 3)
    seen = 0
    for v in range(values):
        changed = (each[v + 1] != each[0]).any(-1)
        assert not changed[: v + 1].any(), f"value {v}"
        seen += int(changed[v + 1 : v + 2].any())
    assert seen > values // 2  # the next value does see it


# --- the prediction of colours ---


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.sampled_from([2, 9, 256]))
def test_predictions_agree_with_the_reference(seed: int, n: int, height: int, width: int, levels: int) -> None:
    values = np.random.default_rng(seed).integers(0, levels, (n, height, width, 3), dtype=np.uint8)
    for centres in (1, 5):
        whole = predict(torch.from_numpy(values).float(), centres)
        want = definition.predict(values.astype(np.int64), centres)
        assert (whole.numpy().astype(np.int64) == want).all()
        told = tell_colours(torch.from_numpy(values).float(), whole)
        assert told.tolist() == definition.tell_colours(values.astype(np.int64), want).tolist()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
def test_predictions_are_the_same_step_by_step(seed: int, n: int, height: int, width: int) -> None:
    pixels = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8))
    networks = fixed_networks(architecture(256, 3, logistics=5, centres=5, **SMALL))
    decoder, whole = IncrementalDecoder(networks.decoder, torch.zeros(n, height, width, 3)), predict(pixels.float(), 5)
    for row in range(height):
        decoder.start_row(row)
        for column in range(width):
            decoder.start_pixel(column)
            assert torch.equal(decoder._centres, whole[:, row, column])
            for colour in range(3):
                decoder.put(pixels[:, row, column, colour], colour)


def test_predictions_by_hand() -> None:
    """Beside the image lies its nearest pixel; within, edges and slopes go on, colours apart from each other."""
    image = np.array([[10, 30, 20], [50, 60, 60], [0, 100, 110]], dtype=np.float32)
    want = [[128, 10, 30], [10, 50, 50], [50, 10, 100]]
    values = np.stack([image, 255 - image], -1)[None]
    neighbours = predict(torch.from_numpy(values), 5)[0, ..., 0, 1:]
    assert neighbours[1, 1].tolist() == [50, 30, 10, 20]
    assert neighbours[1, 2].tolist() == [60, 20, 30, 20]
    assert neighbours[0, 1].tolist() == [10] * 4
    assert neighbours[2, 0].tolist() == [50, 50, 50, 60]
    found = predict(torch.from_numpy(values), 1)[0, ..., 0]
    assert found[..., 0].tolist() == want
    mirrored = 255 - found[..., 1]
    mirrored[0, 0] = 128
    assert mirrored.tolist() == want


@pytest.mark.parametrize(("levels", "colours", "errors"), [*((*kind, 0) for kind in KINDS), (256, 1, 1)])
def test_planes_agree_with_the_reference(levels: int, colours: int, errors: int) -> None:
    arch = architecture(levels, colours, errors=errors)
    pixels = inputs_of(arch, 3, 5, 4)[0]
    planes = to_planes(torch.from_numpy(pixels), arch)
    assert planes.shape[-1] == plane_count(arch)
    assert (planes.numpy().astype(np.int64) == planes_of(pixels, arch)).all()


# --- frequencies of digits ---


def reference_frequencies(reference: Reference, pixels: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    """As `whole_image` and `stepwise`: of each colour's digits, the second given the first."""
    if reference.arch.levels == 2:
        return [softmax_frequencies(reference.logits(pixels, z))]
    first = (pixels // BASE).astype(np.int64)
    if not reference.arch.logistics:
        grouped = softmax_frequencies(reference.logits(pixels, z)).reshape(*pixels.shape[:3], BASE, BASE)
        return [grouped.sum(-1), np.take_along_axis(grouped, first[..., None], -2)[..., 0, :]]
    found = []
    for colour in range(reference.arch.colours):
        mixture, digits = reference.logistics(pixels, z, colour), np.arange(BASE + 1)
        leading = np.broadcast_to(BASE * digits, (*pixels.shape[:3], BASE + 1))
        second = BASE * first[..., colour, None] + digits
        found += [logistics_frequencies(*mixture, edges) for edges in (leading, second)]
    return found


@pytest.mark.parametrize("size", [(7, 5, 3), (2, 9, 12)])
@pytest.mark.parametrize(("levels", "colours", "at_bound"), NETWORKS)
def test_frequencies_agree(levels: int, colours: int, at_bound: bool, size: tuple[int, int, int]) -> None:
    networks = networks_of(levels, colours, at_bound)
    pixels, z, _ = inputs_of(networks.arch, *size)
    want = reference_frequencies(Reference(networks), pixels, z)
    for pass_ in (whole_image, stepwise, partial(stepwise, groups=2)):
        found = pass_(networks, pixels, z)
        for got, part in zip(found, want, strict=True):
            assert got.shape == part.shape
            assert (got == part).all()


# --- the self-test's digest, and other processors ---


def latent_frequencies(logits: np.ndarray, means: np.ndarray, widths: np.ndarray) -> np.ndarray:
    weights = exp_table().astype(np.int64)[logits.max(-1, keepdims=True) - logits]
    offsets = np.arange(LATENT_LEVELS) - LATENT_MAX - means[..., None] + 2 * LATENT_MAX
    return (weights[..., None] * gaussian_table().astype(np.int64)[widths[..., None], offsets]).sum(-2)


@pytest.mark.parametrize("fine", [False, True])
def test_the_selftests_constants_agree_with_the_reference(fine: bool) -> None:
    digest = hashlib.sha256()
    for kind in FINE_ARCHITECTURES if fine else TEST_ARCHITECTURES:
        reference = Reference(fixed_networks(Architecture(**kind, **TINY_ARCH), fine))
        shape = (3, 6, 5, reference.arch.colours)
        pixels = pseudo_random("pixels", math.prod(shape), 0, reference.arch.levels - 1).astype(np.uint8).reshape(shape)
        z = pseudo_random("z", 9, -LATENT_MAX, LATENT_MAX).reshape(3, 3)
        digits = reference_frequencies(reference, pixels, z)
        parents = pseudo_random("c", 9, -CODE_MAX, CODE_MAX).reshape(3, 3)
        latents = latent_frequencies(*reference.mixture(parents))
        for part in (*digits, *digits, reference.encode(pixels), latents):
            digest.update(part.astype("<i8").tobytes())
    assert digest.hexdigest() == (FINE_SHA256 if fine else FREQUENCIES_SHA256)


def test_the_selftests_constants_agree_on_this_machine() -> None:
    assert frequencies_digest(CPU) == FREQUENCIES_SHA256
    assert frequencies_digest(CPU, fine=True) == FINE_SHA256


def digest_of(parts: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(parts[name].astype("<i8").tobytes() for name in sorted(parts))).hexdigest()


def digests(device: torch.device) -> list[str]:
    """Of the self-test and of networks at the bound."""
    out = [frequencies_digest(device)]
    for kind in KINDS:
        networks = copy.deepcopy(networks_of(*kind, True)).to(device)
        out.append(digest_of(passes(networks, inputs_of(networks.arch, 7, 9, 12), device)))
    return out


@cache
def wanted_digests() -> list[str]:
    return [FREQUENCIES_SHA256] + [digest_of(wanted(*kind, True, 7, 9, 12)) for kind in KINDS]


# Limits for MKL and oneDNN beside PyTorch's own kernels; these settings can only lower the level.
LIBRARIES = {"default": ("SSE4_2", "SSE41"), "avx2": ("AVX2", "AVX2")}


def capabilities() -> list[str]:
    """Those of this processor, never more: a level that it lacks would be an illegal instruction."""
    known, mine = ["default", "avx2", "avx512"], torch.backends.cpu.get_cpu_capability().lower()
    return known[: known.index(mine) + 1] if mine in known else ["default"]


@pytest.mark.slow
def test_every_capability_of_this_processor_agrees() -> None:
    source = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    runs = []
    for capability in capabilities():
        env = {**os.environ, "ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        if capability in LIBRARIES:
            env["MKL_ENABLE_INSTRUCTIONS"], env["ONEDNN_MAX_CPU_ISA"] = LIBRARIES[capability]
        runs.append(subprocess.Popen([sys.executable, __file__], env=env, stdout=subprocess.PIPE, text=True))
    outputs = [run.communicate(timeout=1800)[0].split() for run in runs]
    for capability, run, (used, *got) in zip(capabilities(), runs, outputs, strict=True):
        assert run.returncode == 0
        assert used.lower() == capability
        assert got == wanted_digests(), capability


@needs_cuda
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_cuda_agrees(precision: str) -> None:
    """Whatever precision of products the user asked for elsewhere."""
    before, device = torch.get_float32_matmul_precision(), torch.device("cuda")
    try:
        torch.set_float32_matmul_precision(precision)
        with full_precision():  # as whatever codes does it
            assert digests(device) == wanted_digests()
            for size in [(2, 28, 28), (512, 9, 12)]:  # large products choose other kernels than small ones
                for kind in KINDS[1:]:
                    networks = copy.deepcopy(networks_of(*kind, True)).to(device)
                    got = passes(networks, inputs_of(networks.arch, *size), device)
                    assert_same(got, wanted(*kind, True, *size))
    finally:
        torch.set_float32_matmul_precision(before)


if __name__ == "__main__":
    print(torch.backends.cpu.get_cpu_capability(), *digests(CPU))
