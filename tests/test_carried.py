"""Models embedded in an archive: whole, or adapted to its images and stored as the difference to a base model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import drawings, no_progress, save_image, snapshot, tiny_model, tiny_model_bytes
from trainings import stripes

from acncodec.archive.container import FEATURE_MODELS, read_container, write_container
from acncodec.coding.element_costs import element_bits
from acncodec.coding.pixels import residual_prices
from acncodec.coding.weights import names_of, pack_model, unpack_model
from acncodec.errors import DamagedError, ModelMissingError, UnsupportedError
from acncodec.images.picture import read_picture
from acncodec.nets.model import parse_model
from acncodec.nets.networks import Networks
from acncodec.packing import adapting, method_choice
from acncodec.packing.compress import Options, compress
from acncodec.packing.method_choice import MethodChoice
from acncodec.reading.decompress import decompress
from acncodec.reading.info import describe
from acncodec.reading.parts import Parts
from acncodec.training.adapt import Adapted, _moved, adapt, smallest, steps_of
from acncodec.training.data import TrainingSet
from acncodec.training.trainer import Budget, Trainer, take_weights


def noisy(image: np.ndarray, seed: int) -> np.ndarray:
    """A few pixels turned, so that no two images are alike and no general compressor finds much."""
    turned = np.random.default_rng(seed).random(image.shape) < 0.05
    return image ^ turned.astype(np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for i, image in enumerate(stripes(40)):
        save_image(tmp_path / "images" / f"{i:02}.png", noisy(image, i), "1")
    return tmp_path / "images"


def restored(archive: Path, *models: Path) -> dict[str, bytes]:
    target = archive.with_name(f"{archive.stem}-{len(models)}")
    with Parts(archive, models) as opened:
        decompress(opened, target, progress=no_progress)
    return snapshot(target)


@pytest.mark.usefixtures("free_networks")
def test_an_archive_that_carries_its_model_needs_no_other(source: Path, tmp_path: Path) -> None:
    model, target = tiny_model(2, calm=True), tmp_path / "a.acn"
    compress(source, target, [model], Options(carry=True), no_progress)
    assert restored(target) == snapshot(source)
    with Parts(target) as parts, parts.open(0) as opened:
        assert opened.container.features == FEATURE_MODELS
        about = describe(parts, [])
    packed = len(pack_model(model.plain))
    assert about["models"] == [
        {"name": model.name, "sha256": model.sha256.hex(), "bytes": packed, "carried": True, "elements": 40}
    ]
    lines = {line["part"]: line["bits"] for line in about["ledger"]}
    assert lines["models"] == 8 * packed
    assert sum(lines.values()) == 8 * target.stat().st_size


@pytest.mark.usefixtures("free_networks")
def test_without_its_model_an_archive_names_it(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.acn"
    compress(source, target, [tiny_model(2, calm=True)], Options(), no_progress)
    with Parts(target) as parts, parts.open(0) as opened:
        assert opened.container.features == 0
        assert "models" not in {line["part"] for line in describe(parts, [])["ledger"]}
    with pytest.raises(ModelMissingError):
        restored(target)


@pytest.mark.usefixtures("free_networks")
def test_a_malformed_embedded_model_is_damage(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.acn"
    compress(source, target, [tiny_model(2, calm=True)], Options(carry=True), no_progress)
    with target.open("rb") as file:
        container = read_container(file)
        sections = [(tag, container.read(i)) for i, tag in enumerate(container.tags)]
    index = [tag for tag, _ in sections].index("MODL")

    def changed(payload: bytes | None, features: int = FEATURE_MODELS) -> Path:
        new = [*sections[:index], *([("MODL", payload)] if payload is not None else []), *sections[index + 1 :]]
        (tmp_path / "bad.acn").write_bytes(b"".join(write_container(new, features)))
        return tmp_path / "bad.acn"

    whole = sections[index][1]
    for payload in (b"", whole[:20], whole[:-4], whole[:60] + bytes([whole[60] ^ 1]) + whole[61:]):
        with pytest.raises(DamagedError, match="carries is damaged"):
            restored(changed(payload))
    with pytest.raises(ModelMissingError):
        restored(changed(None))
    with pytest.raises(UnsupportedError, match="MODL"):
        restored(changed(whole, features=0))
    # Sound by itself, but no model: a map beyond the bound, say, or another model than the one that is named.
    other = parse_model(tiny_model_bytes(2))
    with pytest.raises(ModelMissingError):
        restored(changed(pack_model(other.plain)))
    junk = pack_model(model_like(whole))
    with pytest.raises(DamagedError, match="carries is damaged"):
        restored(changed(names_of(whole)[0] + junk[32:]))
    many = [*sections[:index], *[("MODL", whole)] * 17, *sections[index + 1 :]]
    (tmp_path / "bad.acn").write_bytes(b"".join(write_container(many, FEATURE_MODELS)))
    with pytest.raises(DamagedError, match="more models"):
        restored(tmp_path / "bad.acn")


def model_like(packed: bytes) -> bytes:
    """A plain file as the packed one's with a weight changed."""
    plain = bytearray(unpack_model(packed, lambda sha256: b"", 1 << 24))
    plain[-1] ^= 1
    return bytes(plain)


