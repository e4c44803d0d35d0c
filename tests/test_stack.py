"""The bits-back stack: pop inverts push, the seed is fixed for good, and stored words are enough to decode."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.coding.selftest import pseudo_random
from acncodec.coding.stack import Stack, seed_words
from acncodec.errors import DamagedError

SEED = 8


def table(seed: int, rows: int, symbols: int, top_bits: int) -> np.ndarray:
    """Frequencies int64 [rows, symbols] from 1 to 2^top_bits, spread over all magnitudes."""
    random = np.random.default_rng(seed)
    return np.exp2(random.uniform(0, top_bits, (rows, symbols))).astype(np.int64)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**32), st.integers(1, 40), st.integers(2, 300), st.integers(0, 28), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
def test_pop_undoes_push_bit_for_bit(blocks):
    stack = Stack.seeded(SEED)
    pushed, trail = [], []
    for seed, count, alphabet, top_bits, shared in blocks:
        frequencies = table(seed, 1 if shared else count, alphabet, top_bits)
        symbols = np.random.default_rng(seed + 1).integers(0, alphabet, count)
        trail.append(stack.bits)
        if shared:
            stack.push_shared(symbols, frequencies[0])
        else:
            stack.push(symbols, frequencies)
        pushed.append((symbols, frequencies, shared))
    for symbols, frequencies, shared in reversed(pushed):
        popped = stack.pop_shared(len(symbols), frequencies[0]) if shared else stack.pop(frequencies)
        assert popped.dtype == np.int32
        assert popped.tolist() == symbols.tolist()
        assert stack.bits == trail.pop()
    stack.check_seed(SEED)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(2, 100), st.integers(0, 28), st.booleans())
def test_push_undoes_pop_bit_for_bit(seed, count, alphabet, top_bits, shared):
    """Bits-back relies on this: popping symbols that were never pushed takes bits that pushing them restores."""
    frequencies = table(seed, count, alphabet, top_bits)
    stack = Stack.seeded(64)
    before = stack.bits
    symbols = stack.pop_shared(count, frequencies[0]) if shared else stack.pop(frequencies)
    assert stack.bits < before
    if shared:
        stack.push_shared(symbols, frequencies[0])
    else:
        stack.push(symbols, frequencies)
    assert stack.bits == before
    stack.check_seed(64)


def test_shared_frequencies_are_the_same_frequencies_for_each():
    frequencies, symbols = table(0, 1, 17, 20)[0], np.arange(17)
    one, each = Stack.seeded(SEED), Stack.seeded(SEED)
    one.push_shared(symbols, frequencies)
    each.push(symbols, np.tile(frequencies, (17, 1)))
    assert one.finish(SEED)[0].tolist() == each.finish(SEED)[0].tolist()


def test_the_order_of_pushes_is_that_of_single_pushes_from_the_last():
    frequencies, symbols = table(1, 9, 5, 12), np.array([0, 4, 3, 1, 1, 0, 2, 4, 2])
    at_once, singly = Stack.seeded(SEED), Stack.seeded(SEED)
    at_once.push(symbols, frequencies)
    for i in reversed(range(9)):
        singly.push(symbols[i : i + 1], frequencies[i : i + 1])
    assert at_once.finish(SEED)[0].tolist() == singly.finish(SEED)[0].tolist()
    assert singly.pop(frequencies[:1]).tolist() == [0]


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_short_seed_is_the_top_of_a_long_one(a, b):
    short, long = sorted((a, b))
    assert seed_words(long)[long - short :].tolist() == seed_words(short).tolist()


def test_seed_is_pinned():
    assert seed_words(0).shape == (0,)
    digest = hashlib.sha256(seed_words(1000).astype("<u4").tobytes()).hexdigest()
    assert digest == "2801978014439bd32b51c793beb42e205de527de1e484d3e34794f9696b4df36"


@pytest.mark.parametrize("pops", [0, 1, 10, 60])
@pytest.mark.parametrize("pushes", [1, 30])
def test_stored_words_are_enough_to_decode(pops, pushes):
    """Pops into the seed, then pushes: the untouched part of the seed is left out, and decoding ends at that part."""
    taken, given_ = table(2, pops, 30, 16), table(3, pushes, 30, 16)
    stack = Stack.seeded(100)
    symbols = stack.pop(taken) if pops else np.zeros(0, np.int32)
    stack.push(np.arange(pushes) % 30, given_)
    words, needed = stack.finish(100)
    assert 0 <= needed < 20
    assert len(words) < needed + 1 + 5 * pushes / 8 + 2
    again = Stack(words, seal=False)
    assert again.pop(given_).tolist() == (np.arange(pushes) % 30).tolist()
    if pops:
        again.push(symbols, taken)
    again.check_seed(needed)
    for wrong in {needed - 1, needed + 1, 100} - {needed, -1}:
        with pytest.raises(DamagedError):
            again.check_seed(wrong)


def test_an_empty_message_stores_next_to_none_of_the_seed():
    words, needed = Stack.seeded(12).finish(12)
    assert needed <= 2  # what the coder's state holds
    Stack(words, seal=False).check_seed(needed)


def test_a_word_that_equals_the_seeds_by_chance_is_stored():
    """Popped and pushed again it looks untouched, but decoding will pop it, so it must be stored."""
    frequencies = np.ones((1, 256))
    stack = Stack.seeded(20)
    drawn = [stack.pop(frequencies) for _ in range(40)]
    for symbol in reversed(drawn):
        stack.push(symbol, frequencies)
    words, needed = stack.finish(20)
    assert needed >= 10
    again = Stack(words, seal=False)
    assert [again.pop(frequencies).tolist() for _ in range(40)] == [symbol.tolist() for symbol in drawn]
    assert not again.ran_dry


def test_check_seed_raises_after_tampering():
    frequencies = table(4, 50, 60, 18)
    stack = Stack.seeded(SEED)
    drawn = stack.pop(frequencies[:6])
    stack.push(np.arange(50), frequencies)
    words, needed = stack.finish(SEED)
    assert needed > 0
    for position in range(len(words)):
        for bit in (0, 13, 31):
            tampered = words.copy()
            tampered[position] ^= np.uint32(1 << bit)
            try:
                again = Stack(tampered, seal=False)
                symbols = again.pop(frequencies)
                again.push(drawn, frequencies[:6])
                again.check_seed(needed)
            except DamagedError:
                continue
            # Decoding reached the seed, so the damage must have changed the symbols.
            assert symbols.tolist() != list(range(50))


@pytest.mark.parametrize("words", [[], [1], [2], [0xFFFFFFFF], [5, 7], [5, 7, 9]])
def test_check_seed_refuses_other_words(words):
    stack = Stack(np.array(words, dtype=np.uint32), seal=False)
    with pytest.raises(DamagedError):
        stack.check_seed(3)


def test_words_that_no_coder_returns_are_refused():
    with pytest.raises(DamagedError):
        Stack(np.array([1, 0], dtype=np.uint32), seal=False)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("words", [0, 1, 2, 10])
def test_the_first_pop_below_the_bottom_is_detected(words, shared):
    stack, popped = Stack.seeded(words), 0
    start = stack.bits
    assert not stack.ran_dry
    while not stack.ran_dry:
        stack.pop_shared(1, np.ones(256)) if shared else stack.pop(np.ones((1, 256)))
        popped += 1
        assert stack.bits == pytest.approx(start - 8 * popped, abs=0.01) or stack.ran_dry
    assert max(1, 4 * words - 4) <= popped <= max(1, 4 * words - 3)  # one word stays in the coder's state
    stack.push_shared(np.zeros(100, np.int32), np.ones(256))
    assert stack.ran_dry


def test_bits_grow_by_the_information_of_what_is_pushed():
    stack = Stack.seeded(SEED)
    before = stack.bits
    stack.push_shared(np.zeros(1000, np.int32), np.array([3.0, 1.0]))
    stack.push_shared(np.ones(100, np.int32), np.array([3.0, 1.0]))
    expected = 1000 * np.log2(4 / 3) + 200
    assert stack.bits - before == pytest.approx(expected, abs=0.1)


def test_golden_words():
    """The exact words of a fixed push sequence: a change here makes every archive unreadable."""
    stack = Stack.seeded(3)
    stack.push(np.array([0, 1, 2, 3, 4]), pseudo_random("golden", 25, 1, 1 << 28).reshape(5, 5))
    stack.push_shared(np.array([3, 1, 0, 2, 2]), np.array([1 << 28, 1, 77, 4096]))
    stack.push(np.array([199]), np.arange(1, 201)[None])
    stack.pop_shared(2, np.array([1, 2, 3, 4]))
    words, needed = stack.finish(3)
    assert words.tolist() == [3809342231, 611976222, 3170893560, 2951028133, 18]
    assert needed == 1
