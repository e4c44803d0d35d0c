"""The compiled kernel gives the integers of the PyTorch passes, for every instruction set, size, thread count and shape."""

import math
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import KINDS, architecture
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.coding import steps
from acncodec.coding.passes import whole_image
from acncodec.coding.pixels import pop_pixels, push_pixels, residual_prices
from acncodec.coding.protocol import encode
from acncodec.coding.selftest import (
    codes_of,
    compiled_codes,
    compiled_steps,
    compiled_whole,
    fixed_networks,
    pseudo_random,
)
from acncodec.coding.stack import Stack
from acncodec.coding.theory import residual_bits
from acncodec.errors import ExactnessError
from acncodec.exact.grids import LATENT_MAX
from acncodec.kernel import compiled
from acncodec.kernel import decoder as kernel
from acncodec.kernel.buffers import NOWHERE
from acncodec.kernel.decoder import CompiledDecoder, available
from acncodec.kernel.programs import MAX_TAPS, Tap, gated_columns, pack_weights
from acncodec.kernel.sources import sources_sha256
from acncodec.kernel.team import Team, instructions
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import Model
from acncodec.nets.networks import Networks

SETS = list(instructions())
pytestmark = pytest.mark.skipif(not SETS, reason="the kernel is not built for this processor")
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
SHAPES = [  # channels beyond one vector, windows of every size, one block
    {},
    {"channels": 33, "first": 7, "features": 40, "blocks": 2},
    {"channels": 16, "first": 3, "kernel": 5, "map_planes": 8},
    {"channels": 1, "blocks": 1, "features": 1, "map_planes": 1},
    {"channels": 130, "blocks": 2, "features": 17},
]


