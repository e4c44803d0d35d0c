"""Training steps as CUDA graphs run them: recorded once for each size of images, and replayed at the same addresses."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import architecture, needs_cuda
from tapes import Tape, TapeRecorder
from torch._subclasses.fake_tensor import FakeTensorMode
from trainings import SMALL_ARCH, run, stripes, trainer

from acncodec.exact.precision import TF32_MAX
from acncodec.nets import planes
from acncodec.nets.architecture import CANDIDATES, OFFERS
from acncodec.nets.graphs import WARM_UP, Gradual, Recorder
from acncodec.nets.graphs import recorder as make_recorder
from acncodec.nets.networks import Networks
from acncodec.nets.planes import plane_count
from acncodec.nets.product import Input
from acncodec.training import step as step_module
from acncodec.training.data import TrainingSet, binarise, split
from acncodec.training.objective import Objective
from acncodec.training.step import fits_tf32, neighbours
from acncodec.training.trainer import Budget, Report, Trainer

STEPS = 14
QUICK = ("bits", "binarised", "copies")


def greys(count: int) -> list[np.ndarray]:
    return [np.minimum(image, 1) * np.uint8(200) for image in stripes(count)]


DATA: dict[str, Callable[[], TrainingSet]] = {
    "bits": lambda: split([*stripes(150), *stripes(90, 5)]),
    "binarised": lambda: split(greys(150), binarised=True),
    "grey": lambda: split(stripes(150, levels=256)),
    "colour": lambda: split(stripes(150, levels=256, colours=3)),
    "copies": lambda: split(stripes(90, levels=256, colours=4)),
}
ARCHITECTURES = {
    "bits": architecture(2, 1, **SMALL_ARCH),
    "binarised": architecture(2, 1, **SMALL_ARCH),
    "grey": architecture(256, 1, **SMALL_ARCH),
    "colour": architecture(256, 3, **SMALL_ARCH),
    "copies": architecture(256, 4, logistics=18, centres=5, candidates=CANDIDATES, **SMALL_ARCH),
}


@pytest.fixture(autouse=True)
def as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device's search for neighbours, and scales chosen anew often enough to be recorded, too."""
    monkeypatch.setattr(step_module, "_nearest_by_faiss", step_module._nearest_by_distances)
    monkeypatch.setattr("acncodec.training.trainer.RESCALE_EVERY", 2)


def trained(kind: str, by: Recorder, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, torch.Tensor], list[float]]:
    """State and costs of a training whose steps this recorder runs."""
    monkeypatch.setattr(step_module, "recorder", lambda device, graphs: by)
    t = Trainer(ARCHITECTURES[kind], DATA[kind](), Budget(steps=STEPS), batch=16)
    costs = run(t)
    return t.state(), costs


