"""Copy candidates: the same ones from numpy, compiled module and second reader, and the same inputs to all passes."""

import numpy as np
import pytest
import torch
from conftest import architecture, drawings
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_candidates import Memory

from acncodec.coding import pixels as coding_pixels
from acncodec.coding import steps
from acncodec.coding.candidates import History, StepImages, along, write_completions
from acncodec.coding.element_costs import element_bits
from acncodec.coding.protocol import GroupTask, alice, all_offers, bob, encode
from acncodec.coding.selftest import TINY_ARCH, fixed_networks, pseudo_random
from acncodec.coding.stack import Stack
from acncodec.exact.grids import LATENT_MAX
from acncodec.kernel.compiled import native
from acncodec.nets.architecture import CANDIDATES, OFFERS, Architecture
from acncodec.nets.candidates import STRENGTH_MAX
from acncodec.nets.model import Model, UnconditionalPrior
from acncodec.nets.networks import Networks
from acncodec.nets.reference import Reference
from acncodec.planning.schedule import Schedule

COMPILED = [False] if native is None else [False, True]
SIZES = [(2, 5, 9), (4, 8, 3), (1, 1, 1), (5, 7, 7)]  # groups: images, height, width


def steps_of(images: np.ndarray) -> list[slice]:
    return [step for step in (slice(0, 1), slice(1, 3), slice(3, None)) if len(images[step])]


def candidates_by_reader(groups: list[np.ndarray], colours: int) -> list[np.ndarray]:
    """Of all groups' images, uint8 [n, H, W, OFFERS, colours + 1] a step."""
    found = []
    memory = Memory(colours, sum(images[..., 0].size for images in groups))
    for images in groups:
        before: list[object] = []
        for step in steps_of(images):
            part = images[step]
            of = [before[i * len(before) // len(part)] if before else None for i in range(len(part))]
            copies = memory.begin((part.shape[1], part.shape[2]), of)
            out = np.zeros((*part.shape[:3], OFFERS, colours + 1), np.uint8)
            for row, column in np.ndindex(*part.shape[1:3]):
                for i, each in enumerate(copies):
                    out[i, row, column, :CANDIDATES] = each.candidates(row, column)
                    values = part[i, row, column].tolist()
                    for known in range(1, colours):
                        rest = each.completions(values[:known])
                        out[i, row, column, CANDIDATES:, known] = rest[:, 0]
                        out[i, row, column, CANDIDATES:, -1] += (rest[:, 1] << known).astype(np.uint8)
                    each.learn(row, column, values)
            for each in copies:
                each.complete()
            found.append(out)
            before = list(copies)
    return found


def candidates_by_history(groups: list[np.ndarray], colours: int, compiled: bool, stepwise: bool) -> list[np.ndarray]:
    found = []
    history = History([images.shape[:3] for images in groups], colours, compiled)
    for images in groups:
        places: np.ndarray | None = None
        for step in steps_of(images):
            part = images[step]
            parents = None if places is None else places[np.arange(len(part)) * len(places) // len(part)]
            own = history.begin(len(part), *part.shape[1:3], parents)
            found.append(pixel_by_pixel(own, part) if stepwise else own.whole(part))
            places = own.places
    return found


def pixel_by_pixel(own: StepImages, part: np.ndarray) -> np.ndarray:
    out = np.zeros((*part.shape[:3], OFFERS, part.shape[3] + 1), np.uint8)
    for row, column in np.ndindex(*part.shape[1:3]):
        out[:, row, column, :CANDIDATES] = own.find(row, column)
        for known in range(1, part.shape[3]):
            write_completions(out[:, row, column], own.completions(part[:, row, column, :known]), known)
        own.learn(part[:, row, column])
    own.complete(part)
    return out


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5))
def test_all_find_the_same(seed: int, colours: int, inks: int) -> None:
    groups = [drawings(seed, *size, colours, inks) for size in SIZES]
    want = candidates_by_reader(groups, colours)
    for compiled in COMPILED:
        for stepwise in (False, True):
            found = candidates_by_history(groups, colours, compiled, stepwise)
            assert all(np.array_equal(a, b) for a, b in zip(found, want, strict=True)), (compiled, stepwise)


def test_what_was_seen_before_is_found() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 12, 12, 3), np.uint8).repeat(2, 0)
    first, second = along(images, Schedule(2, 1))
    assert (first[..., 1, -1] == 0).all()  # it has no parent
    assert (second[..., 0, :-1] == images[1]).mean() > 0.95
    assert (second[..., 1, :-1] == images[1]).all()
    assert (second[2:, 3:, 1, -1] == STRENGTH_MAX).all()


