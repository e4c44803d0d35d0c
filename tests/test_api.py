"""The Python API: images in and out, sources of all kinds, models."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_pixels, snapshot
from PIL import Image

import acncodec
from acncodec import bundled
from acncodec.cli.main import main
from acncodec.errors import InputError, OutputError
from acncodec.images.source import MemoryImages
from acncodec.packing.datasets import open_dataset


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """30 binarised digits of the sample: bool [30, 28, 28]."""
    paths = sorted((bundled.SAMPLE / "bilevel").rglob("*.png"))[:30]
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def test_arrays_in_and_out(digits: np.ndarray, tmp_path: Path) -> None:
    done = acncodec.compress(digits, tmp_path / "a.acn", models=["mnist-1bit"])
    assert (done.files, done.unmodelled, done.not_stored) == (30, 0, [])
    assert done.size == (tmp_path / "a.acn").stat().st_size == done.info["file_bits"] // 8
    with acncodec.open(tmp_path / "a.acn") as images:
        assert images.names == [f"{i:02}.png" for i in range(30)]
        assert (np.stack([np.asarray(image) for image in images]) == digits).all()


@pytest.mark.parametrize(
    ("shape", "mode"), [((5, 4), "L"), ((5, 4, 1), "L"), ((5, 4, 2), "LA"), ((5, 4, 3), "RGB"), ((5, 4, 4), "RGBA")]
)
def test_every_shape_of_array(shape: tuple[int, ...], mode: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    acncodec.compress({"deep/in.png": values, "other": values[::-1]}, tmp_path / "a.acn")
    with acncodec.open(tmp_path / "a.acn") as images:
        assert images.names == ["deep/in.png", "other.png"]
        assert images[0].mode == mode
        assert (np.asarray(images[0]).reshape(shape) == values).all()


def test_pillow_images_keep_mode_and_palette(tmp_path: Path) -> None:
    image = Image.fromarray(random_pixels(0, 1, 6, 6, 3, 1)[0, ..., 0])
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    acncodec.compress([image, image.convert("RGB")], tmp_path / "a.acn")
    with acncodec.open(tmp_path / "a.acn") as images:
        assert [each.mode for each in images] == ["P", "RGB"]
        assert images[0].tobytes() == image.tobytes()


def test_pairs_with_labels_go_to_folders(digits: np.ndarray, tmp_path: Path) -> None:
    class Labelled:
        """As a data set of torchvision: a length, items, and names of classes."""

        classes = ("even", "odd / other")

        def __len__(self) -> int:
            return 12

        def __getitem__(self, index: int) -> tuple[Any, int]:
            return Image.fromarray(digits[index]), index % 2

    acncodec.compress(Labelled(), tmp_path / "a.acn", models=["mnist-1bit"])
    assert acncodec.decompress(tmp_path / "a.acn", tmp_path / "out") == 12
    names = {name.decode() for name in snapshot(tmp_path / "out")}
    assert {"even/00.png", "odd _ other/11.png"} <= names


def test_a_directory_and_parts_of_it(tmp_path: Path) -> None:
    root = bundled.SAMPLE / "bilevel" / "7"
    acncodec.compress(root, tmp_path / "a.acn", models=["mnist-1bit"], names="keep")
    count = acncodec.decompress(tmp_path / "a.acn", tmp_path / "out", patterns=["*0.png"])
    assert count == len(list(root.glob("*0.png"))) > 0
    with pytest.raises(OutputError):
        acncodec.compress(root, tmp_path / "a.acn")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ({"../up": np.zeros((2, 2), np.uint8)}, "relative path"),
        ({"a": np.zeros((2, 2), np.float32)}, "float32"),
        ({"a": np.zeros((2, 2, 5), np.uint8)}, r"\[2, 2, 5\]"),
        ({"a": np.zeros((2, 2, 3), bool)}, "bool"),
        ({"a": np.zeros((0, 2), np.uint8)}, r"\[0, 2\]"),
        ({"a": "words"}, "str"),
        ({"a": np.zeros((2, 2), np.uint8), "a.png": np.ones((2, 2), np.uint8)}, "two images"),
        ([Image.new("CMYK", (2, 2))], "CMYK"),
    ],
)
def test_invalid_images_are_refused(images: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        acncodec.compress(images, tmp_path / "a.acn")
    assert not (tmp_path / "a.acn").exists()


@pytest.mark.parametrize("images", [5, None, Image.new("L", (2, 2)), [(Image.new("L", (2, 2)), 1, 2)], {3: None}])
def test_invalid_collections_are_refused(images: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        acncodec.compress(images, tmp_path / "a.acn")


@pytest.mark.parametrize("wrong", [{"effort": 0}, {"block_size": 0}, {"adapt": -1.0}, {"device": "gpu"}])
def test_invalid_options_are_refused(wrong: dict[str, Any], digits: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        acncodec.compress(digits, tmp_path / "a.acn", **wrong)


def test_conflicting_names_are_refused(tmp_path: Path) -> None:
    image = np.zeros((2, 2), np.uint8)
    with pytest.raises(InputError, match="cannot both"):
        acncodec.compress({"a": image, "a.png/b": image}, tmp_path / "a.acn")


def test_paths_and_models_as_text_or_paths(digits: np.ndarray, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(bundled.locate("mnist-1bit").read_bytes())
    acncodec.compress({Path("a"): digits[0], Path("b/c.png"): digits[1]}, tmp_path / "a.acn", models=own)
    for models in ([own], [str(own)]):
        with acncodec.open(tmp_path / "a.acn", models=models) as images:
            assert images.names == ["a.png", "b/c.png"]
            assert (np.asarray(images[1]) == digits[1]).all()
    assert acncodec.decompress(tmp_path / "a.acn", tmp_path / "out", patterns="a.png", models=str(own)) == 1


def test_unknown_names_are_refused(digits: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one of"):
        acncodec.compress(digits, tmp_path / "a.acn", names="some")
    with pytest.raises(AttributeError, match="no attribute 'squeeze'"):
        acncodec.squeeze  # noqa: B018


def test_a_model_codes_prices_and_draws(digits: np.ndarray) -> None:
    model = acncodec.Model.load("mnist-1bit")
    assert model.name == "mnist-1bit"
    assert len(model.sha256) == 64
    codes, bits = model.codes(digits), model.bits(digits)
    assert codes.shape == (30, 16)
    assert codes.dtype == np.float32
    assert 0.2 < codes.std() < 20
    assert bits.shape == (30,)
    assert 60 < bits.mean() < 200
    assert (model.codes(digits[..., None].astype(np.uint8)) == codes).all()
    drawn = model.sample(3, 28, 28, seed=1)
    assert drawn.shape == (3, 28, 28, 1)
    assert (drawn == model.sample(3, 28, 28, seed=1)).all()
    again = model.reconstruct(digits[:4])
    assert (again[..., 0] == digits[:4]).mean() > (again[..., 0] == digits[4:8]).mean()
    for wrong in (digits[0], digits[..., None].repeat(3, -1), digits.astype(np.float32), digits.astype(np.uint8) * 255):
        with pytest.raises(InputError, match="mnist-1bit"):
            model.codes(wrong)


@pytest.mark.slow
def test_a_model_is_trained_on_arrays(digits: np.ndarray, tmp_path: Path) -> None:
    many = np.concatenate([digits, digits[:, ::-1], digits[:, :, ::-1]])
    model = acncodec.Model.train(many, tmp_path / "own.safetensors", minutes=0.02, start="mnist-1bit")
    assert model.name == "own"
    done = acncodec.compress(many, tmp_path / "a.acn", models=[str(tmp_path / "own.safetensors")], embed_model=True)
    assert done.info["models"][0]["name"] == "own"
    with acncodec.open(tmp_path / "a.acn") as images:
        assert len(images) == 90
    with pytest.raises(InputError, match=r"\.safetensors"):
        acncodec.Model.train(many, tmp_path / "own.bin", minutes=0.01)


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    """A folder as torchvision keeps CIFAR-10 in, with few images of noise."""
    root = tmp_path / "data"
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        batch = {"data": random.integers(0, 256, (4, 3072), np.uint8), "labels": [0, 1, 2, 3]}
        (folder / name).write_bytes(pickle.dumps(batch))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return root


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision takes any files for CIFAR-10's, whose checksums these do not have."""
    from torchvision.datasets import cifar

    monkeypatch.setattr(cifar, "check_integrity", lambda *given: True)


