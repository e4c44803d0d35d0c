"""The fused steps: the same frequencies as the other passes, on a GPU if there is one and else in Triton's interpreter.

Compiling them for GPUs needs none; `benchmarks.fused_resources` does it and says what they take.
"""

import json
import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CUDA, architecture, make_pngs, needs_cuda, packed, snapshot, unpacked

from acncodec import bundled
from acncodec.coding import fusing
from acncodec.coding import steps as steps_module
from acncodec.coding.fusing import fused_steps
from acncodec.coding.passes import by_steps, whole_image
from acncodec.coding.pixels import pop_pixels, push_pixels
from acncodec.coding.selftest import fixed_networks, pseudo_random
from acncodec.coding.stack import Stack
from acncodec.exact.grids import LATENT_MAX
from acncodec.nets.architecture import CANDIDATES
from acncodec.nets.graphs import Recorder, recorder
from acncodec.nets.model import Model
from acncodec.nets.networks import Networks

pytest.importorskip("triton", reason="no Triton, which PyTorch's builds for CUDA bring along")
from acncodec.fused import decoder
from acncodec.fused.decoder import FusedSteps, fits, sums_are_exact
from acncodec.fused.layout import Packed, padded

DEVICE = torch.device("cuda" if CUDA else "cpu")
SMALL = {"channels": 6, "blocks": 2, "first": 3, "features": 5, "map_planes": 2, "map_hidden": 8, "map_features": 2}
SMALL |= {"encoder_features": 2, "code": 3, "hidden": 8, "mixture": 2}
# Levels, colours, logistics, other sizes, whether weights are fine, and lanes, height, width
CASES: list[tuple[int, int, int, dict[str, int], bool, tuple[int, int, int]]] = [
    (2, 1, 0, {"first": 7}, False, (3, 5, 6)),
    (2, 1, 0, {"blocks": 1, "channels": 17}, True, (17, 2, 3)),
    (2, 1, 0, {"blocks": 3, "kernel": 5, "channels": 16, "features": 33}, True, (1, 3, 4)),
    (256, 1, 0, {"first": 5}, True, (16, 3, 4)),
    (256, 1, 0, {"errors": 1}, True, (2, 3, 4)),
    (256, 1, 3, {}, False, (2, 3, 3)),
    (256, 1, 17, {"centres": 5}, True, (2, 2, 3)),
    (256, 3, 2, {}, True, (2, 3, 3)),
    (256, 4, 6, {"centres": 5}, False, (2, 2, 3)),
]