# Adapted ones


def learnt(base, groups: list[np.ndarray], steps: int) -> Trainer:
    data = TrainingSet([torch.from_numpy(group) for group in groups], [])
    trainer = Trainer(base.arch, data, Budget(steps=steps), start=base.networks, decoder_alone=True)
    for _ in trainer.run(lambda report: None):
        pass
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("fine", [False, True])
def test_a_model_adapts_to_its_training_images(fine: bool) -> None:
    base, group = tiny_model(2, calm=True, fine=fine), np.stack(stripes(400))
    trainer = learnt(base, [group], 300)
    found = smallest(base, trainer.averaged, trainer.data.train)
    assert found is not None
    model = found.model
    assert model.format == base.format
    assert unpack_model(found.packed, {base.sha256: base.plain}.get, 1 << 24) == model.plain
    assert names_of(found.packed) == (model.sha256, base.sha256)
    z = np.zeros((len(group), base.arch.code), np.int16)
    before, after = (residual_prices(group, z, each.networks).sum() for each in (base, model))
    assert after + 8 * len(found.packed) < 0.8 * before
    for (name, product), (_, known) in zip(model.networks.products(), base.networks.products(), strict=True):
        if name.startswith(("prior.", "encoder.")):
            assert torch.equal(product.weight, known.weight)
            assert torch.equal(product.bias, known.bias)


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("index", range(7))
def test_differences_are_whole_steps_and_near_what_was_learnt(index: int, fine: bool) -> None:
    base = tiny_model(256, calm=True, fine=fine)
    step = steps_of(base)[index]
    trained = Networks(base.arch)
    take_weights(trained, base.networks)
    with torch.no_grad():
        for (_, product), (_, known) in zip(
            trained.products(), base.networks.products(), strict=True
        ):  # by some 20 units of the integer weights
            product.weight += (
                (20 << 4 * fine)
                * torch.randn(product.weight.shape, generator=torch.Generator().manual_seed(0))
                / known.scale
            )
    moved = _moved(base, trained, step)
    changed = 0
    for (name, product), (_, known), (_, wanted) in zip(
        moved.products(), base.networks.products(), trained.products(), strict=True
    ):
        difference = product.weight - known.weight
        assert (difference % 2**step == 0).all()
        if name.startswith(("prior.", "encoder.")):
            assert not difference.any()
        elif difference.any():
            changed += 1
            inside = (wanted.weight * known.scale).abs() < base.weight_max - 2**step
            assert ((product.weight - wanted.weight * known.scale).abs()[inside] <= 2**step / 2 + 1e-3).all()
    assert changed > 5


