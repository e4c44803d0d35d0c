"""`acncodec.open` and `AcnDataset`: image sequence and torch dataset, in this process and in DataLoader workers."""

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import acncodec
from acncodec import bundled
from acncodec.archive import store
from acncodec.errors import DamagedError, InputError
from acncodec.packing.compress import Options, compress


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A directory of 12 sample digits, a JPEG and a text file, and its archive in blocks of 5."""
    root = tmp_path_factory.mktemp("access") / "images"
    (root / "digits").mkdir(parents=True)
    for path in sorted((bundled.SAMPLE / "grey").rglob("*.png"))[::18]:
        (root / "digits" / path.name).write_bytes(path.read_bytes())
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(root / "photo.jpg")
    (root / "words.txt").write_text("no image")
    target = root.parent / "images.acn"
    models = [bundled.find("mnist-8bit")]
    compress(root, target, models, Options(block=5), lambda *_: lambda _: None)
    return root, target


def as_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def test_the_sequence_has_every_image_and_nothing_else(archive: tuple[Path, Path]) -> None:
    root, target = archive
    with acncodec.open(target) as images:
        assert images.names == sorted(str(p.relative_to(root)) for p in root.rglob("*.*g"))
        assert len(images) == len(images.names) > 10
        for name, image in zip(images.names, images, strict=True):
            with Image.open(root / name) as original:
                assert (image.format, image.mode, image.size) == (original.format, original.mode, original.size)
                assert image.tobytes() == original.tobytes()
        assert [i.tobytes() for i in images[1:3]] == [images[1].tobytes(), images[2].tobytes()]
        assert images[-1].tobytes() == images[len(images) - 1].tobytes()
        with pytest.raises(IndexError):
            images[len(images)]


def test_files_that_are_no_images_are_not_unpacked_for_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "zeros.bin").write_bytes(bytes(5_000_000))
    compress(tmp_path / "in", tmp_path / "a.acn", [], Options(), lambda *_: lambda _: None)
    monkeypatch.setattr(store, "WHOLE_BYTES", 1000)
    steps: list[int] = []
    read = store._Body.read
    monkeypatch.setattr(store._Body, "read", lambda self, count: steps.append(count) or read(self, count))
    with acncodec.open(tmp_path / "a.acn") as images:
        assert len(images) == 0
    assert sum(steps) < 2 * store.STEP_BYTES


def test_damage_of_stored_files_is_not_taken_for_files_without_images(archive: tuple[Path, Path], tmp_path: Path) -> None:
    data = bytearray(archive[1].read_bytes())
    data[-10] ^= 1  # in the last section, of stored files
    (tmp_path / "a.acn").write_bytes(data)
    with pytest.raises(DamagedError, match="FILE"):
        acncodec.open(tmp_path / "a.acn")


def test_a_missing_archive_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        acncodec.open(tmp_path / "none.acn")


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_the_dataset_is_the_same_in_workers(archive: tuple[Path, Path], method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    dataset = acncodec.AcnDataset(archive[1], transform=as_array)
    dataset[0]  # so that a forked worker finds an open file
    here = [dataset[i] for i in range(len(dataset))]
    loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context=method)
    there = [torch.as_tensor(item).numpy() for item in loader]
    assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))


def test_the_dataset_can_be_pickled_while_open(archive: tuple[Path, Path]) -> None:
    dataset = acncodec.AcnDataset(archive[1])
    assert pickle.loads(pickle.dumps(dataset))[3].tobytes() == dataset[3].tobytes()
