"""Training sessions: initial model, checkpoints, compilation, and the resulting model file."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import architecture, save_image, tiny_model
from trainings import SMALL_ARCH, run, stripes

from acncodec import bundled
from acncodec.analysis.saving import Saving, saving
from acncodec.errors import InputError, OutputError
from acncodec.images.raster import Layout
from acncodec.images.source import Folder
from acncodec.nets.model import Model
from acncodec.training.compiler import COMPILED_MINUTES, worth_compiling
from acncodec.training.data import TrainingSet, split
from acncodec.training.session import TrainingRequest, train
from acncodec.training.start import LEAST_BATCH, choose_batch
from acncodec.training.trainer import ALONE, BATCH, CPU, Budget, Report, Trainer


class Watcher:
    """Records the reports of a training."""

    def __init__(self) -> None:
        self.started: list[tuple[Model | None, int]] = []
        self.reports: list[Report] = []
        self.looks: list[tuple[float, float]] = []

    def begin(self, start: Model | None, batch: int) -> None:
        self.started.append((start, batch))

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def held_out(self, residual: float, kl: float) -> None:
        self.looks.append((residual, kl))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Bilevel images, for which small networks are made."""
    monkeypatch.setattr("acncodec.training.session.ARCHITECTURES", {Layout.BILEVEL: {"levels": 2, **SMALL_ARCH}})
    for i, image in enumerate(stripes(100)):
        save_image(tmp_path / "images" / f"{i}.png", image, "1")
    return tmp_path / "images"


def test_a_model_of_other_images_is_no_initial_model(folder: Path, tmp_path: Path) -> None:
    request = TrainingRequest(Folder(folder), tmp_path / "m.safetensors", Budget(steps=1), start=tiny_model(256))
    with pytest.raises(InputError, match="images of another kind"):
        train(request, Watcher())
    assert not request.output.exists()


def test_session_writes_a_model_and_removes_its_checkpoint(folder: Path, tmp_path: Path) -> None:
    request, watcher = TrainingRequest(Folder(folder), tmp_path / "m.safetensors", Budget(steps=3)), Watcher()
    done = train(request, watcher)
    model = bundled.load(request.output)
    assert (model.name, model.plain, model.size) == ("m", done.model.plain, done.model.size)
    assert watcher.started == [(None, BATCH)]
    assert watcher.reports
    assert watcher.looks == [(done.residual, done.kl)]
    assert not request.checkpoint.exists()
    with pytest.raises(OutputError, match="exists already"):
        train(request, watcher)
    with pytest.raises(InputError, match="checkpoint"):
        train(replace(request, resume=True, overwrite=True), watcher)


def test_grey_images_make_a_model_of_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    architectures = {Layout.BILEVEL: {"levels": 2, **SMALL_ARCH}, Layout.GREY: {"levels": 256, **SMALL_ARCH}}
    monkeypatch.setattr("acncodec.training.session.ARCHITECTURES", architectures)
    for i, image in enumerate(stripes(100, levels=256)):
        save_image(tmp_path / "images" / f"{i}.png", image, "L")
    request = TrainingRequest(Folder(tmp_path / "images"), tmp_path / "m.safetensors", Budget(steps=3), binarised=True)
    done = train(request, Watcher())
    assert done.model.arch.levels == 2
    assert done.model.record["binarised"] is True
    assert {int(group.max()) for group in done.data.held_out} == {1}


def test_only_grey_images_can_be_binarised(folder: Path, tmp_path: Path) -> None:
    request = TrainingRequest(Folder(folder), tmp_path / "m.safetensors", Budget(steps=3), binarised=True)
    with pytest.raises(InputError, match="only 8-bit grey"):
        train(request, Watcher())


@pytest.mark.slow
def test_the_best_model_is_the_initial_model(folder: Path, tmp_path: Path) -> None:
    """Not one for other images, nor one under which these images are larger."""
    own = train(TrainingRequest(Folder(folder), tmp_path / "own.safetensors", Budget(steps=60)), Watcher()).model
    watcher = Watcher()
    models = [tiny_model(2), own, tiny_model(256)]
    done = train(TrainingRequest(Folder(folder), tmp_path / "m.safetensors", Budget(steps=1), models=models), watcher)
    assert watcher.started == [(own, BATCH)]
    assert done.model.record["from"] == own.sha256.hex()
    assert done.model.arch == own.arch
    watcher = Watcher()
    train(TrainingRequest(Folder(folder), tmp_path / "n.safetensors", Budget(steps=1), models=[tiny_model(256)]), watcher)
    assert watcher.started == [(None, BATCH)]