def test_no_difference_is_stored_without_a_gain() -> None:
    base = tiny_model(2, calm=True)
    noise = np.random.default_rng(0).integers(0, 2, (40, 5, 5, 1), np.uint8)
    assert smallest(base, learnt(base, [noise], 3).averaged, [torch.from_numpy(noise)]) is None
    assert adapt(base, [noise[:7]], 0.001, lambda report: None) is None


@pytest.mark.slow
def test_a_model_that_looks_for_copies_adapts_with_them() -> None:
    base = tiny_model(256, colours=4, centres=5, logistics=13, candidates=6)
    groups = [drawings(0, 160, 9, 8, 4), drawings(1, 80, 6, 6, 4)]
    trainer = learnt(base, groups, 120)
    found = smallest(base, trainer.averaged, trainer.data.train)
    assert found is not None
    before, after = (sum(float(element_bits(model, group).sum()) for group in groups) for model in (base, found.model))
    assert 8 * len(found.packed) + after < before


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapting by steps, not by the clock."""

    def steps(base, groups, minutes, report) -> Adapted | None:
        trainer = learnt(base, groups, 200)
        return smallest(base, trainer.averaged, trainer.data.train)

    monkeypatch.setattr(adapting, "adapt", steps)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_adapting_makes_an_archive_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_choice, "RAW_HOPE", 0.0)  # LZMA would beat networks as small as these
    monkeypatch.setattr(method_choice, "pack_webp", lambda samples: None)
    base = tiny_model(2, calm=True)
    for i, image in enumerate(stripes(600, side=16)):
        save_image(tmp_path / "images" / f"{i:03}.png", noisy(image, i), "1")
    plain, adapted = tmp_path / "plain.acn", tmp_path / "adapted.acn"
    compress(tmp_path / "images", plain, [base], Options(), no_progress)
    compress(tmp_path / "images", adapted, [base], Options(adapt=1.0), no_progress)
    assert adapted.stat().st_size < 0.9 * plain.stat().st_size
    (tmp_path / "base.safetensors").write_bytes(base.plain)
    assert restored(adapted, tmp_path / "base.safetensors") == snapshot(tmp_path / "images")
    with pytest.raises(ModelMissingError, match="difference to another one"):
        restored(adapted)
    whole = tmp_path / "whole.acn"
    compress(tmp_path / "images", whole, [base], Options(adapt=1.0, carry=True), no_progress)
    assert restored(whole) == snapshot(tmp_path / "images")
    assert whole.stat().st_size > adapted.stat().st_size


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_adapting_that_does_not_pay_leaves_the_archive_as_it_is(source: Path, tmp_path: Path) -> None:
    base = tiny_model(2, calm=True)
    for name, options in (("plain", Options()), ("adapted", Options(adapt=1.0))):
        compress(source, tmp_path / name, [base], options, no_progress)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "adapted").read_bytes()


def test_elements_by_model_are_what_would_be_coded(source: Path) -> None:
    contents = [(len(data), read_picture(data)) for data in (path.read_bytes() for path in sorted(source.iterdir()))]
    models = [tiny_model(256), tiny_model(2, calm=True)]
    found = MethodChoice(contents).elements_by_model(models, 1 << 20)
    assert list(found) == [1]
    (group,) = found[1]
    assert group.shape == (40, 8, 8, 1)
    assert (group == np.stack([picture.samples for _, picture in contents])).all()
    (fewer,) = MethodChoice(contents).elements_by_model(models, 40 * 64 // 4)[1]
    assert (fewer == group[::4]).all()


def test_the_price_of_all_is_that_of_the_choices(source: Path) -> None:
    contents = [(len(data), read_picture(data)) for data in (path.read_bytes() for path in sorted(source.iterdir()))]
    choices, bits = MethodChoice(contents).choose([], lambda done: None)
    assert 0 < bits <= 8 * sum(size for size, _ in contents)
    assert len(choices) == len(contents)
