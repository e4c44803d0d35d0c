"""Several stacks: slices of lanes on stacks of their own, decoded by any number of threads and by every path alike."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import (
    KINDS,
    check_ledger,
    drawings,
    make_pngs,
    packed,
    random_pixels,
    smooth_pixels,
    snapshot,
    tiny_model,
    unpacked,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.archive.container import FEATURE_STACKS
from acncodec.block.plan import Way
from acncodec.coding import ans, steps
from acncodec.coding import pixels as pixels_module
from acncodec.coding.candidates import History
from acncodec.coding.pixels import push_pixels
from acncodec.coding.protocol import GroupTask, alice, all_offers, bob, encode
from acncodec.coding.stack import Stack
from acncodec.coding.stacks import LEAST_LANES, MOST, STACK_BITS, Slices, Stacks, slice_width, stack_count
from acncodec.errors import DamagedError
from acncodec.nets.model import Model
from acncodec.packing.method_choice import MethodChoice
from acncodec.planning.schedule import MAX_LANES, Schedule
from acncodec.reading.reader import Archive

SEED = 400


@pytest.fixture
def set_threads() -> Any:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def task_of(model: Model, pixels: np.ndarray, lanes: int, history: History | None = None) -> GroupTask:
    count, height, width = pixels.shape[:3]
    return GroupTask(model, Schedule(count, min(lanes, count)), height, width, True, lambda done: None, history)


def stored(stacks: Stacks) -> tuple[list[bytes], list[int]]:
    """Words and seed words as an archive has them."""
    found = stacks.finish(SEED)
    return [words.astype("<u4").tobytes() for words, _ in found], [seed for _, seed in found]


# The cut


@given(st.integers(1, MAX_LANES), st.integers(1, 64))
def test_slices_are_no_more_than_stacks_and_fit_groups(lanes: int, stacks: int) -> None:
    width = slice_width(lanes, stacks)
    assert width & (width - 1) == 0
    assert -(-lanes // width) <= stacks
    assert width == 1 or -(-2 * lanes // width) > stacks  # the least such


def test_narrow_steps_use_as_many_stacks_as_lanes() -> None:
    """So that no stack begins with the latents of several lanes from its seed."""
    assert [slice_width(lanes, 16) for lanes in (1, 2, 8, 16, 17, 32, 64, 512, 300)] == [1, 1, 1, 1, 2, 2, 4, 32, 32]


def test_the_number_of_stacks_grows_with_bits_up_to_the_lanes() -> None:
    assert [stack_count(STACK_BITS * n, 512) for n in (0, 0.9, 1, 1.9, 2, 3.9, 4, 31, 32, 1000)] == [
        *(1, 1, 1, 1, 2, 2, 4, 16, MOST, MOST)
    ]
    assert [stack_count(1e12, lanes) for lanes in (1, 8, 15, 16, 63, 64)] == [1, 1, 1, 2, 4, 64 // LEAST_LANES]


# Alice and Bob


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 60),
    st.integers(1, 41),
    st.integers(1, 5),
    st.sampled_from(KINDS),
    st.booleans(),
)
def test_bob_decodes_what_alice_encodes(
    seed: int, count: int, lanes: int, stacks: int, kind: tuple[int, int], conditional: bool
) -> None:
    levels, colours = kind
    model, pixels = tiny_model(levels, colours=colours), random_pixels(seed, count, 2, 3, levels, colours)
    task = GroupTask(model, Schedule(count, min(lanes, count)), 2, 3, conditional, lambda done: None)
    coder = Stacks.seeded(stacks, SEED)
    start = coder.bits
    tally = alice(coder, pixels, encode(model, pixels), task)
    assert coder.bits - start == pytest.approx(tally.residual + tally.prior - tally.posterior, abs=1e-6)
    words, seeds = stored(coder)
    again = Stacks.load(words)
    assert np.array_equal(bob(again, task), pixels)
    again.check_seeds(seeds)


def test_one_stack_is_the_plain_one() -> None:
    model, pixels = tiny_model(2), random_pixels(0, 40, 3, 3, 2)
    one, plain = Stacks.seeded(1, SEED), Stack.seeded(SEED)
    for coder in (one, plain):
        alice(coder, pixels, encode(model, pixels), task_of(model, pixels, 16))
    assert one.finish(SEED)[0][0].tolist() == plain.finish(SEED)[0].tolist()


def test_lane_i_is_on_stack_i_by_width() -> None:
    """The words of each stack are those that its lanes alone would give."""
    model, pixels = tiny_model(256, colours=3), random_pixels(1, 12, 3, 2, 256, 3)
    z = np.zeros((12, model.arch.code), np.int16)
    coder = Stacks.seeded(4, SEED)
    push_pixels(coder.lanes(12), pixels, z, model)
    assert slice_width(12, 4) == 4  # so the fourth stack stays empty
    for number, (words, _) in enumerate(coder.finish(SEED)):
        alone, own = Stack.seeded(SEED), slice(4 * number, 4 * number + 4)
        if len(pixels[own]):
            push_pixels(alone, pixels[own], z[own], model)
        assert words.tolist() == alone.finish(SEED)[0].tolist()


def coded(model: Model, pixels: np.ndarray, stacks: int) -> tuple[list[bytes], list[int]]:
    coder = Stacks.seeded(stacks, SEED)
    alice(coder, pixels, encode(model, pixels), task_of(model, pixels, 72))
    return stored(coder)


@pytest.mark.parametrize("stacks", [2, 5, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_nothing(stacks: int, kind: tuple[int, int], set_threads: Callable[[int], None]) -> None:
    """Steps of 72 lanes and fewer: units of one slice and of several, and all threads on each symbol."""
    levels, colours = kind
    model, pixels = tiny_model(levels, calm=True, colours=colours), random_pixels(3, 200, 4, 3, levels, colours)
    found = []
    for threads in (1, 2, 3):
        set_threads(threads)
        found.append(coded(model, pixels, stacks))
        words, seeds = found[0]
        again = Stacks.load(words)
        assert np.array_equal(bob(again, task_of(model, pixels, 72)), pixels)
        again.check_seeds(seeds)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("groups", [1, 3])
def test_tensors_decode_the_same(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the kernel, and with groups of lanes that cut slices, as on CUDA; and by constriction."""
    model, pixels = tiny_model(256, calm=True, colours=3), smooth_pixels(4, 70, 3, 2)
    words, seeds = coded(model, pixels, 4)
    for module in (pixels_module, steps):
        monkeypatch.setattr(module, "available", lambda networks: False)
    monkeypatch.setattr(steps, "_groups", lambda net, n, *size: steps.split(net, n, *size, count=min(n, groups)))
    monkeypatch.setattr(steps, "_kept", steps.Kept())
    if groups > 1:
        monkeypatch.setattr("acncodec.coding.stack.coder", ans.ConstrictionCoder)
    assert coded(model, pixels, 4) == (words, seeds)
    again = Stacks.load(words)
    assert np.array_equal(bob(again, task_of(model, pixels, 72)), pixels)
    again.check_seeds(seeds)


