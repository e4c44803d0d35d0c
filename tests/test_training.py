"""Training: exact resume, neighbours that are never the item itself, and a model file that codes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acncodec.errors import InputError, OutputError
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import parse_model, read_model
from acncodec.training.checkpoint import load_checkpoint, save_checkpoint
from acncodec.training.data import TrainingSet, split
from acncodec.training.export import export
from acncodec.training.session import train
from acncodec.training.trainer import BATCH, NEIGHBOURS, Budget, Trainer

SMALL = {"channels": 4, "blocks": 2, "first": 3, "features": 4, "map_planes": 2, "map_hidden": 8, "map_features": 2}
SMALL_ARCH = {**SMALL, "encoder_features": 2, "code": 3, "hidden": 8, "mixture": 2}


def stripes(count: int, side: int = 8, levels: int = 2) -> list[np.ndarray]:
    """Images with something to learn: one bright row or column each."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        image = np.zeros((side, side), np.uint8)
        index = rng.integers(side)
        image[(index, slice(None)) if rng.random() < 0.5 else (slice(None), index)] = levels - 1
        images.append(image)
    return images


def trainer(steps: int, levels: int = 2, data: TrainingSet | None = None) -> Trainer:
    data = data or split(stripes(200, levels=levels), levels)
    return Trainer(Architecture(levels=levels, **SMALL_ARCH), data, Budget(steps=steps))


def run(t: Trainer) -> list[float]:
    losses: list[float] = []
    for _ in t.run(lambda r: losses.append(r.residual + r.kl), every=0.0):
        pass
    return losses


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_resume_is_exact(stop: int, tmp_path: Path) -> None:
    whole = trainer(8)
    run(whole)
    first = trainer(8)
    for _ in first.run(lambda r: None, every=0.0):
        if first.step == stop:
            break
    save_checkpoint(tmp_path / "c", first.state(), {"a": 1})
    tensors, settings = load_checkpoint(tmp_path / "c")
    assert settings == {"a": 1}
    second = trainer(8)
    second.load_state(tensors)
    assert second.step == stop
    run(second)
    expected, got = whole.state(), second.state()
    assert expected.keys() == got.keys()
    for key in expected:
        if key != "counters":
            assert torch.equal(expected[key], got[key]), key
    assert torch.equal(expected["counters"][:3], got["counters"][:3])  # the fourth is the time it took


def test_training_learns() -> None:
    losses = run(trainer(60))
    assert losses[-1] < 0.7 * losses[0]


def test_neighbour_is_never_the_item_itself() -> None:
    t = trainer(1)
    codes = torch.arange(3 * 20, dtype=torch.int8).view(20, 3)  # all distinct
    for _ in range(20):
        parents = t._neighbours(codes, torch.arange(20))
        distance = (parents - codes.float()).square().sum(1)
        assert (distance > 0).all()
        assert (distance <= 3 * (3 * NEIGHBOURS) ** 2).all()
    equal = torch.zeros(20, 3, dtype=torch.int8)  # ties may hide the item's own entry
    assert t._neighbours(equal, torch.arange(20)).shape == (20, 3)


@pytest.mark.parametrize("levels", [2, 256])
def test_export_is_a_model(levels: int) -> None:
    t = trainer(3, levels)
    run(t)
    data = export(t, "stripes", {"data": "stripes"})
    assert data == export(t, "stripes", {"data": "stripes"})
    model = parse_model(data)
    assert (model.name, model.arch, model.record["images"]) == ("stripes", t.nets.arch, t.data.count)
    assert model.networks.exact


def test_batches_are_an_epoch_of_equal_sizes() -> None:
    data = split([*stripes(300, 8), *stripes(150, 5)], 2)
    batches = data.batches(BATCH, torch.Generator().manual_seed(1))
    for group in (0, 1):
        indices = torch.cat([part for g, part in batches if g == group])
        assert len(indices.unique()) == len(indices) > len(data.train[group]) - BATCH


def test_held_out_images_are_not_trained_on() -> None:
    images = [np.full((4, 4), i, np.uint8) for i in range(200)]
    data = split(images, 256)
    train_values = set(data.train[0][:, 0, 0].tolist())
    held_out_values = set(data.held_out[0][:, 0, 0].tolist())
    assert not train_values & held_out_values
    assert len(train_values | held_out_values) == 200


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InputError, match="50 images"):
        split(stripes(5), 2)


def test_session_writes_a_model_and_removes_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acncodec.training.session.SIZES", {2: SMALL_ARCH, 256: SMALL_ARCH})
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(stripes(100)):
        Image.fromarray(image.astype(bool)).save(folder / f"{i}.png")
    output = tmp_path / "m.safetensors"
    figures: list[tuple[float, float]] = []
    arguments = {"report": lambda r: None, "held_out": lambda *nats: figures.append(nats)}
    train(folder, output, Budget(steps=3), resume=False, overwrite=False, **arguments)
    model = read_model(output)
    assert model.name == "m"
    assert figures
    assert not output.with_suffix(".checkpoint").exists()
    with pytest.raises(OutputError, match="exists already"):
        train(folder, output, Budget(steps=3), resume=False, overwrite=False, **arguments)
    with pytest.raises(InputError, match="checkpoint"):
        train(folder, output, Budget(steps=3), resume=True, overwrite=True, **arguments)
