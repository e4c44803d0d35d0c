"""The bits-back protocol: Bob decodes Alice's pixels, and the stack is back in its initial state, bit for bit."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import KINDS, random_pixels, smooth_pixels, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.coding.passes import whole_image
from acncodec.coding.pixels import push_pixels
from acncodec.coding.protocol import GroupTask, SeedExhaustedError, alice, bob, encode
from acncodec.coding.selftest import pseudo_random
from acncodec.coding.stack import Stack
from acncodec.errors import DamagedError
from acncodec.nets.model import Model
from acncodec.planning.schedule import Schedule

SEED = 400


def nothing(done: int) -> None:
    """An `advance` that shows nothing."""


def task_of(
    model: Model, pixels: np.ndarray, lanes: int = 1, conditional: bool = True, advance: Callable[[int], None] = nothing
) -> GroupTask:
    count, height, width = pixels.shape[:3]
    return GroupTask(model, Schedule(count, min(lanes, count)), height, width, conditional, advance)


CASES: dict[str, st.SearchStrategy[Any]] = {
    "seed": st.integers(0, 2**32),
    "count": st.integers(1, 12),
    "lanes": st.integers(1, 6),
    "height": st.integers(1, 5),
    "width": st.integers(1, 5),
    "conditional": st.booleans(),
    "kind": st.sampled_from(KINDS),
}


def case_of(
    seed: int, count: int, height: int, width: int, kind: tuple[int, int], components: int = 3
) -> tuple[Model, np.ndarray]:
    """A model of this kind and noise for it."""
    levels, colours = kind
    return tiny_model(levels, components, colours=colours), random_pixels(seed, count, height, width, levels, colours)


@settings(max_examples=40, deadline=None)
@given(**CASES)
def test_bob_decodes_the_pixels_and_returns_all_bits(
    seed: int, count: int, lanes: int, height: int, width: int, conditional: bool, kind: tuple[int, int]
) -> None:
    model, pixels = case_of(seed, count, height, width, kind)
    stack, seen = Stack.seeded(SEED), list[tuple[int, float]]()
    task = task_of(model, pixels, lanes, conditional, lambda done: seen.append((done, stack.bits)))
    start = stack.bits
    alice(stack, pixels, encode(model, pixels), task)
    going, seen[:] = seen[:], []
    assert sum(done for done, _ in going) == count
    assert np.array_equal(bob(stack, task), pixels)
    # The inverse: after each of Bob's steps the stack is as long as before Alice's step for the same images.
    reached = np.cumsum([done for done, _ in seen])
    steps = np.cumsum([done for done, _ in reversed(going)])
    ends = [int(np.flatnonzero(np.isclose(reached, step))[0]) for step in steps]
    assert ends[-1] == len(seen) - 1
    assert [seen[end][1] for end in ends] == [*(bits for _, bits in going[-2::-1]), start]
    stack.check_seed(SEED)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(*(CASES[k] for k in ("seed", "count", "lanes", "kind"))), min_size=2, max_size=4), st.booleans())
def test_several_groups_share_one_stack_and_its_stored_words(
    groups: list[tuple[int, int, int, tuple[int, int]]], conditional: bool
) -> None:
    jobs = []
    for number, (seed, count, lanes, kind) in enumerate(groups):
        model, pixels = case_of(seed, count, 1 + number, 4 - number, kind)
        jobs.append((pixels, task_of(model, pixels, lanes, conditional)))
    stack = Stack.seeded(SEED)
    for pixels, task in reversed(jobs):
        alice(stack, pixels, encode(task.model, pixels), task)
    words, needed = stack.finish(SEED)
    stack = Stack(words, seal=False)
    for pixels, task in jobs:
        assert np.array_equal(bob(stack, task), pixels)
    stack.check_seed(needed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("lanes", [1, 8])
def test_a_seed_too_short_is_detected_and_never_makes_a_wrong_stream(
    kind: tuple[int, int], conditional: bool, lanes: int
) -> None:
    model, pixels = case_of(lanes, 24 if lanes > 1 else 6, 1, 1, kind, components=64)
    codes, outcomes = encode(model, pixels), []
    for seed in [0, 1, 2, 3, 4, 6, 9, 30]:
        stack, task = Stack.seeded(seed), task_of(model, pixels, lanes, conditional)
        try:
            alice(stack, pixels, codes, task)
        except SeedExhaustedError:
            outcomes.append(False)
            continue
        assert np.array_equal(bob(stack, task), pixels)
        stack.check_seed(seed)
        outcomes.append(True)
    assert not outcomes[0]
    assert outcomes[-1]
    assert outcomes == sorted(outcomes)  # once a seed is long enough, every longer one is


def test_a_stack_empty_at_mixture_components_is_detected() -> None:
    """Latents and pixels take hardly a bit here, so popping the components reaches the bottom of the stack."""
    model = tiny_model(2, components=512)
    pixels = random_pixels(0, 60, 1, 1, 2)
    codes, outcomes = encode(model, pixels), []
    for seed in range(0, 24, 2):
        stack, task = Stack.seeded(seed), task_of(model, pixels, 16, conditional=False)
        try:
            alice(stack, pixels, codes, task)
        except SeedExhaustedError:
            outcomes.append(False)
            continue
        words, needed = stack.finish(seed)
        stack = Stack(words, seal=False)
        assert np.array_equal(bob(stack, task), pixels)
        stack.check_seed(needed)
        outcomes.append(True)
    assert {*outcomes} == {False, True}


def test_the_seed_does_not_matter_beyond_its_top() -> None:
    """More seed than needed leaves the stored words as they are."""
    model, pixels = tiny_model(2), random_pixels(0, 9, 3, 3, 2)
    stored = []
    for seed in (100, 300):
        stack = Stack.seeded(seed)
        alice(stack, pixels, encode(model, pixels), task_of(model, pixels, 2))
        words, needed = stack.finish(seed)
        stored.append((words.tolist(), needed))
    assert stored[0] == stored[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("conditional", [True, False])
def test_tampered_words_never_decode_to_pixels_and_seed(kind: tuple[int, int], conditional: bool) -> None:
    model, pixels = case_of(0, 6, 2, 3, kind)
    task = task_of(model, pixels, 2, conditional)
    stack = Stack.seeded(SEED)
    alice(stack, pixels, encode(model, pixels), task)
    words, needed = stack.finish(SEED)
    for position in range(0, len(words), 1 + len(words) // 40):
        tampered = words.copy()
        tampered[position] ^= np.uint32(1 << (7 * position % 32))
        with pytest.raises(DamagedError):  # noqa: PT012
            again = Stack(tampered, seal=False)
            if np.array_equal(bob(again, task), pixels):
                again.check_seed(needed)
                pytest.fail("neither pixels nor seed tell the damage")
            raise DamagedError("told by the pixels")


# --- pixels of several colours ---


def test_slopes_come_back_from_a_model_that_fits_them() -> None:
    """Calm networks: every digit costs little, so that a wrong one would show at once."""
    model, pixels = tiny_model(256, calm=True, colours=3), smooth_pixels(3, 40, 5, 6)
    stack, task = Stack.seeded(SEED), task_of(model, pixels, 16)
    alice(stack, pixels, encode(model, pixels), task)
    assert np.array_equal(bob(stack, task), pixels)
    stack.check_seed(SEED)


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_on_the_stack_in_decoding_order(kind: tuple[int, int]) -> None:
    """Pixel by pixel, colour by colour, the leading digit first, all lanes of a digit side by side."""
    model, pixels = case_of(5, 3, 4, 3, kind)
    z = pseudo_random("order", 3 * model.arch.code, -60, 60).reshape(3, -1).astype(np.int16)
    stack = Stack.seeded(SEED)
    push_pixels(stack, pixels, z, model)
    frequencies = whole_image(model.networks, pixels, z)
    digits = [pixels] if kind[0] == 2 else [pixels // 16, pixels % 16]
    for row, column in np.ndindex(4, 3):
        for i, found in enumerate(frequencies):
            colour, digit = divmod(i, len(digits))
            assert stack.pop(found[:, row, column]).tolist() == digits[digit][:, row, column, colour].tolist()
    stack.check_seed(SEED)


@pytest.mark.parametrize("batch", [1, 12, 25, 1 << 20])
def test_batches_of_whole_images_change_no_bit(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, pixels = case_of(6, 7, 4, 3, (256, 3))
    z = np.zeros((7, model.arch.code), np.int16)
    stack = Stack.seeded(SEED)
    push_pixels(stack, pixels, z, model)
    monkeypatch.setattr("acncodec.coding.pixels.BATCH_PIXELS", batch)
    monkeypatch.setattr("acncodec.coding.pixels.PUSH_ROWS", batch)
    again = Stack.seeded(SEED)
    push_pixels(again, pixels, z, model)
    assert again.finish(SEED)[0].tolist() == stack.finish(SEED)[0].tolist()


GOLDEN = {  # the digest's beginning, words, and words of the seed
    (2, 1): ("4e90d8ba8a28b405", 40, 2),
    (256, 1): ("36839db163118820", 72, 2),
    (256, 3): ("47c9b1346aa1ef5c", 218, 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_golden_words_of_a_group(kind: tuple[int, int]) -> None:
    """The exact words of fixed images under fixed networks: a change here makes every archive unreadable."""
    levels, colours = kind
    model, shape = tiny_model(levels, colours=colours), (9, 4, 3, colours)
    pixels = pseudo_random("golden", int(np.prod(shape)), 0, levels - 1).astype(np.uint8).reshape(shape)
    stack = Stack.seeded(SEED)
    alice(stack, pixels, encode(model, pixels), task_of(model, pixels, 2))
    words, needed = stack.finish(SEED)
    digest = hashlib.sha256(words.astype("<u4").tobytes()).hexdigest()
    assert (digest[:16], len(words), needed) == GOLDEN[kind]