def case_of(
    levels: int, colours: int, logistics: int, sizes: dict[str, int], fine: bool, shape: tuple[int, ...]
) -> tuple[Networks, np.ndarray, np.ndarray]:
    """Networks on DEVICE; pixels, of which some equal their neighbours; latents."""
    arch = architecture(levels, colours, logistics, softmax=not logistics, **{**SMALL, **sizes})
    networks = fixed_networks(arch, fine).to(DEVICE)
    pixels = pseudo_random("x", int(np.prod(shape)) * colours, 0, levels - 1).astype(np.uint8).reshape(*shape, colours)
    pixels[:, :, 1::2] = np.where(pixels[:, :, 1::2] % 2, pixels[:, :, 1::2], pixels[:, :, : pixels.shape[2] // 2 * 2 : 2])
    pixels[0] = levels - 1
    z = pseudo_random("z", shape[0] * arch.code, -LATENT_MAX, LATENT_MAX).reshape(shape[0], -1).astype(np.int16)
    return networks, pixels, z


@pytest.mark.parametrize(("levels", "colours", "logistics", "sizes", "fine", "shape"), CASES)
def test_fused_steps_give_the_frequencies_of_the_whole_image_pass(
    levels: int, colours: int, logistics: int, sizes: dict[str, int], fine: bool, shape: tuple[int, int, int]
) -> None:
    networks, pixels, z = case_of(levels, colours, logistics, sizes, fine, shape)
    steps = FusedSteps(networks, *shape, recorder(DEVICE))
    steps.load(z)
    for found, want in zip(by_steps(steps, pixels, levels), whole_image(networks, pixels, z), strict=True):
        assert np.array_equal(found, want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_other_images_and_weights_without_tensor_cores_change_nothing(dtype: torch.dtype) -> None:
    networks, pixels, z = case_of(256, 1, 0, {}, True, (2, 2, 3))
    steps = FusedSteps(networks, *pixels.shape[:3], recorder(DEVICE), dtype)
    for _ in range(2):
        steps.load(z)
        for found, want in zip(by_steps(steps, pixels, 256), whole_image(networks, pixels, z), strict=True):
            assert np.array_equal(found, want)
        pixels, z = pixels[::-1].copy(), z[::-1].copy()


def test_an_archive_decodes_through_fused_steps(
    tmp_path: Path, models: list[Model], model_files: list[Path], free_networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    make_pngs(root, 3, 3, 2)
    make_pngs(root, 2, 2, 2, "L")
    make_pngs(root, 2, 2, 2, "RGB")
    archive, used = packed(root, models), []

    def groups(networks: Networks, lanes: int, height: int, width: int) -> list[tuple[slice, FusedSteps]]:
        used.append(networks.arch.colours)
        return [(slice(0, lanes), FusedSteps(networks, lanes, height, width, Recorder()))]

    monkeypatch.setattr(steps_module, "available", lambda _: False)
    monkeypatch.setattr("acncodec.coding.pixels.available", lambda _: False)
    monkeypatch.setattr(steps_module, "_groups", groups)
    assert snapshot(unpacked(archive, model_files)) == snapshot(root)
    assert set(used) == {1, 3}


def test_sums_of_rounded_weights_are_found_out() -> None:
    assert sums_are_exact(DEVICE, torch.float16)
    assert sums_are_exact(DEVICE, torch.float32)
    assert not sums_are_exact(DEVICE, torch.bfloat16)  # which holds 8 bits of a weight


def test_candidates_and_wide_networks_are_not_fused() -> None:
    def with_sizes(**sizes: int) -> bool:
        return fits(fixed_networks(architecture(256, 3, **{**SMALL, "logistics": 2, **sizes}), fine=True), 512, 32, 32)

    assert with_sizes()
    assert not with_sizes(candidates=CANDIDATES, centres=5)
    assert not with_sizes(channels=65)
    assert not with_sizes(features=129)
    assert not with_sizes(map_planes=65)
    small = fixed_networks(architecture(2, 1, **SMALL))
    assert fits(small, 1 << 10, 1, 1)
    assert not fits(small, 1 << 10, 1 << 10, 1 << 10)
    assert not fits(small, 1 << 26, 1, 1)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known yet about devices and networks; trials are short."""
    for each in (fusing.exact_weights, fusing._module):
        each.cache_clear()
    monkeypatch.setattr(fusing, "TRIAL", (1, 1, 2))
    monkeypatch.setattr(fusing, "_right", type(fusing._right)())


def test_steps_are_fused_once_a_trial_agreed(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = case_of(2, 1, 0, {}, False, (1, 2, 2))[0]
    assert isinstance(fused_steps(networks, 1, 2, 2), FusedSteps)
    monkeypatch.setattr(fusing, "agree", pytest.fail)  # not tried again
    assert isinstance(fused_steps(networks, 3, 2, 2), FusedSteps)


def wrong(steps: FusedSteps, colour: int) -> np.ndarray:
    return np.ones((1, 2))


def failing(*arguments: Any, **options: Any) -> None:
    raise RuntimeError("no C compiler")


@pytest.mark.parametrize(("what", "instead"), [("FusedSteps.first", wrong), ("FusedSteps", failing)])
def test_wrong_or_failing_kernels_are_not_used(
    what: str, instead: Any, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"acncodec.fused.decoder.{what}", instead)
    assert fused_steps(case_of(2, 1, 0, {}, False, (1, 2, 2))[0], 1, 2, 2) is None


@pytest.mark.parametrize("exact", [{torch.float32}, set()])
def test_weights_are_of_the_first_type_that_is_exact(
    exact: set[torch.dtype], fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "sums_are_exact", lambda device, dtype: dtype in exact)
    assert fusing.exact_weights(DEVICE) == next(iter(exact), None)
    if not exact:
        assert fused_steps(case_of(2, 1, 0, {}, False, (1, 2, 2))[0], 1, 2, 2) is None


def test_without_triton_nothing_is_fused(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "acncodec.fused.decoder", None)
    monkeypatch.delattr("acncodec.fused.decoder")
    assert fused_steps(case_of(2, 1, 0, {}, False, (1, 2, 2))[0], 1, 2, 2) is None
    assert fusing.exact_weights(DEVICE) is None


@pytest.mark.parametrize("there", [True, False])
def test_on_cuda_steps_are_fused_where_they_can_be(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One group of lanes then, and else as many as before."""
    networks: Any = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    monkeypatch.setattr(steps_module, "fused_steps", lambda *sizes: "fused" if there else None)
    monkeypatch.setattr(steps_module, "split", lambda *sizes: ["tensors", *sizes[1:]])
    found = steps_module._groups(networks, 300, 8, 9)
    assert found == ([(slice(0, 300), "fused")] if there else ["tensors", 300, 8, 9, 2])


def test_padding() -> None:
    assert [padded(n) for n in (1, 16, 17, 32, 33)] == [16, 16, 32, 32, 64]
    packed_weights = Packed(fixed_networks(architecture(256, 3, **{**SMALL, "logistics": 2})).decoder, torch.float16)
    later = packed_weights.pixels[1:]
    assert all(len(each.weights) == len(later[0].weights) for each in later)
    # Tensor cores' loads are of 16 bytes
    parts = (*packed_weights.rows, *packed_weights.pixels, *packed_weights.heads)
    assert all(x.data_ptr() % 16 == 0 for part in parts for x in (part.weights, part.vectors))


def resources(*arguments: str, folder: Path) -> list[dict[str, Any]]:
    """What `benchmarks.fused_resources` says of kernels, compiled in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "benchmarks.fused_resources", *arguments]
    environment |= {"TRITON_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_they_fit(rows: list[dict[str, Any]]) -> None:
    """No register spills to memory, and shared memory suffices on every GPU since 2020 (99 KiB a program)."""
    assert {row["kernel"] for row in rows} >= {"end_row", "vertical", "pixel"}
    for row in rows:
        assert row["stack"] == 0, row
        assert row["registers"] <= 255, row
        assert row["shared"] <= 99 << 10, row
        assert (row["tensor_core_products"] > 0) == (row["kernel"] in ("vertical", "pixel", "next_colour")), row


def test_kernels_compile_and_fit(tmp_path: Path) -> None:
    assert_they_fit(resources("mnist-1bit", "--capability", "90", folder=tmp_path))


@pytest.mark.slow
def test_all_kernels_compile_and_fit(tmp_path: Path) -> None:
    rows = resources(folder=tmp_path)
    assert_they_fit(rows)
    assert {(row["model"], row["capability"]) for row in rows} >= {("64x8", 80), ("photo-rgb", 90)}


@needs_cuda
@pytest.mark.parametrize("name", ["mnist-1bit", "mnist-8bit", "photo-rgb"])
def test_cuda_decodes_with_fused_steps_what_the_cpu_encoded(name: str) -> None:
    model = bundled.find(name)
    pixels = np.random.default_rng(1).integers(0, model.arch.levels, (300, 9, 8, model.arch.colours), np.uint8)
    z, stack = np.zeros((300, model.arch.code), np.int16), Stack.seeded(64)
    push_pixels(stack, pixels, z, model)
    on_device = replace(model, networks=deepcopy(model.networks).to("cuda"))
    assert fused_steps(on_device.networks, 300, 9, 8) is not None
    assert (pop_pixels(stack, z, 9, 8, on_device) == pixels).all()
    stack.check_seed(64)