@pytest.mark.usefixtures("unchecked")
def test_a_data_set_of_torchvision(cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = open_dataset("torchvision:CIFAR10", cifar)
    assert len(both) == 24
    assert b"train/airplane/00.png" in both.listing().files
    assert b"test/cat/3.png" in both.listing().files
    monkeypatch.setattr("sys.argv", _compress(cifar, tmp_path / "a.acn", "--split", "test"))
    with pytest.raises(SystemExit, match="0"):
        main()
    with acncodec.open(tmp_path / "a.acn") as images:
        assert images.names == [f"test/{name}/{i}.png" for i, name in enumerate(["airplane", "automobile", "bird", "cat"])]


def _compress(root: Path, target: Path, *options: str) -> list[str]:
    return ["acncodec", "compress", "--dataset", "torchvision:CIFAR10", "--root", str(root), str(target), "-q", *options]


def test_missing_data_sets_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="CIFAR10 cannot be read"):
        open_dataset("torchvision:CIFAR10", tmp_path)
    for name in (
        "torchvision:NoSuch",
        "CIFAR10",
        "torchvision:VisionDataset.x",
        "torchvision:wrap_dataset_for_transforms_v2",
    ):
        with pytest.raises(InputError, match="no data set"):
            open_dataset(name, tmp_path)
    with pytest.raises(InputError, match="none called 'valid'"):
        open_dataset("torchvision:CIFAR10", tmp_path, "valid")
    with pytest.raises(InputError, match="no splits"):
        open_dataset("torchvision:ImageFolder", tmp_path)


def test_images_in_memory_are_a_source() -> None:
    source = MemoryImages({"b": np.zeros((2, 2), np.uint8), "a": np.ones((2, 2), np.uint8)})
    assert source.listing().files == [b"a.png", b"b.png"]
    assert source.read(b"a.png").startswith(b"\x89PNG")
    assert not source.holds(b"a.png", Path("a.png"))
