"""Shuffled streams of images: each image once, reproducible by seed, shared among workers, resumable."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_pngs, packed
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

import acncodec
from acncodec.errors import InputError
from acncodec.nets.model import Model
from acncodec.reading.shuffle import shuffled

COUNT, BLOCK = 40, 6


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 5), st.integers(0, 2**32))
def test_every_image_comes_once_within_the_buffer(sizes: list[int], buffer: int, seed: int) -> None:
    opened: list[int] = []

    def size(block: int) -> int:
        opened.append(block)
        return sizes[block]

    found = list(shuffled(range(len(sizes)), size, buffer, np.random.default_rng(seed)))
    assert sorted(found) == [(block, index) for block, size in enumerate(sizes) for index in range(size)]
    assert opened == list(range(len(sizes)))
    pool: set[int] = set()  # blocks that were begun and are not used up
    left = Counter(block for block, _ in found)
    for block, _ in found:
        pool.add(block)
        held = sum(left[each] for each in pool)
        assert held <= buffer * max(sizes)
        left[block] -= 1
        pool -= {block} if not left[block] else set()


def test_neighbours_are_separated() -> None:
    order = [block * 100 + index for block, index in shuffled(range(20), lambda _: 100, 4, np.random.default_rng(0))]
    steps = np.abs(np.diff(order))
    assert np.median(steps) > 50
    assert np.mean(steps == 1) < 0.02


def pixels(image: Image.Image) -> bytes:
    return image.tobytes()


@pytest.fixture
def dataset(tmp_path: Path, models: list[Model], model_files: list[Path], free_networks: None) -> acncodec.AcnDataset:
    make_pngs(tmp_path / "in", COUNT, 6, 6, "L")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    return acncodec.AcnDataset(packed(tmp_path / "in", models, block=BLOCK), pixels, model_files)


def test_streams_shuffle_by_seed_and_epoch(dataset: acncodec.AcnDataset) -> None:
    plain = list(dataset.stream())
    assert sorted(plain) == sorted(dataset[i] for i in range(COUNT))
    stream = dataset.stream(shuffle=True, seed=3)
    first, again = list(stream), list(stream)
    assert first == again != plain
    assert Counter(first) == Counter(plain)
    stream.set_epoch(1)
    assert list(stream) != first
    assert list(dataset.stream(shuffle=True, seed=4)) != first
    assert list(dataset.stream(shuffle=True, seed=3, buffer=1)) != first


def test_shards_are_disjoint_and_complete(dataset: acncodec.AcnDataset) -> None:
    for workers in (0, 2):
        loader = DataLoader(dataset.stream(shuffle=True, seed=1), batch_size=None, num_workers=workers)
        assert Counter(loader) == Counter(dataset[i] for i in range(COUNT))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("done", [0, 1, BLOCK, 25, COUNT])
def test_streams_resume_at_their_position(dataset: acncodec.AcnDataset, shuffle: bool, done: int) -> None:
    stream = dataset.stream(shuffle=shuffle, seed=5, buffer=2)
    stream.set_epoch(2)
    whole, going = list(stream), iter(stream)
    assert [next(going) for _ in range(done)] == whole[:done]
    state = pickle.loads(pickle.dumps(stream.state_dict()))
    other = dataset.stream(shuffle=shuffle, seed=5, buffer=2)
    other.load_state_dict(state)
    assert list(other) == whole[done:]
    assert list(other) == whole  # the next time from the start
    assert list(stream) == whole  # as does one that was left in the middle


def test_yielded_blocks_are_not_decoded_again(dataset: acncodec.AcnDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = dataset.stream()
    stream.load_state_dict({"epoch": 0, "done": 2 * BLOCK})
    decoded: list[int] = []
    images = dataset.images
    monkeypatch.setattr(images, "block", lambda block, *how, real=images.block: decoded.append(block) or real(block, *how))
    assert len(list(stream)) == COUNT - 2 * BLOCK
    assert decoded == list(range(2, len(decoded) + 2))


def test_batches_of_tensors(dataset: acncodec.AcnDataset) -> None:
    dataset.transform = lambda image: torch.from_numpy(np.asarray(image).copy())
    batches = list(DataLoader(dataset.stream(shuffle=True), batch_size=7))
    assert sum(len(batch) for batch in batches) == COUNT


def test_targets_come_from_paths(dataset: acncodec.AcnDataset) -> None:
    plain = [dataset[i] for i in range(COUNT)]
    dataset.target = len
    assert dataset[7] == (plain[7], len(dataset.names[7]))
    assert sorted(dataset.stream(shuffle=True)) == sorted(zip(plain, map(len, dataset.names), strict=True))


def test_a_buffer_is_not_empty(dataset: acncodec.AcnDataset) -> None:
    with pytest.raises(InputError, match="at least one block"):
        dataset.stream(shuffle=True, buffer=0)
