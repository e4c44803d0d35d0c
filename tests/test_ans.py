"""The compiled ANS coder equals constriction's, word for word and state for state."""

import numpy as np
import pytest
from constriction import stream
from hypothesis import given, settings
from hypothesis import strategies as st

from acncodec.coding.ans import Coder, ConstrictionCoder, coder
from acncodec.coding.frequencies import digits
from acncodec.coding.stack import seed_words
from acncodec.exact.grids import LATENT_LEVELS
from acncodec.kernel.coder import CompiledCoder
from acncodec.kernel.compiled import native

pytestmark = pytest.mark.skipif(native is None, reason="the compiled module was not built")
ALPHABETS = sorted({2, 3, 5, LATENT_LEVELS, *digits(2), *digits(256)})


def both(words: np.ndarray) -> tuple[Coder, Coder]:
    return CompiledCoder(words), ConstrictionCoder(words)


def assert_same(ours: Coder, theirs: Coder) -> None:
    assert ours.position == theirs.position
    assert ours.words().tolist() == theirs.words().tolist()


def frequencies(random: np.random.Generator, shape: tuple[int, ...], top_bits: int) -> np.ndarray:
    """Frequencies of all magnitudes up to 2^top_bits, some of them 0 but never all: float64 of this shape."""
    found = np.floor(np.exp2(random.uniform(-1, top_bits, shape)))
    found[..., 0] = np.maximum(found[..., 0], 1)
    return found


def one_call(ours: Coder, theirs: Coder, random: np.random.Generator, count: int, alphabet: int, top_bits: int) -> None:
    """The same push or pop, of random symbols under random frequencies, to both."""
    shape = (alphabet,) if random.random() < 0.3 else (count, alphabet)
    under = frequencies(random, shape, top_bits)
    if random.random() < 0.5:
        symbols = random.integers(0, alphabet, count).astype(np.int32)
        for each in (ours, theirs):
            each.push(symbols, under)
    else:
        assert ours.pop(count, under).tolist() == theirs.pop(count, under).tolist()


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from(ALPHABETS), st.integers(0, 44)), min_size=1, max_size=6),
)
def test_any_calls(seed: int, words: int, calls: list[tuple[int, int, int]]) -> None:
    """From any stack, an empty one too, and beyond its bottom."""
    random = np.random.default_rng(seed)
    ours, theirs = both(random.integers(1, 1 << 32, words).astype(np.uint32))
    for call in calls:
        one_call(ours, theirs, random, *call)
        assert_same(ours, theirs)


@pytest.mark.parametrize("words", [[], [1], [0, 1], [5, 0, 0, 1], [1 << 31], [7, 9, 0xFFFFFFFF]])
def test_words_are_loaded_and_stored_alike(words: list[int]) -> None:
    ours, theirs = both(np.array(words, np.uint32))
    assert_same(ours, theirs)
    assert ours.words().tolist() == words


def test_a_seed_is_sealed_as_constriction_does() -> None:
    for count in (0, 1, 2, 9):
        sealed = CompiledCoder(np.append(seed_words(count), 1).astype(np.uint32))
        assert sealed.words().tolist() == stream.stack.AnsCoder(seed_words(count), seal=True).get_compressed().tolist()


def test_invalid_input_is_refused() -> None:
    for make in (CompiledCoder, ConstrictionCoder):
        with pytest.raises(ValueError):
            make(np.array([1, 0], np.uint32))
    ours = CompiledCoder(seed_words(4))
    before = ours.words().tolist()
    even = np.ones((1, 4))
    for symbol, under in ((4, even), (-1, even), (0, np.zeros((1, 4))), (4, even[0]), (0, np.ones((1, 1)))):
        with pytest.raises(ValueError):
            ours.push(np.array([symbol], np.int32), under)
    for under in (np.full((1, 4), np.nan), np.zeros(4), np.full((1, 4), -1.0)):
        with pytest.raises(ValueError):
            ours.pop(1, under)
    assert ours.words().tolist() == before


def test_the_compiled_coder_is_used_where_it_is_built() -> None:
    assert isinstance(coder(seed_words(2)), CompiledCoder)


@pytest.mark.slow
@pytest.mark.parametrize("alphabet", [2, 16, LATENT_LEVELS])
def test_millions_of_symbols(alphabet: int) -> None:
    random = np.random.default_rng(alphabet)
    ours, theirs = both(seed_words(1 << 17))
    for top_bits in range(1, 41):
        one_call(ours, theirs, random, 1 << 16 if alphabet < 100 else 1 << 13, alphabet, top_bits)
        assert ours.position == theirs.position
    assert_same(ours, theirs)