def networks_of(arch: Architecture) -> Networks:
    """As `fixed_networks`, with weights so small that the widest product stays within the exact range."""
    networks = Networks(arch)
    for name, product in networks.products():
        rows, out = product.weight.shape
        largest = max(1, min(127, (1 << 23) // int(product.row_bounds.sum())))
        weight = torch.from_numpy(pseudo_random(name, rows * out, -largest, largest).reshape(rows, out))
        bias = torch.from_numpy(pseudo_random(name + ".bias", out, -4096, 4096))
        spread = largest * math.isqrt(rows) * int(product.row_bounds.max()) // 3
        shift = max(1, (spread // max(abs(product.low), product.high)).bit_length() - 1)
        product.load_integers(weight, bias, shift + product.out_bits - product.in_bits)
    networks.exact = True
    return networks.requires_grad_(False)


def inputs_of(arch: Architecture, n: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = pseudo_random("x", n * height * width * arch.colours, 0, arch.levels - 1).astype(np.uint8)
    pixels.flat[::7] = arch.levels - 1
    z = pseudo_random("z", n * arch.code, -LATENT_MAX, LATENT_MAX).reshape(n, arch.code)
    return pixels.reshape(n, height, width, arch.colours), z


def assert_agrees(networks: Networks, kind: str, n: int, height: int, width: int) -> None:
    pixels, z = inputs_of(networks.arch, n, height, width)
    want = whole_image(networks, pixels, z)
    for found in (compiled_whole(kind, networks, pixels, z), compiled_steps(kind, networks, pixels, z)):
        assert len(found) == len(want)
        for got, part in zip(found, want, strict=True):
            assert got.shape == part.shape
            assert (got == part).all()
    (codes,), (want_codes,) = compiled_codes(kind, networks, pixels, z), codes_of(networks, pixels, z)
    assert codes.shape == want_codes.shape
    assert (codes == want_codes).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("levels", "colours"), KINDS)
@pytest.mark.parametrize("kind", SETS)
def test_frequencies_are_those_of_the_tensors(kind: str, levels: int, colours: int, shape: dict[str, int]) -> None:
    networks = networks_of(architecture(levels, colours, logistics=3, **{**SMALL, **shape}))
    assert available(networks)
    assert_agrees(networks, kind, 5, 6, 7)


@pytest.mark.parametrize("centres", [1, 5])
@pytest.mark.parametrize("kind", SETS)
def test_grey_values_under_logistics(kind: str, centres: int) -> None:
    arch = architecture(256, 1, logistics=6, softmax=False, centres=centres, **SMALL)
    assert_agrees(fixed_networks(arch), kind, 5, 6, 7)


@pytest.mark.parametrize("kind", SETS)
def test_planes_of_prediction_errors(kind: str) -> None:
    assert_agrees(fixed_networks(architecture(256, 1, errors=1, **SMALL)), kind, 40, 6, 7)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 70),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 3),
    st.sampled_from(SETS),
)
def test_any_number_of_lanes_sizes_and_threads(
    kind: tuple[int, int], n: int, height: int, width: int, threads: int, instruction_set: str
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert_agrees(fixed_networks(architecture(*kind, logistics=2, **SMALL)), instruction_set, n, height, width)
    finally:
        torch.set_num_threads(before)


def model_of(levels: int, colours: int) -> Model:
    networks = fixed_networks(architecture(levels, colours, logistics=3, **SMALL))
    return Model("", b"", 0, networks, None, {})


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_words_are_the_same_without_the_kernel(levels: int, colours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In both directions: one pops what the other has pushed."""
    model = model_of(levels, colours)
    pixels, z = inputs_of(model.arch, 37, 5, 4)
    latents = z.astype(np.int16)

    def push() -> tuple[list[int], float]:
        stack = Stack.seeded(16)
        theory = push_pixels(stack, pixels, latents, model)
        return stack.finish(16)[0].tolist(), theory

    def pop(words: list[int]) -> np.ndarray:
        return pop_pixels(Stack(np.array(words, np.uint32), seal=False), latents, 5, 4, model)

    words, theory = push()
    assert (pop(words) == pixels).all()
    prices = residual_prices(pixels, latents, model.networks)
    monkeypatch.setattr("acncodec.coding.pixels.available", lambda _: False)
    monkeypatch.setattr("acncodec.coding.steps.available", lambda _: False)
    slow_words, slow_theory = push()
    assert slow_words == words
    assert slow_theory == pytest.approx(theory, rel=1e-12)
    assert prices == pytest.approx(residual_prices(pixels, latents, model.networks), rel=1e-12)
    assert (pop(words) == pixels).all()


@pytest.mark.parametrize(("levels", "colours"), KINDS)
@pytest.mark.parametrize("kind", SETS)
def test_theory_is_that_of_the_tensors(kind: str, levels: int, colours: int) -> None:
    model = model_of(levels, colours)
    pixels, z = inputs_of(model.arch, 9, 6, 5)
    on_device = torch.from_numpy(pixels)
    want = residual_bits(model.networks.distributions(on_device, model.networks.tensor(z)), on_device).numpy()
    decoder = CompiledDecoder(model.networks, 9, 6, 5, kind=kind)
    for _ in range(2):  # a decoder is used again
        decoder.load(z.astype(np.int16))
        with decoder.team:
            assert decoder.price(pixels) == pytest.approx(want, rel=1e-12)
            decoder.load(z.astype(np.int16))
            assert decoder.whole(pixels)[1] == pytest.approx(want, rel=1e-12)


def test_a_team_has_no_more_threads_than_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert [Team(lanes).size for lanes in (1, 8, 15, 16, 100, 512)] == [1, 1, 1, 2, 12, 16]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert [Team(lanes).size for lanes in (1, 16, 512)] == [1, 2, 2]


@pytest.mark.parametrize("granted", [0, 1])
def test_a_team_works_with_fewer_threads(granted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(2, 1)
    pixels, z = inputs_of(model.arch, 40, 3, 3)
    want = whole_image(model.networks, pixels, z)[0]
    started, start = [], threading.Thread.start

    def scarce(thread: threading.Thread) -> None:
        if len(started) == granted:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(threading.Thread, "start", scarce)
    decoder = CompiledDecoder(model.networks, 40, 3, 3)
    decoder.load(z.astype(np.int16))
    with decoder.team:
        frequencies, _ = decoder.whole(pixels)
    assert (frequencies[:, :, 0, 0].transpose(2, 0, 1, 3) == want).all()
    assert len(started) == granted
    assert not any(thread.is_alive() for thread in started)


def test_threads_of_other_teams_do_not_matter() -> None:
    """Four threads decode at once, each with a decoder of its own."""
    model = model_of(256, 1)
    pixels, z = inputs_of(model.arch, 8, 5, 5)
    stack = Stack.seeded(16)
    push_pixels(stack, pixels, z.astype(np.int16), model)
    words, results = stack.finish(16)[0], []

    def decode() -> None:
        found = pop_pixels(Stack(words, seal=False), z.astype(np.int16), 5, 5, model)
        results.append((found == pixels).all())

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_process_decodes() -> None:
    model = model_of(2, 1)
    pixels, z = inputs_of(model.arch, 8, 5, 5)
    stack = Stack.seeded(16)
    push_pixels(stack, pixels, z.astype(np.int16), model)
    words = stack.finish(16)[0]
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # as torch's own workers do: OpenMP does not survive a fork
        found = pop_pixels(Stack(words, seal=False), z.astype(np.int16), 5, 5, model)
        os._exit(0 if (found == pixels).all() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_unsupported_networks_fall_back_to_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = fixed_networks(architecture(256, 3, logistics=3, **SMALL))
    assert available(networks)
    residual = networks.decoder.blocks[1].residual
    good = residual.shift
    assert good is not None
    for shift in (0, 31):
        residual.shift = torch.cat([good[:1], torch.full_like(good[1:], shift)])
        assert not available(networks)
    residual.shift = good
    residual.weight[0, 0] = 1 << 15
    assert not available(networks)
    residual.weight[0, 0] = 1
    monkeypatch.setattr(kernel, "instructions", dict)
    assert not available(networks)


def test_windows_of_too_many_taps_fall_back_to_tensors() -> None:
    assert 23 * 11 + 1 <= MAX_TAPS < 25 * 12 + 1
    for first, fits in ((23, True), (25, False)):
        assert available(networks_of(architecture(2, 1, **{**SMALL, "first": first}))) == fits


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (9, 7), (28, 28), (33, 18)])
@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_codes_of_any_size_are_the_same_without_the_kernel(
    levels: int, colours: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(levels, colours)
    pixels, _ = inputs_of(model.arch, 11, *size)
    monkeypatch.setattr("acncodec.coding.protocol.COMPILED_PIXELS", 4 * size[0] * size[1])  # in three parts
    codes = encode(model, pixels)
    monkeypatch.setattr("acncodec.coding.protocol.available", lambda _: False)
    assert codes.dtype == np.int16
    assert (encode(model, pixels) == codes).all()


def test_recent_decoders_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = fixed_networks(architecture(2, 1, **SMALL))
    z = np.zeros((20, networks.arch.code), np.int16)
    monkeypatch.setattr(steps, "KEPT_PIXELS", 12 * 9)
    made = []
    for count in (8, 8, 4, 8, 2, 4, 20, 20, 8):
        with steps.compiled(networks, z[:count], 3, 3) as decoder:
            made.append(decoder)
    kept = [[made.index(each) for each in made[: i + 1]][-1] for i in range(len(made))]
    # 2 lanes more are too many: the least recently used, 4 lanes, are dropped; 20 lanes are kept alone.
    assert kept == [0, 0, 2, 0, 4, 5, 6, 6, 8]


def test_a_module_of_another_version_or_built_from_other_sources_is_refused() -> None:
    numbers = dict(compiled.NUMBERS)
    compiled.compare(numbers, "same", "same")
    compiled.compare(numbers, "any", "")  # no sources are here, as in a wheel
    for other in ({}, numbers | {"WORDS": 31}, numbers | {"NEW": 1}):
        with pytest.raises(ExactnessError, match=r"of another version .*install acncodec again"):
            compiled.compare(other, "same", "same")
    with pytest.raises(ExactnessError, match="built from other sources than those here: install acncodec again"):
        compiled.compare(numbers, "earlier", "later")


def test_the_hash_of_sources_tells_names_and_contents(tmp_path: Path) -> None:
    assert sources_sha256(tmp_path) == ""
    seen = set()
    for name, content in ("a.c", ""), ("a.c", "b"), ("b.h", ""), ("a.c", ""):
        (tmp_path / name).write_text(content)
        seen.add(sources_sha256(tmp_path))
    (tmp_path / "notes.txt").write_text("")
    assert sources_sha256(tmp_path) in seen
    assert len(seen) == 4


def test_weights_are_packed_in_pairs() -> None:
    taps = [Tap(NOWHERE, 0, 0, 0, channels) for channels in (3, 2)]
    weight = np.arange(5 * 4).reshape(5, 4)
    packed = pack_weights(weight, taps, gated_columns(4))
    assert packed.shape == (3, 16, 2)
    assert packed[:, 0].tolist() == [[0, 4], [8, 0], [12, 16]]  # first half of the gate, first output
    assert packed[:, 1].tolist() == [[2, 6], [10, 0], [14, 18]]  # its second half beside it
    assert not packed[:, 4:].any()
    with pytest.raises(ValueError):
        pack_weights(weight, taps[:1], gated_columns(4))