@pytest.mark.parametrize(
    "kind", [*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in DATA if kind not in QUICK)]
)
def test_replayed_steps_are_those_that_were_called(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over two epochs, with other images, rates, averages, scales and offers than when they were recorded."""
    tapes = TapeRecorder()
    expected, costs = trained(kind, Recorder(), monkeypatch)
    got, got_costs = trained(kind, tapes, monkeypatch)
    assert tapes.replayed >= STEPS - 2 * (WARM_UP + 1)
    assert got_costs == costs
    different = [key for key in expected if key != "counters" and not torch.equal(got[key], expected[key])]
    assert not different
    assert [tape.through_the_host() for tape in tapes.tapes] == [[]] * len(tapes.tapes)


@pytest.mark.parametrize("step", [lambda x: x * float(x), lambda x: x + torch.tensor(2.0), lambda x: x[x > 0]])
def test_a_tape_detects_what_passes_through_the_host(step: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with Tape() as tape:
        step(torch.ones(()))
    assert tape.through_the_host()


def test_no_more_sizes_are_recorded_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_module, "MOST_RECORDED", 1)
    tapes = TapeRecorder()
    trained("bits", tapes, monkeypatch)
    assert len(tapes.tapes) == 2  # of the larger group's steps, and of choosing scales


def test_images_to_be_binarised_are_drawn_anew_in_every_batch() -> None:
    t, indices = trainer(1, data=DATA["binarised"]()), torch.arange(20)
    first, second = (t.stepper.draw(0, indices, t.generator, 0.1, 0.1) for _ in range(2))
    assert first.ink is not None
    assert second.ink is not None
    assert first.ink.shape == (20, 8, 8, 1)
    assert not torch.equal(first.ink, second.ink)


# --- what only CUDA has ---


def test_a_step_is_run_once_a_call_and_recorded_without_being_run() -> None:
    ran: list[str] = []

    def record() -> Callable[[], None]:
        return lambda: ran.append("replayed")

    step = Gradual(lambda: ran.append("called"), record)
    for _ in range(WARM_UP + 2):
        step()
    assert ran == ["called"] * WARM_UP + ["replayed"] * 2
    assert step.recorded


def test_a_step_that_cannot_be_recorded_is_called() -> None:
    ran: list[str] = []

    def record() -> Callable[[], None]:
        raise RuntimeError("operation not permitted when stream is capturing")

    step = Gradual(lambda: ran.append("called"), record)
    for _ in range(WARM_UP + 2):
        step()
    assert ran == ["called"] * (WARM_UP + 2)
    assert not step.recorded


@pytest.mark.parametrize("kind", DATA)
def test_nothing_leaves_the_device_within_a_step(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CUDA device that exists in name only, whose tensors cannot be read and do not mix with others.

    PyTorch cannot run a backward pass there, nor Adam's kernel; gradients are zeros.
    """
    arch, rates = ARCHITECTURES[kind], []
    monkeypatch.setattr(planes, "_table", lambda levels, device: torch.zeros(levels, plane_count(arch)))  # made only once
    monkeypatch.setattr(torch, "_fused_adam_", lambda *tensors, lr, **options: rates.append(lr))
    with FakeTensorMode(), torch.device("cuda"):
        nets = Networks(arch)
        pixels = torch.zeros((4, 8, 8, arch.colours), dtype=torch.uint8)
        codes = torch.zeros((50, arch.code), dtype=torch.int8)
        offers = torch.zeros((4, 8, 8, OFFERS, arch.colours + 1), dtype=torch.uint8) if arch.candidates else None
        indices, picks, offsets = torch.zeros(4, dtype=torch.int64), torch.zeros(4), torch.zeros(4, arch.code)
        adam = torch.optim.Adam(nets.parameters(), betas=(0.9, 0.99), fused=True, capturable=True)
        rate = adam.param_groups[0]["lr"] = torch.zeros(())  # later than its check of the rate, which reads it
        for parameter in nets.parameters():
            parameter.grad = torch.zeros_like(parameter)
        objective = Objective(nets, lambda x: x)
        with Tape() as tape:
            parents = neighbours(codes, indices, picks)
            drawn = binarise(pixels, torch.zeros(pixels.shape))
            objective(drawn, parents, offsets, None, offers)
            nets.limit_weights()
            nets.choose_scales()
            adam.step()
    assert tape.devices() == {"cuda"}
    assert not tape.through_the_host()
    assert len(rates) == 1
    assert rates[0] is rate


@pytest.mark.parametrize("kind", DATA)
def test_training_products_are_exact_in_tf32(kind: str) -> None:
    nets = Networks(ARCHITECTURES[kind])
    assert fits_tf32(nets)
    _, product = next(nets.products())
    product.inputs[0] = Input(product.inputs[0].channels, TF32_MAX + 1, product.inputs[0].window)
    assert not fits_tf32(nets)


@needs_cuda
@pytest.mark.parametrize("kind", DATA)
def test_cuda_replays_what_it_would_have_called(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of gradients may be in another order in each run."""
    device, states = torch.device("cuda"), []
    for graphs in (False, True):
        monkeypatch.setattr(step_module, "recorder", lambda device, graphs, on=graphs: make_recorder(device, on))
        t = Trainer(ARCHITECTURES[kind], DATA[kind](), Budget(steps=30), batch=16, device=device)
        reports: list[Report] = []
        for _ in t.run(reports.append, every=0.0):
            pass
        assert reports[-1].way == ("recorded" if graphs else "called")
        states.append(t.state())
    for key, value in states[0].items():
        if key.startswith("nets.") and not key.endswith("encoder.code.bias"):
            torch.testing.assert_close(states[1][key], value, rtol=0.05, atol=0.02)