def test_some_lanes_of_slices_are_on_the_same_stacks() -> None:
    stacks = [Stack.seeded(4) for _ in range(3)]
    lanes = Slices([(stacks[0], slice(0, 4)), (stacks[1], slice(4, 8)), (stacks[2], slice(8, 11))])
    assert lanes.some(slice(2, 9)).parts(7) == [
        *((stacks[0], slice(0, 2)), (stacks[1], slice(2, 6)), (stacks[2], slice(6, 7)))
    ]
    assert lanes.some(slice(4, 8)).parts(4) == [(stacks[1], slice(0, 4))]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_copies_are_found_alike(threads: int, set_threads: Callable[[int], None]) -> None:
    """Images of a step do not see each other, so units may be at different pixels."""
    set_threads(threads)
    model = tiny_model(256, calm=True, fine=True, colours=4, centres=5, logistics=13, candidates=6)
    pixels = drawings(4, 80, 6, 5, 4)

    def task() -> GroupTask:
        history = History([pixels.shape[:3]], 4)
        return task_of(model, pixels, 32, history)

    coder = Stacks.seeded(4, SEED)
    alice(coder, pixels, encode(model, pixels), task(), all_offers(pixels, task()))
    words, seeds = stored(coder)
    again = Stacks.load(words)
    assert np.array_equal(bob(again, task()), pixels)
    again.check_seeds(seeds)


# Damage


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("number", range(4))
def test_a_stack_that_ends_early_is_damage(number: int, threads: int, set_threads: Callable[[int], None]) -> None:
    """Damage in one slice is one error, and no thread is left."""
    set_threads(threads)
    model, pixels = tiny_model(256, colours=3), random_pixels(5, 200, 4, 3, 256, 3)
    words, seeds = coded(model, pixels, 4)
    before = threading.active_count()  # libraries keep some
    for wrong in (words[number][:-40] + words[number][-4:], words[number][len(words[number]) // 8 * 4 :], b""):
        again = Stacks.load([*words[:number], wrong, *words[number + 1 :]])
        with pytest.raises(DamagedError):  # noqa: PT012
            bob(again, task_of(model, pixels, 72))
            again.check_seeds(seeds)
    assert threading.active_count() == before


# Archives


@pytest.mark.usefixtures("free_networks")
@pytest.mark.parametrize(("random", "share", "stacks"), [(False, 1, 2), (False, 3, 1), (True, 1, 1)])
def test_blocks_have_a_stack_for_so_many_bits(
    random: bool, share: int, stacks: int, tmp_path: Path, models: list[Model], model_files: list[Path], monkeypatch: Any
) -> None:
    """By price, and one in blocks for random access; a block of one has the layout as before."""
    monkeypatch.setattr(MethodChoice, "prices", lambda self: [1000.0] * self.count)
    monkeypatch.setattr("acncodec.coding.stacks.STACK_BITS", 200_000 * share)
    monkeypatch.setattr("acncodec.coding.stacks.LEAST_LANES", 2)
    make_pngs(tmp_path / "in", 400, 3, 2, "L")
    archive = packed(tmp_path / "in", models, way=Way.NAMES, random=random, block=400)
    with Archive(archive) as opened:
        assert len(opened.block(0).bits) == stacks
        assert opened.container.features == (FEATURE_STACKS if stacks > 1 else 0)
    assert snapshot(unpacked(archive, model_files)) == snapshot(tmp_path / "in")
    check_ledger(archive)
