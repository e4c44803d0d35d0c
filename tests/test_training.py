"""Training: exact resume, neighbours that are never the item itself, and a model file that codes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import KINDS, architecture, needs_cuda
from hypothesis import given, settings
from hypothesis import strategies as st
from trainings import SMALL_ARCH, run, stripes, trainer

from acncodec.coding.protocol import GroupTask, alice, bob, encode
from acncodec.coding.stack import Stack
from acncodec.coding.theory import residual_bits
from acncodec.errors import InputError
from acncodec.exact.grids import LOGIT_MAX, SPREAD_MAX, SPREAD_MIN
from acncodec.nets.heads import Logistics, Softmax
from acncodec.nets.model import parse_model
from acncodec.nets.networks import Networks
from acncodec.planning.schedule import Schedule
from acncodec.training.best import Best
from acncodec.training.checkpoint import load_checkpoint, save_checkpoint
from acncodec.training.data import binarise, split
from acncodec.training.draws import draw_prior_sample
from acncodec.training.evaluation import held_out_nats
from acncodec.training.export import export
from acncodec.training.objective import residual_nats
from acncodec.training.pictures import elements
from acncodec.training.step import NEIGHBOURS, neighbours
from acncodec.training.trainer import BATCH, CPU, Budget, Trainer

SLOW_STOPS = [(1, 2, 1), (7, 2, 1), (4, 256, 1), (6, 256, 3)]
STOPS = [(4, 2, 1), (1, 256, 3), *(pytest.param(*stop, marks=pytest.mark.slow) for stop in SLOW_STOPS)]


@pytest.mark.parametrize(("stop", "levels", "colours"), STOPS)
def test_resume_is_exact(stop: int, levels: int, colours: int, tmp_path: Path) -> None:
    whole = trainer(8, levels, colours)
    run(whole)
    first = trainer(8, levels, colours)
    for _ in first.run(lambda r: None, every=0.0):
        if first.step == stop:
            break
    save_checkpoint(tmp_path / "c", first.state(), {"a": 1})
    tensors, settings = load_checkpoint(tmp_path / "c")
    assert settings == {"a": 1}
    second = trainer(8, levels, colours)
    second.load_state(tensors)
    assert second.step == stop
    run(second)
    expected, got = whole.state(), second.state()
    assert expected.keys() == got.keys()
    for key in expected:
        if key != "counters":
            assert torch.equal(expected[key], got[key]), key
    assert torch.equal(expected["counters"][:3], got["counters"][:3])  # the fourth is the time it took


@pytest.mark.slow
@pytest.mark.parametrize(("levels", "colours", "share"), [(2, 1, 0.7), (256, 1, 0.95), (256, 3, 0.85)])
def test_training_learns(levels: int, colours: int, share: float) -> None:
    losses = run(trainer(60, levels, colours))
    assert np.isfinite(losses).all()
    assert losses[-1] < share * losses[0]


def test_neighbour_is_never_the_item_itself() -> None:
    codes = torch.arange(3 * 20, dtype=torch.int8).view(20, 3)  # all distinct
    for pick in (0.0, 0.3, 0.999999):
        parents = neighbours(codes, torch.arange(20), torch.full((20,), pick))
        distance = (parents - codes.float()).square().sum(1)
        assert (distance > 0).all()
        assert (distance <= 3 * (3 * NEIGHBOURS) ** 2).all()
    equal = torch.zeros(20, 3, dtype=torch.int8)  # ties may hide the item's own entry
    assert neighbours(equal, torch.arange(20), torch.rand(20)).shape == (20, 3)


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_export_is_a_model(levels: int, colours: int) -> None:
    t = trainer(3, levels, colours)
    run(t)
    data = export(t, t.exact_networks(), "stripes", {"data": "stripes"})
    assert data == export(t, t.exact_networks(), "stripes", {"data": "stripes"})
    model = parse_model(data)
    assert (model.name, model.arch, model.record["images"]) == ("stripes", t.nets.arch, t.data.count)
    assert model.networks.exact
    residual, kl = held_out_nats(model.networks, t.data.held_out)
    assert np.isfinite(residual)
    assert np.isfinite(kl)
    pixels, stack = t.data.held_out[0].numpy(), Stack.seeded(400)
    task = GroupTask(model, Schedule(len(pixels), 2), 8, 8, True, lambda done: None)
    alice(stack, pixels, encode(model, pixels), task)
    assert (bob(stack, task) == pixels).all()
    stack.check_seed(400)


def test_batches_are_an_epoch_of_equal_sizes() -> None:
    data = split([*stripes(300, 8), *stripes(150, 5)])
    batches = data.batches(BATCH, torch.Generator().manual_seed(1))
    for group in (0, 1):
        indices = torch.cat([part for g, part in batches if g == group])
        assert len(indices.unique()) == len(indices) > len(data.train[group]) - BATCH


def test_held_out_images_are_not_trained_on() -> None:
    images = [np.full((4, 4, 1), i, np.uint8) for i in range(200)]
    data = split(images)
    train_values = set(data.train[0][:, 0, 0, 0].tolist())
    held_out_values = set(data.held_out[0][:, 0, 0, 0].tolist())
    assert not train_values & held_out_values
    assert len(train_values | held_out_values) == 200


def test_grey_levels_are_probabilities_of_ink() -> None:
    levels = torch.tensor([0, 51, 204, 255], dtype=torch.uint8)[:, None, None, None].expand(4, 100, 100, 1)
    drawn = binarise(levels, torch.rand(levels.shape, generator=torch.Generator().manual_seed(0)))
    assert set(drawn.unique().tolist()) == {0, 1}
    shares = drawn.float().mean((1, 2, 3)).tolist()
    assert (shares[0], shares[3]) == (0, 1)
    assert shares[1:3] == pytest.approx([0.2, 0.8], abs=0.02)


def greys(count: int) -> list[np.ndarray]:
    return [np.minimum(image, 1) * np.uint8(200) for image in stripes(count)]


def test_images_to_be_binarised_are_held_out_as_drawn_once() -> None:
    data = split(greys(200), binarised=True)
    assert data.greys is not None
    for once, levels in zip(data.train, data.greys, strict=True):
        assert once.shape == levels.shape
        assert torch.all((once <= 1) & (once <= levels))
    assert all(group.max() == 1 for group in data.held_out)
    assert torch.equal(split(greys(200), binarised=True).held_out[0], data.held_out[0])


def test_resume_is_exact_with_binarised_images() -> None:
    data = split(greys(200), binarised=True)
    whole, first, second = (trainer(6, data=data) for _ in range(3))
    run(whole)
    for _ in first.run(lambda r: None, every=0.0):
        if first.step == 3:
            break
    second.load_state(first.state())
    run(second)
    expected, got = whole.state(), second.state()
    assert all(torch.equal(expected[key], got[key]) for key in expected if key != "counters")


def test_images_of_other_shapes_are_other_groups() -> None:
    data = split([*stripes(60, 8, 256, 3), *stripes(40, 5, 256, 3), *stripes(7, 4, 256, 3)])
    assert [group.shape[1:] for group in data.train] == [(8, 8, 3), (5, 5, 3)]
    assert (data.count, data.held_out_count) == (57 + 38, 3 + 2)


# --- the objective is what theory says, and has gradients everywhere ---


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 10))
def test_objective_of_logistics_agrees_with_theory(seed: int, components: int) -> None:
    rng, shape = np.random.default_rng(seed), (4, 3, 2, components)
    ranges = [(-LOGIT_MAX, LOGIT_MAX), (-100, 1120), (0, SPREAD_MAX)]
    mixtures = [Logistics(*(torch.from_numpy(rng.integers(a, b + 1, shape)).float() for a, b in ranges)) for _ in range(3)]
    pixels = torch.from_numpy(rng.integers(0, 256, (4, 3, 2, 3), dtype=np.uint8))
    nats, bits = residual_nats([*mixtures], pixels), residual_bits([*mixtures], pixels)
    # A CDF that float32 rounds to 1 gives the least probability: far above all means about a bit is lost.
    assert (nats.double() / np.log(2)).tolist() == pytest.approx(bits.tolist(), rel=0.05)
    near = [mixture._replace(means=pixels[..., c, None] * 4.0 + mixture.means % 32) for c, mixture in enumerate(mixtures)]
    nats, bits = residual_nats([*near], pixels), residual_bits([*near], pixels)
    assert (nats.double() / np.log(2)).tolist() == pytest.approx(bits.tolist(), rel=1e-3)


@pytest.mark.parametrize("levels", [2, 256])
def test_objective_of_softmaxes_agrees_with_theory(levels: int) -> None:
    rng = np.random.default_rng(levels)
    logits = torch.from_numpy(rng.integers(-LOGIT_MAX, LOGIT_MAX + 1, (5, 4, 3, levels))).float()
    pixels = torch.from_numpy(rng.integers(0, levels, (5, 4, 3, 1), dtype=np.uint8))
    nats, bits = residual_nats([Softmax(logits)], pixels), residual_bits([Softmax(logits)], pixels)
    assert (nats.double() / np.log(2)).tolist() == pytest.approx(bits.tolist(), rel=1e-5)


@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("mean", [-512, 0, 511, 1020, 1532])
@pytest.mark.parametrize("spread", [SPREAD_MIN, 0, SPREAD_MAX])
def test_gradients_of_outliers_are_bounded(value: int, mean: int, spread: int) -> None:
    parts = [torch.full((1, 1, 1, 2), float(part)).requires_grad_() for part in (0, mean, spread)]
    nats = residual_nats([Logistics(*parts)], torch.full((1, 1, 1, 1), value, dtype=torch.uint8))
    nats.sum().backward()
    assert 0 <= float(nats.detach()) < 20  # 28 bits
    for part in parts:
        assert part.grad is not None
        assert torch.isfinite(part.grad).all()
        assert part.grad.abs().max() < 5  # the slope of the narrowest logistic's tail is 4 nats a quarter level


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InputError, match="50 images"):
        split(stripes(5))


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_a_training_starts_from_an_exact_model_as_it_is(levels: int, colours: int) -> None:
    before = trainer(6, levels, colours)
    run(before)
    exact = before.exact_networks()
    data = before.data
    again = Trainer(architecture(levels, colours, **SMALL_ARCH), data, Budget(steps=1), start=exact)
    pixels = data.train[0][:5]
    z = torch.zeros(5, 3)
    with torch.no_grad():
        for real, integer in zip(
            again.nets.decode(pixels, again.nets.map(z, 8, 8, False)), exact.distributions(pixels, z), strict=True
        ):
            assert all(torch.equal(a, b) for a, b in zip(real, integer, strict=True))
    assert sum(run(again)) < sum(run(trainer(1, levels, colours)))


def test_training_stops_when_held_out_images_stop_getting_smaller() -> None:
    networks = [Networks(architecture(2, 1, **SMALL_ARCH)) for _ in range(9)]
    best = Best(networks[0])
    nats = [5.0, 4.0, 4.1, 3.9999, 3.99985, 4.3]  # the fourth and fifth gain too little to count
    assert [best.offer(each, value) for each, value in zip(networks, nats, strict=False)] == [True] * 5 + [False]
    assert best.nats == 3.99985
    assert torch.equal(best.networks.map.out.weight, networks[4].map.out.weight)
    other = Best(networks[0])
    other.load_state(best.state())
    assert torch.equal(other.networks.map.out.weight, networks[4].map.out.weight)
    assert not other.offer(networks[1], 4.0)
    assert other.offer(networks[1], 3.0)


def test_the_priors_own_step_changes_only_the_prior() -> None:
    t = trainer(10)
    before = {name: parameter.clone() for name, parameter in t.nets.named_parameters()}
    t.stepper._step_of_prior(t.codes[0], draw_prior_sample(t.codes[0], t.generator))
    moved = {name for name, parameter in t.nets.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved
    assert all(name.startswith("prior.") for name in moved)


@pytest.mark.parametrize(("steps", "warm_up"), [(50, 5), (3000, 200)])
def test_the_rate_rises_and_then_falls_to_zero(steps: int, warm_up: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, rates = trainer(steps), []
    monkeypatch.setattr(whole.stepper, "draw", lambda group, indices, generator, rate, weight: rates.append(rate))
    monkeypatch.setattr(whole.stepper, "run", lambda *step, **options: None)
    for _ in whole.run(lambda report: None, every=1e9):
        pass
    assert len(rates) == steps
    assert rates[: warm_up - 1] == sorted(rates[: warm_up - 1])
    assert rates[0] < 2 * whole.rate / warm_up
    assert rates[warm_up:] == sorted(rates[warm_up:], reverse=True)
    assert rates[warm_up] == pytest.approx(whole.rate * (1 - warm_up / steps), rel=0.01)
    assert rates[-1] == pytest.approx(whole.rate / steps, rel=0.01)


def test_a_training_without_gains_decays_its_rate_and_ends() -> None:
    whole = trainer(100)
    going = whole.run(lambda report: None, every=0)
    for _ in range(20):
        next(going)
    assert whole.progress(0, 20) == 0.2
    whole.cool()
    rates = [float(whole.optimiser.param_groups[0]["lr"])]
    for _ in going:
        rates.append(float(whole.optimiser.param_groups[0]["lr"]))
        whole.cool()  # once begun it goes on
    assert whole.step == 26
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < rates[0] / 4

    again = trainer(100)
    again.load_state(whole.state())
    assert 0.5 < again.progress(0, 23) == whole.progress(0, 23) < again.progress(0, 26) == 1
    longer = Trainer(again.nets.arch, again.data, Budget(steps=1000))
    longer.load_state(whole.state())  # more budget does not undo the end
    assert longer.progress(0, 23) == pytest.approx(whole.progress(0, 23))


def test_large_pictures_are_trained_on_in_tiles() -> None:
    assert [part.shape for part in elements(np.zeros((128, 128, 3), np.uint8))] == [(128, 128, 3)]
    assert {part.shape for part in elements(np.zeros((320, 129, 3), np.uint8))} == {(32, 26, 3), (32, 25, 3)}


@needs_cuda
def test_cuda_finds_the_same_neighbours() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(-64, 65, (3000, 16), dtype=torch.int8, generator=generator)
    items, picks = torch.randint(3000, (500,), generator=generator), torch.rand(500, generator=generator)
    found, expected = neighbours(codes.cuda(), items.cuda(), picks.cuda()).cpu(), neighbours(codes, items, picks)
    same = (found == expected).all(1)  # but where two are as far: either will do
    far = [(x - codes[items].float()).square().sum(1)[~same] for x in (found, expected)]
    assert torch.equal(*far)
    assert same.float().mean() > 0.9
    assert neighbours(codes[:3].cuda(), items[:2].cuda() % 3, picks[:2].cuda()).shape == (2, 16)


@needs_cuda
@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_cuda_trains_as_the_cpu_does(levels: int, colours: int) -> None:
    """Sums are in another order there, so steps are close but not equal."""
    data, arch = split(stripes(200, levels=levels, colours=colours)), architecture(levels, colours, **SMALL_ARCH)
    states = []
    for device in (CPU, torch.device("cuda")):
        each = Trainer(arch, data, Budget(steps=3), device=device)
        run(each)
        assert next(each.nets.parameters()).device.type == device.type
        assert np.isfinite(held_out_nats(each.exact_networks(), data.held_out)).all()
        states.append(each.state())
    for key, value in states[0].items():
        if key.startswith("nets.") and not key.endswith("encoder.code.bias"):
            torch.testing.assert_close(states[1][key], value, rtol=0.02, atol=0.005)