def test_an_interrupted_session_resumes_exactly(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acncodec.training.session.CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr("acncodec.training.session.LOOKS", 1e9)
    monkeypatch.setattr(Trainer.run, "__defaults__", (0.0,))
    whole = train(TrainingRequest(Folder(folder), tmp_path / "whole.safetensors", Budget(steps=6)), Watcher())

    class Stop(Watcher):
        def held_out(self, residual: float, kl: float) -> None:
            super().held_out(residual, kl)
            if len(self.looks) == 4:
                raise KeyboardInterrupt

    request = TrainingRequest(Folder(folder), tmp_path / "whole-.safetensors", Budget(steps=6))
    with pytest.raises(KeyboardInterrupt):
        train(request, Stop())
    with pytest.raises(OutputError, match="unfinished training"):
        train(request, Watcher())
    again = train(replace(request, resume=True), Watcher())
    assert (again.residual, again.kl) == (whole.residual, whole.kl)
    for first, second in zip(again.model.networks.parameters(), whole.model.networks.parameters(), strict=True):
        assert torch.equal(first, second)


def test_short_trainings_have_smaller_batches() -> None:
    data, arch = split(stripes(200)), architecture(2, 1, **SMALL_ARCH)
    assert choose_batch(arch, data, 1e-6, None, ALONE, CPU) == LEAST_BATCH
    assert choose_batch(arch, data, 1e6, None, ALONE, CPU) == BATCH


@pytest.mark.slow
def test_savings_of_a_model(folder: Path, tmp_path: Path) -> None:
    done = train(TrainingRequest(Folder(folder), tmp_path / "m.safetensors", Budget(steps=200)), Watcher())
    value = saving(done, [tiny_model(2), tiny_model(256), done.model])
    assert value.images == 100
    assert value.bits == pytest.approx((done.residual + done.kl) / np.log(2))
    other = Saving(100, 80.0, "zip", 120.0, 5000)
    assert (other.saved_bytes, other.pays_from) == (500, 1000)
    assert Saving(100, 80.0, "zip", 79.0, 5000).pays_from is None
    assert tiny_model(2).name not in value.other  # not trained on stripes, which LZMA compresses well


def test_long_trainings_of_one_size_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    one, several = split(stripes(200)), split([*stripes(100), *stripes(100, 5)])
    made: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: made.append(function) or function)
    assert worth_compiling(one, 30, CPU)
    assert not worth_compiling(several, 30, CPU)
    assert not worth_compiling(one, 5, CPU)
    assert not worth_compiling(one, None, CPU)
    run(Trainer(architecture(2, 1, **SMALL_ARCH), one, Budget(steps=1), compiled=True))
    assert len(made) == 2

    def no_compiler(function: object, **options: object) -> object:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", no_compiler)
    assert not worth_compiling(one, 30, CPU)


def test_a_compiler_that_loses_gradients_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As PyTorch 2.11 did: trainings ran without learning."""

    def losing(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: function(x).detach() + 0 * x

    monkeypatch.setattr(torch, "compile", losing)
    assert not worth_compiling(split(stripes(200)), 30, CPU)


@pytest.mark.slow
def test_a_training_leaves_global_state_unchanged(tmp_path: Path) -> None:
    """Generators, warnings and loggers belong to whoever calls."""
    data = TrainingSet([torch.zeros(8, 6, 6, 1, dtype=torch.uint8)], [])
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    filters, level = list(warnings.filters), logging.getLogger("torch.utils.cpp_extension").level
    for _ in Trainer(architecture(2, 1), data, Budget(steps=2), batch=4).run(lambda report: None):
        pass
    worth_compiling(data, COMPILED_MINUTES, torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected)
    assert list(warnings.filters) == filters
    assert logging.getLogger("torch.utils.cpp_extension").level == level
