"""Alice and Bob: he gets her pixels, and the stack is back where she started, bit for bit."""

import numpy as np
import pytest
from conftest import random_pixels, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.coding.protocol import SeedExhaustedError, Task, alice, bob, encode
from acncodec.coding.stack import Stack
from acncodec.errors import DamagedError
from acncodec.planning.schedule import Schedule

SEED = 400


def task_of(model, pixels, lanes=1, conditional=True, advance=lambda done: None):
    count, height, width = pixels.shape
    return Task(model, Schedule(count, min(lanes, count)), height, width, conditional, advance)


CASES = {
    "seed": st.integers(0, 2**32),
    "count": st.integers(1, 12),
    "lanes": st.integers(1, 6),
    "height": st.integers(1, 5),
    "width": st.integers(1, 5),
    "conditional": st.booleans(),
    "levels": st.sampled_from([2, 256]),
}


@settings(max_examples=25, deadline=None)
@given(**CASES)
def test_bob_gets_the_pixels_and_gives_all_bits_back(seed, count, lanes, height, width, conditional, levels):
    model = tiny_model(levels)
    pixels = random_pixels(seed, count, height, width, levels)
    stack, seen = Stack.seeded(SEED), []
    task = task_of(model, pixels, lanes, conditional, lambda done: seen.append((done, stack.bits)))
    start = stack.bits
    alice(stack, pixels, encode(model, pixels), task)
    going, seen[:] = seen[:], []
    assert sum(done for done, _ in going) == count
    assert np.array_equal(bob(stack, task), pixels)
    # The mirror: after each of Bob's steps the stack is as long as before Alice's step for the same images.
    assert [done for done, _ in seen] == [done for done, _ in reversed(going)]
    assert [bits for _, bits in seen] == [*(bits for _, bits in going[-2::-1]), start]
    stack.check_seed(SEED)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.tuples(*(CASES[k] for k in ("seed", "count", "lanes", "levels"))), min_size=2, max_size=4), st.booleans()
)
def test_several_groups_share_one_stack_and_its_stored_words(groups, conditional):
    jobs = []
    for number, (seed, count, lanes, levels) in enumerate(groups):
        pixels = random_pixels(seed, count, 1 + number, 4 - number, levels)
        jobs.append((pixels, task_of(tiny_model(levels), pixels, lanes, conditional)))
    stack = Stack.seeded(SEED)
    for pixels, task in reversed(jobs):
        alice(stack, pixels, encode(task.model, pixels), task)
    words, needed = stack.finish(SEED)
    stack = Stack(words, seal=False)
    for pixels, task in jobs:
        assert np.array_equal(bob(stack, task), pixels)
    stack.check_seed(needed)


@pytest.mark.parametrize("levels", [2, 256])
@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("lanes", [1, 8])
def test_a_seed_too_short_is_told_and_never_makes_a_wrong_stream(levels, conditional, lanes):
    model = tiny_model(levels, components=64)
    pixels = random_pixels(lanes, 24 if lanes > 1 else 6, 1, 1, levels)
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


def test_bits_back_for_components_cannot_run_dry_unseen():
    """With hardly a bit of latent and pixel in between, popping the components is what reaches the bottom."""
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


def test_the_seed_does_not_matter_beyond_its_top():
    """More seed than needed leaves the stored words as they are."""
    model, pixels = tiny_model(2), random_pixels(0, 9, 3, 3, 2)
    stored = []
    for seed in (100, 300):
        stack = Stack.seeded(seed)
        alice(stack, pixels, encode(model, pixels), task_of(model, pixels, 2))
        words, needed = stack.finish(seed)
        stored.append((words.tolist(), needed))
    assert stored[0] == stored[1]


@pytest.mark.parametrize("conditional", [True, False])
def test_tampered_words_never_give_the_pixels_and_the_seed(conditional):
    model, pixels = tiny_model(2), random_pixels(0, 6, 2, 3, 2)
    task = task_of(model, pixels, 2, conditional)
    stack = Stack.seeded(SEED)
    alice(stack, pixels, encode(model, pixels), task)
    words, needed = stack.finish(SEED)
    for position in range(len(words)):
        tampered = words.copy()
        tampered[position] ^= np.uint32(1 << (7 * position % 32))
        with pytest.raises(DamagedError):  # noqa: PT012
            again = Stack(tampered, seal=False)
            assert not np.array_equal(bob(again, task), pixels) or again.check_seed(needed)
            raise DamagedError("told by the pixels")