def test_candidates_differ_from_each_other_and_from_neighbours() -> None:
    images = drawings(1, 4, 9, 9, 3, inks=9)
    found = along(images, Schedule(4, 2))
    padded = np.pad(images, ((0, 0), (1, 0), (1, 1), (0, 0)))
    near = [padded[:, 1:, :-2], padded[:, :-1, 1:-1], padded[:, :-1, :-2], padded[:, :-1, 2:]]
    some = 0
    for image, row, column in np.ndindex(*images.shape[:3]):
        strengths = found[image, row, column, :, -1]
        known = {tuple(each[image, row, column].tolist()) for each in near}
        known |= {tuple(found[image, row, column, k, :-1].tolist()) for k in (0, 1)}
        for k in range(2, CANDIDATES):
            own = tuple(found[image, row, column, k, :-1].tolist())
            if strengths[k]:
                assert own not in known
                known.add(own)
                some += 1
    assert some > images[..., 0].size // 2


@pytest.fixture(scope="module")
def networks() -> Networks:
    return fixed_networks(Architecture(256, 4, 13, 5, candidates=CANDIDATES, **TINY_ARCH), fine=True)


@pytest.fixture(scope="module")
def model(networks: Networks) -> Model:
    prior = UnconditionalPrior(
        torch.tensor([5, 9], dtype=torch.int32),
        torch.tensor([[1, 2, 3], [4, -5, 6]], dtype=torch.int16),
        torch.tensor([[9, 9, 9], [12, 12, 12]], dtype=torch.uint8),
    )
    return Model("copies", b"", 0, networks, prior, {})


def test_whole_image_passes_agree_with_the_reference(networks: Networks) -> None:
    pixels = drawings(0, 6, 7, 6, 4)
    z = pseudo_random("z", 18, -LATENT_MAX, LATENT_MAX).reshape(6, 3)
    reference = Reference(networks)
    found = along(pixels, Schedule(6, 2))
    for offers in (None, found):
        told = None if offers is None else torch.from_numpy(offers)
        distributions = networks.distributions(torch.from_numpy(pixels), torch.from_numpy(z).float(), told)
        for colour, got in enumerate(distributions):
            want = reference.logistics(pixels, z, colour, offers)
            for part, wanted in zip(got, want, strict=True):
                assert np.array_equal(part.numpy(), wanted)
    assert not np.array_equal(reference.logistics(pixels, z, 3)[0], want[0])  # candidates say something


@pytest.mark.parametrize("way", ["compiled", "tensors", "tensors in groups", "compiled pixel by pixel"])
@pytest.mark.parametrize("compiled", COMPILED)
def test_bob_finds_what_alice_found(model: Model, compiled: bool, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, schedule = drawings(3, 11, 6, 7, 4), Schedule(11, 4)
    codes = encode(model, pixels)

    def task() -> GroupTask:
        return GroupTask(model, schedule, 6, 7, True, lambda done: None, History([(11, 6, 7)], 4, compiled))

    own = task()
    offers = all_offers(pixels, own)
    assert offers is not None
    assert (offers[..., [0, CANDIDATES, CANDIDATES + 1], -1] > 0).mean((0, 1, 2)).min() > 0.5
    stack = Stack.seeded(300)
    alice(stack, pixels, codes, own, offers)
    words, seed = stack.finish(300)
    if way.startswith("tensors"):
        monkeypatch.setattr(steps, "available", lambda networks: False)
    if way != "compiled":
        monkeypatch.setattr(coding_pixels, "available", lambda networks: False)
    if way == "tensors in groups":
        monkeypatch.setattr(steps, "_groups", lambda nets, n, h, w: steps.split(nets, n, h, w, min(3, n)))
        monkeypatch.setattr(steps, "_kept", steps.Kept())
    if not compiled and "compiled" in way:
        pytest.skip("the compiled decoder takes candidates from the compiled memory")
    bobs = Stack(words, seal=False)
    assert np.array_equal(bob(bobs, task()), pixels)
    bobs.check_seed(seed)


def test_prices_with_and_without_the_kernel(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = drawings(5, 9, 6, 7, 4)
    z = pseudo_random("z", 27, -LATENT_MAX, LATENT_MAX).reshape(9, 3).astype(np.int16)
    found = along(pixels, Schedule(9, 2))
    with_kernel = [coding_pixels.residual_prices(pixels, z, model.networks, each) for each in (found, None)]
    monkeypatch.setattr(coding_pixels, "available", lambda networks: False)
    without = [coding_pixels.residual_prices(pixels, z, model.networks, each) for each in (found, None)]
    assert np.allclose(with_kernel, without, rtol=1e-6)
    assert not np.allclose(with_kernel[0], with_kernel[1])


def test_prices_tell_what_others_are_worth(model: Model) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 4), np.uint8)
    alone = element_bits(model, pixels)
    assert np.array_equal(element_bits(model, pixels, []), alone)
    beside = element_bits(model, pixels, [pixels, pixels[:, :3]])
    assert beside.shape == (5,)
    assert not np.array_equal(beside, alone)


def test_models_without_candidates_are_as_before() -> None:
    arch = architecture(256, 3)
    assert not {"candidates", "errors"} & set(arch.to_dict())
    assert Architecture.from_dict(arch.to_dict()) == arch
    with_them = Architecture(256, 4, 13, 5, candidates=CANDIDATES)
    assert Architecture.from_dict(with_them.to_dict()) == with_them
